"""The rule that is fitted to a measurement: from how many operations on a GPU is faster than NumPy."""

import math
from collections.abc import Sequence
from typing import NamedTuple

# The estimate for a machine that was not measured. A step of a printed program took 164 us at 64-100-10 and 259 us at
# 784-256-128-10 on the one card whose times are known, an H200, both limited by launches. Compiled steps reach 60 to 90
# GFLOP/s in float32 on each of two cores (docs/benchmarks.md); less where layers are narrow or cores are many.
GPU_SECONDS, THREAD_FLOPS = 250e-6, 50e9
# How many times as fast the GPU has to be: a smaller gain is not worth other roundings and scarce memory. It is also
# more than noise: NumPy measured against itself on the same grid differed by a factor of up to 1.1, twice by 1.3.
MARGIN = 1.2


class Point(NamedTuple):
    """The operations of a call, and the seconds that it takes on NumPy and on the GPU."""

    flops: float
    numpy: float
    gpu: float


class Errors(NamedTuple):
    """At how many points a rule chooses the slower one, and the largest factor that this costs, at least 1."""

    number: int
    factor: float


def threshold(points: Sequence[Point]) -> float:
    """The FLOPs of a call from which on the GPU should be chosen; infinite if never.

    With the gain ``g_i = log(numpy_i / gpu_i / MARGIN)`` of the points in ascending order of FLOPs, it lies before the
    point k with the largest ``sum of g_i over i >= k``: no other threshold has a smaller product of the times chosen,
    where those of the GPU count `MARGIN` times. Between two points it is their geometric mean. Below the smallest
    measured point NumPy is chosen. Of equally good thresholds the largest counts.
    """
    ordered = sorted(points)
    best, gain, limit = 0.0, 0.0, math.inf
    for k in reversed(range(len(ordered))):
        gain += math.log(ordered[k].numpy / ordered[k].gpu / MARGIN)
        before = ordered[k - 1].flops if k else ordered[k].flops
        if before == ordered[k].flops and k:  # the same number of operations cannot be told apart
            continue
        if gain > best:
            best, limit = gain, math.sqrt(before * ordered[k].flops)
    return limit


def errors(points: Sequence[Point], limit: float) -> Errors:
    """The errors of the rule that the GPU is chosen from ``limit`` FLOPs on."""
    factors = [
        point.gpu / point.numpy if point.flops >= limit else point.numpy / point.gpu
        for point in points
        if (point.flops >= limit) != (point.gpu < point.numpy) and point.gpu != point.numpy
    ]
    return Errors(len(factors), max(factors, default=1.0))


def estimated(dtype: str, threads: int) -> float:
    """The threshold where nothing was measured, for NumPy on so many threads.

    It is the number of operations that NumPy does in the time of a step on a GPU that is limited by launches. In
    float64 it is infinite, as the speeds of cards in float64 differ by a factor of more than 30.
    """
    return GPU_SECONDS * THREAD_FLOPS * threads if dtype == "float32" else math.inf
