"""L-BFGS: minimises a smooth function of one vector on its device; the host reads a few numbers per evaluation."""

import math
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from mlpcore.backends.transfer import to_host
from mlpcore.configuration import check_count, check_number
from mlpcore.errors import DataError
from mlpcore.namespace import namespace
from mlpcore.numerics import square_scaling
from mlpcore.training.events import Stop
from mlpcore.training.line_search import FOUND, NO_STEP, ROUNDING, strong_wolfe
from mlpcore.typing import Array

Function = Callable[[Array], tuple[Array, Array]]
UNFINISHED = "unfinished"


class Minimum(NamedTuple):
    """The state of a minimisation: vector and value, numbers of iterations and evaluations, and why it ended."""

    x: Array
    value: float
    iterations: int
    evaluations: int
    converged: bool
    message: str


class _Point(NamedTuple):
    """An evaluation of the function: arrays on the device, and numbers read by the host in one transfer."""

    x: Array
    gradient: Array
    step: float
    value: float
    slope: float  # of the value along the direction
    slope_before: float  # the same at the start of the line search
    largest: float  # largest absolute value of an entry of the gradient
    length: float  # Euclidean length of the gradient
    scale: float  # a power of two, mostly 1: the squares of scale * gradient can be summed
    largest_direction: float  # largest absolute value of an entry of the direction

    @property
    def finite(self) -> bool:
        """Whether value, slope, largest entry and length of the gradient are finite."""
        return all(map(math.isfinite, (self.value, self.slope, self.largest, self.length)))


class _Sized(NamedTuple):
    """A vector, its largest absolute entry, and a power of two with which its squares can be summed; device arrays."""

    vector: Array
    largest: Array
    scale: Array


class _Pair(NamedTuple):
    """A step s and the change y of the gradient along it, scaled by powers of two a and b (mostly 1).

    The scaling keeps products of ``s_sized = a s`` and ``y_sized = b y`` in the range of the dtype.
    """

    s: Array
    s_sized: Array
    y_sized: Array
    b: float
    sy: float  # the product of s and y
    sy_sized: float  # the product of s_sized and y_sized


def minimize(
    function: Function,
    x: Array,
    *,
    memory: int = 10,
    max_iterations: int = 15_000,
    max_evaluations: int = 15_000,
    tolerance: float = 1e-5,
    relative_decrease: float = 2.220446049250313e-09,
    callback: Callable[[Minimum], Any] | None = None,
) -> Minimum:
    """Minimise ``function(x) -> (value, gradient)`` from the vector ``x`` (P,) by limited-memory BFGS.

    The direction is ``-H g``, where H approximates the inverse Hessian from the last ``memory`` pairs ``s = x' - x``,
    ``y = g' - g``, by the two-loop recursion with ``s.y / y.y`` on the diagonal. `strong_wolfe` finds the step. Without
    pairs the direction is ``-g``, and the first step tried has length 1.

    It has converged in three cases: ``max |g| <= tolerance``; an iteration has lowered the value by at most
    ``relative_decrease * max(|value|, |value before|, 1)``, with the rounding unit of the dtype as the least
    ``relative_decrease``; or along ``-g`` the value falls by no more than its rounding error. ``max_iterations`` and
    ``max_evaluations`` are never exceeded. Except for the least ``relative_decrease`` and the third case, these are the
    rules of SciPy's L-BFGS-B, with its defaults. ``callback(minimum)`` is called after every iteration, and ends the
    minimisation by returning a `Stop`.

    If value or gradient are not finite, the step is shortened. If the direction is not a descent direction, or no lower
    value is found along it, the pairs are dropped. No iteration raises the value. If value or gradient are not finite
    at the start, nothing is done, and the message says so.

    ``function`` gets a new array every time. Every evaluation costs one small transfer to the host: value, slopes and
    size of the gradient together; all vectors stay on the device of ``x``. Vectors whose squares would overflow or
    underflow are multiplied by powers of two before products are computed. Errors: DataError if x is no vector of
    floats.

    Source: Nocedal & Wright (2006), "Numerical optimization", algorithms 7.4 and 7.5.
    """
    check_count("minimize", memory=memory, max_iterations=max_iterations, max_evaluations=max_evaluations)
    check_number("minimize", tolerance=tolerance, relative_decrease=relative_decrease, least=0)
    xp = namespace(x)
    if x.ndim != 1 or not xp.isdtype(x.dtype, "real floating"):
        raise DataError(f"minimize: x has shape {tuple(x.shape)} and dtype {x.dtype}, expected a vector of floats")
    rounding = float(xp.finfo(x.dtype).eps)
    relative_decrease = max(relative_decrease, rounding)
    pairs: deque[_Pair] = deque(maxlen=memory)
    # + 0 copies: the caller's array is neither passed to the function nor returned.
    here = _evaluate(function, x + 0, 0.0)
    evaluations, iterations = 1, 0

    def ended(message: str, converged: bool = False) -> Minimum:
        return Minimum(here.x, here.value, iterations, evaluations, converged, message)

    if not here.finite:
        return ended("the value, or the length of the gradient or its square, is not finite at the start")
    while here.largest > tolerance:
        if evaluations >= max_evaluations:
            return ended("the limit of evaluations is reached")
        # From the gradient times its scale; the steps are divided by that scale.
        direction = _sized(_direction(_times(here.scale, here.gradient), pairs))
        step = (1.0 if pairs else 1 / here.length) / here.scale
        best, outcome, spent = _search(function, here, direction, step, rounding, max_evaluations - evaluations)
        evaluations += spent
        if best is here and not pairs and outcome != UNFINISHED:
            if outcome == ROUNDING:
                return ended("along the gradient the value falls by no more than its rounding", converged=True)
            return ended("no lower value was found along the gradient")
        if best is here:
            pairs.clear()
            continue
        change = best.slope - best.slope_before
        if change > rounding * -best.slope_before:  # s.y > 0, beyond rounding
            pairs.append(_pair(here, best, direction.vector, change))
        before, here = here, best
        iterations += 1
        if callback is not None and isinstance(stop := callback(ended("")), Stop):
            return ended(stop.reason)
        if before.value - here.value <= relative_decrease * max(abs(before.value), abs(here.value), 1.0):
            return ended("the relative decrease of the value is within its limit", converged=True)
        if iterations >= max_iterations and here.largest > tolerance:
            return ended("the limit of iterations is reached")
    return ended("the largest entry of the gradient is within its limit", converged=True)


