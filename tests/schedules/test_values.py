"""Every schedule: by hand, in every library, at both ends of its horizon, over ten million updates in float32."""

import numpy as np
import pytest
from libraries import Library

from mlpcore.schedules import (
    SCHEDULES,
    CosineDecay,
    CosLog,
    ExponentialDecay,
    FlatCosine,
    InverseScaling,
    OneCycle,
    PolynomialDecay,
    StepDecay,
    WarmUp,
)

THREE, NEARLY_TWO = (0.8 * np.sin(np.pi * np.log2(v)) ** 2 for v in (3, 1.9375))

# A schedule, and pairs (updates done, rate) worked out by hand.
BY_HAND = (
    (StepDecay(0.8, 10, 0.5), ((0, 0.8), (9, 0.8), (10, 0.4), (19, 0.4), (20, 0.2))),
    (ExponentialDecay(0.8, 10, 0.25), ((0, 0.8), (5, 0.4), (10, 0.2), (20, 0.05))),
    (CosineDecay(0.8, 12), ((0, 0.8), (4, 0.6), (6, 0.4), (8, 0.2), (12, 0.0), (99, 0.0))),
    (CosineDecay(0.8, 12, final=0.2), ((0, 0.8), (6, 0.5), (12, 0.2), (13, 0.2))),
    (FlatCosine(0.8, 12), ((0, 0.8), (6, 0.8), (8, 0.6), (9, 0.4), (10, 0.2), (12, 0.0), (99, 0.0))),
    (FlatCosine(0.8, 8, flat=0.0), ((0, 0.8), (4, 0.4), (8, 0.0))),
    # v = 1 + count: rate 0 at powers of two; sin(pi log2 v)^2 for v = 3, 6 and 12 alike
    (
        CosLog(0.8, 15),
        ((0, 0.0), (1, 0.0), (3, 0.0), (7, 0.0), (15, 0.0), (2, THREE), (5, THREE), (11, THREE), (99, 0)),
    ),
    (CosLog(0.8, 16), ((1, NEARLY_TWO), (16, 0.0))),  # the first cycle ends between counts
    (CosLog(0.8, 3, cycles=2), ((0, 0.0), (1, 0.0), (2, THREE), (3, 0.0))),
    (PolynomialDecay(0.8, 8), ((0, 0.8), (2, 0.6), (4, 0.4), (8, 0.0), (99, 0.0))),
    (PolynomialDecay(0.8, 8, power=2.0, final=0.4), ((0, 0.8), (4, 0.5), (8, 0.4), (9, 0.4))),
    (InverseScaling(0.8), ((0, 0.8), (3, 0.4), (15, 0.2))),
    (InverseScaling(0.8, power=1.0), ((0, 0.8), (1, 0.4), (7, 0.1))),
    (WarmUp(0.8, 4), ((0, 0.0), (1, 0.2), (3, 0.6), (4, 0.8), (99, 0.8))),
    (WarmUp(StepDecay(0.8, 10, 0.5), 4, start=0.4), ((0, 0.4), (2, 0.6), (4, 0.8), (13, 0.8), (14, 0.4))),
    (WarmUp(WarmUp(0.8, 2, start=0.4), 4), ((0, 0.0), (2, 0.2), (4, 0.4), (5, 0.6), (6, 0.8), (7, 0.8))),
    (OneCycle(1.0, 20), ((0, 0.04), (2.5, 0.52), (5, 1.0), (12, 0.500002), (19, 4e-6), (99, 4e-6))),
    (OneCycle(1.0, 9, 0.5, 10.0, 2.0), ((0, 0.1), (1.75, 0.55), (3.5, 1.0), (5.75, 0.525), (8, 0.05), (9, 0.05))),
)
cases = pytest.mark.parametrize(("schedule", "points"), BY_HAND, ids=[repr(case) for case, _ in BY_HAND])


@cases
def test_values_by_hand(schedule, points):
    assert {type(case) for case, _ in BY_HAND} == set(SCHEDULES)
    counts, rates = np.array(points).T
    np.testing.assert_allclose(schedule(counts), rates, rtol=1e-14, atol=1e-16)
    for count, rate in points:  # and one at a time, as a step asks
        np.testing.assert_allclose(schedule(np.asarray(float(count))), rate, rtol=1e-14, atol=1e-16)


@cases
def test_every_library_gives_the_rates_of_numpy_in_its_shape_and_dtype(schedule, points, xp: Library):
    for dtype in ("float32", "float64"):
        counts = np.arange(24, dtype=dtype).reshape(2, 12)
        for given in (counts, counts[0, 7]):
            with xp.scope(dtype):
                got = xp.to_numpy(schedule(xp.asarray(np.asarray(given))))
            assert got.dtype == dtype and got.shape == given.shape
            exact = schedule(given.astype("float64"))
            np.testing.assert_allclose(got, exact, rtol=8 * np.finfo(dtype).eps, atol=np.finfo(dtype).eps)


@pytest.mark.parametrize("steps", [1, 3, 7, 1000, 10**7])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_both_ends_of_a_horizon_are_exact(steps, dtype):
    ends = np.asarray([0, steps, steps + 1, 10**9], dtype=dtype)
    for schedule in (CosineDecay(0.5, steps, 0.25), PolynomialDecay(0.5, steps, 0.9, 0.25)):
        assert schedule(ends).tolist() == [0.5, 0.25, 0.25, 0.25]
    assert FlatCosine(0.5, steps)(ends).tolist() == [0.5, 0.0, 0.0, 0.0]
    assert CosLog(0.5, steps)(ends).tolist() == [0.0, 0.0, 0.0, 0.0]
    assert WarmUp(0.5, steps, start=0.25)(ends).tolist() == [0.25, 0.5, 0.5, 0.5]


LONG = (
    StepDecay(0.1, 1000, 0.999),
    StepDecay(0.1, 3, 0.999999),
    ExponentialDecay(0.1, 1, 0.999999),
    ExponentialDecay(0.1, 10**6, 0.5),
    CosineDecay(0.1, 10**7),
    CosineDecay(0.1, 9_999_999, final=1e-6),
    FlatCosine(0.1, 10**7),
    FlatCosine(0.1, 9_999_999, flat=0.25),
    CosLog(0.1, 10**7),
    CosLog(0.1, 9_999_999, cycles=5),
    PolynomialDecay(0.1, 10**7, power=2.0),
    InverseScaling(0.1),
    WarmUp(CosineDecay(0.1, 9_000_000), 10**6),
    OneCycle(0.1, 10**7),
)


@pytest.mark.parametrize("schedule", LONG, ids=repr)
def test_ten_million_updates_in_float32(schedule):
    assert {type(case) for case in LONG} == set(SCHEDULES)
    near = 10**7 - np.arange(3000)
    counts = np.concatenate([np.arange(3000), np.arange(0, 10**7, 4999), near]).astype("float64")
    got, exact = schedule(counts.astype("float32")), schedule(counts)
    assert got.dtype == "float32" and np.all(got >= 0)
    # The argument of exp, at most log(0.1 / 4.5e-6) = 10 here, is rounded in its last place: 10 units of the result.
    np.testing.assert_allclose(got, exact, rtol=20 * np.finfo("float32").eps)
