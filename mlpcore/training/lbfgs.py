"""L-BFGS: minimises a smooth function of one vector, which stays on its device; the host reads once an evaluation."""

import math
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from mlpcore.backends.transfer import to_host
from mlpcore.configuration import check_count, check_number
from mlpcore.errors import DataError
from mlpcore.namespace import namespace
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

    @property
    def finite(self) -> bool:
        """Whether all that was read at this point is finite."""
        return all(map(math.isfinite, (self.value, self.slope, self.largest, self.length)))


class _Pair(NamedTuple):
    """A step s, the change y of the gradient along it, and their product."""

    s: Array
    y: Array
    sy: float


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
    size of the gradient together; all vectors stay where ``x`` lies. Errors: DataError if x is no vector of floats.

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
        return ended("the value or the length of the gradient at the start is not finite")
    while here.largest > tolerance:
        if evaluations >= max_evaluations:
            return ended("the limit of evaluations is reached")
        direction = _direction(here.gradient, pairs)
        step = 1.0 if pairs else 1 / max(here.length, here.largest)  # a length may underflow
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
            pairs.append(_Pair(best.step * direction, best.gradient - here.gradient, best.step * change))
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
    function: Function, here: _Point, direction: Array, step: float, rounding: float, budget: int
) -> tuple[_Point, str, int]:
    """The point that `strong_wolfe` finds or else the lowest it tried, the outcome, and the evaluations it took."""
    best, steps = here, None
    for spent in range(1, budget + 1):
        last = _evaluate(function, here.x + step * direction, step, direction, here.gradient)
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


def _evaluate(function: Function, x: Array, step: float, direction: Any = None, before: Any = None) -> _Point:
    """The function at x, and the one look of the host: five numbers in one array."""
    xp = namespace(x)
    value, gradient = function(x)
    along = gradient if direction is None else direction
    numbers = (
        xp.reshape(value, ()),
        xp.vecdot(gradient, along),
        xp.vecdot(gradient if before is None else before, along),
        xp.max(xp.abs(gradient)),
        xp.sqrt(xp.vecdot(gradient, gradient)),
    )
    read = to_host(xp.stack([xp.astype(number, value.dtype) for number in numbers])).tolist()
    return _Point(x, gradient, step, *read)


def _direction(gradient: Array, pairs: "deque[_Pair]") -> Array:
    """``-H g`` by two loops over the pairs, from the newest to the oldest and back."""
    xp = namespace(gradient)
    q, shares = -gradient, []
    for s, y, sy in reversed(pairs):
        share = xp.vecdot(s, q) / sy
        q = q - share * y
        shares.append(share)
    if pairs:
        newest = pairs[-1]
        q = q * (newest.sy / xp.vecdot(newest.y, newest.y))
    for (s, y, sy), share in zip(pairs, reversed(shares), strict=True):
        q = q + (share - xp.vecdot(y, q) / sy) * s
    return q