def _search(
    function: Function, here: _Point, direction: _Sized, step: float, rounding: float, budget: int
) -> tuple[_Point, str, int]:
    """``(point, outcome, evaluations)``: the point that `strong_wolfe` found, else the lowest one tried."""
    best, steps = here, None
    for spent in range(1, budget + 1):
        last = _evaluate(function, here.x + step * direction.vector, step, direction, here)
        if steps is None:
            if not last.slope_before < 0:
                return here, NO_STEP, spent
            steps = strong_wolfe(here.value, last.slope_before, step, rounding)
            next(steps)
        if last.finite and last.value < best.value:
            best = last
        try:
            step = steps.send((last.value if last.finite else math.inf, last.slope))
        except StopIteration as end:
            return (last if end.value == FOUND else best), end.value, spent
    return best, UNFINISHED, budget


def _evaluate(
    function: Function, x: Array, step: float, direction: _Sized | None = None, before: _Point | None = None
) -> _Point:
    """Evaluate the function at x, and read eight numbers of the result in one transfer to the host."""
    xp = namespace(x)
    value, gradient = function(x)
    here = _sized(gradient)
    along = here if direction is None else direction
    scaled, ahead = gradient * here.scale, along.vector * along.scale
    numbers = (
        xp.reshape(value, ()),
        xp.vecdot(scaled, ahead),
        xp.vecdot(scaled if before is None else _times(before.scale, before.gradient), ahead),
        here.largest,
        xp.sqrt(xp.vecdot(scaled, scaled)),
        here.scale,
        along.largest,
        along.scale,
    )
    read = to_host(xp.stack([xp.astype(number, value.dtype) for number in numbers])).tolist()
    height, slope, slope_before, largest, length, scale, largest_direction, along_scale = read
    slope, slope_before = slope / scale, slope_before / (scale if before is None else before.scale)
    slopes = slope / along_scale, slope_before / along_scale
    return _Point(x, gradient, step, height, *slopes, largest, length / scale, scale, largest_direction)


def _sized(vector: Array) -> _Sized:
    """The vector with its largest entry and scale."""
    largest = namespace(vector).max(namespace(vector).abs(vector))
    return _Sized(vector, largest, square_scaling(largest, vector.shape[0])[0])


def _times(scale: float, vector: Array) -> Array:
    return vector if scale == 1 else scale * vector


def _pair(here: _Point, best: _Point, direction: Array, change: float) -> _Pair:
    """The pair of an iteration; ``change`` is the inner product of the direction and the change of the gradient."""
    s, sy = best.step * direction, best.step * change
    a = float(square_scaling(np.float64(best.step * best.largest_direction), s.shape[0])[0])
    b = min(here.scale, best.scale)
    y_sized = _times(b, best.gradient) - _times(b, here.gradient)
    return _Pair(s, _times(a, s), y_sized, b, sy, a * sy * b)


def _direction(gradient: Array, pairs: "deque[_Pair]") -> Array:
    """``-H g`` by two loops over the pairs, from the newest to the oldest and back."""
    xp = namespace(gradient)
    q, shares = -gradient, []
    for pair in reversed(pairs):
        share = xp.vecdot(pair.s_sized, q) / pair.sy_sized
        q = q - share * pair.y_sized
        shares.append(share)
    if pairs:
        newest = pairs[-1]
        q = q * (newest.b * newest.sy * newest.b / xp.vecdot(newest.y_sized, newest.y_sized))
    for pair, share in zip(pairs, reversed(shares), strict=True):
        q = q + (pair.b * share - xp.vecdot(pair.y_sized, q) / (pair.b * pair.sy)) * pair.s
    return q
