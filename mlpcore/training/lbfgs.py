"""L-BFGS: minimises a smooth function of one vector, which stays on its device; the host reads once an evaluation."""

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
    """Where a minimisation stands: the vector, the value there, what was done, and why it ended."""

    x: Array
    value: float
    iterations: int
    evaluations: int
    converged: bool
    message: str


class _Point(NamedTuple):
    """An evaluation: arrays on the device, and the numbers that were read together."""

    x: Array
    gradient: Array
    step: float
    value: float
    slope: float  # of the value along the direction
    slope_before: float  # the same at the point where the search began
    largest: float  # of the absolute entries of the gradient
    length: float  # of the gradient
    scale: float  # the power of two that brings the gradient to where its squares can be added up, mostly 1
    farthest: float  # of the absolute entries of the direction

    @property
    def finite(self) -> bool:
        """Whether all that was read at this point is finite."""
        return all(map(math.isfinite, (self.value, self.slope, self.largest, self.length)))


class _Direction(NamedTuple):
    """A vector, its largest absolute entry, and the power of two that serves its squares; arrays all of them."""

    vector: Array
    largest: Array
    scale: Array


class _Pair(NamedTuple):
    """A step s, the change y of the gradient along it, and both in a size for products: s a and y b with powers of two
    a and b, mostly 1."""

    s: Array
    s_sized: Array
    y_sized: Array
    b: float
    sy: float  # the product of s and y
    sy_sized: float  # of s a and y b


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

    The direction is ``-H g``, H being the inverse Hessian that the last ``memory`` pairs ``s = x' - x``, ``y = g' - g``
    imply, by the two-loop recursion with ``s.y / y.y`` on the diagonal; `strong_wolfe` finds the step. Without pairs
    it is ``-g``, and the first step tried has length 1.

    It has converged when ``max |g| <= tolerance``, or when an iteration has lowered the value by no more than
    ``relative_decrease * max(|value|, |value before|, 1)``, which is taken as the rounding unit of the dtype where that
    is larger, or when along the gradient itself nothing lower can be told from rounding. ``max_iterations`` and
    ``max_evaluations`` are never exceeded. But for the last two these are the rules of SciPy's L-BFGS-B, with its
    defaults. ``callback(minimum)`` is called after every iteration, and ends the minimisation by returning a `Stop`.

    Where value or gradient are not finite, the step is shortened; a direction that does not lead down, or along which
    nothing lower is found, clears the memory. No iteration ends higher than it began. From a start that is not finite
    nothing is done, and the message says so.

    ``function`` gets a new array every time. Every evaluation costs one small transfer to the host: value, slopes and
    size of the gradient together; all vectors stay where ``x`` lies. Products of vectors whose squares would overflow
    or vanish in their dtype are taken of multiples of them, and are float64 on the host. Errors: DataError if x is no
    vector of floats.

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
    # The caller's own array is never handed to the function, nor given back.
    here = _evaluate(function, x + 0, 0.0)
    evaluations, iterations = 1, 0

    def ended(message: str, converged: bool = False) -> Minimum:
        return Minimum(here.x, here.value, iterations, evaluations, converged, message)

    if not here.finite:
        return ended("the value, or the length of the gradient or its square, is not finite at the start")
    while here.largest > tolerance:
        if evaluations >= max_evaluations:
            return ended("the limit of evaluations is reached")
        # Of the gradient times its power of two, which the steps take back.
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
    function: Function, here: _Point, direction: _Direction, step: float, rounding: float, budget: int
) -> tuple[_Point, str, int]:
    """The point that `strong_wolfe` finds or else the lowest it tried, the outcome, and the evaluations it took."""
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
    function: Function, x: Array, step: float, direction: _Direction | None = None, before: _Point | None = None
) -> _Point:
    """The function at x, and the one look of the host: eight numbers in one array."""
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
    height, slope, slope_before, largest, length, scale, farthest, along_scale = read
    slope, slope_before = slope / scale, slope_before / (scale if before is None else before.scale)
    slopes = slope / along_scale, slope_before / along_scale
    return _Point(x, gradient, step, height, *slopes, largest, length / scale, scale, farthest)


def _sized(vector: Array) -> _Direction:
    """The vector with its size."""
    largest = namespace(vector).max(namespace(vector).abs(vector))
    return _Direction(vector, largest, square_scaling(largest, vector.shape[0])[0])


def _times(scale: float, vector: Array) -> Array:
    return vector if scale == 1 else scale * vector


def _pair(here: _Point, best: _Point, direction: Array, change: float) -> _Pair:
    """The pair of an iteration; ``change`` is the product of the direction and the change of the gradient."""
    s, sy = best.step * direction, best.step * change
    a = float(square_scaling(np.float64(best.step * best.farthest), s.shape[0])[0])
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
