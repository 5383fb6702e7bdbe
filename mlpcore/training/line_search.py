"""How far to go along a direction: a step that meets the strong Wolfe conditions, from two numbers for each trial."""

import math
from collections.abc import Generator
from typing import NamedTuple

DECREASE, CURVATURE = 1e-4, 0.9  # the usual pair for quasi-Newton directions: Nocedal & Wright (2006), sec. 3.1
TRIES = 20  # evaluations in one search, as many as L-BFGS-B allows
FARTHEST, NEAREST = 10.0, 1.1  # how much longer than the last step the next one may and must be, while none is too long
RETREAT = 0.2  # the share of a step that is tried next where it led to a number that is not finite
MARGIN = 0.1  # the share of the bracket at both ends where no trial is placed

Search = Generator[float, tuple[float, float], str]
FOUND, NO_STEP, ROUNDING = "found", "no step", "rounding"


class Trial(NamedTuple):
    """A step with the value there and its slope along the direction."""

    step: float
    value: float
    slope: float


def strong_wolfe(value: float, slope: float, step: float, rounding: float) -> Search:
    """Yields steps to try, first ``step``, and is sent (value, slope) there; the arguments of that name are those at 0.

    It returns FOUND when the step t just tried meets the strong Wolfe conditions::

        value(t) <= value(0) + 1e-4 t slope(0)          |slope(t)| <= 0.9 |slope(0)|

    ROUNDING when the gain that the slope promises in the bracket is below ``rounding * |value(0)|``, so that values can
    no longer be told apart, and NO_STEP after 20 trials; in both cases the best step tried is the one of lowest value.

    A number that is not finite counts as an infinite value: the step there was too long. Bracketing and zoom are one
    loop, for an upper end not yet found is an upper end at infinity.

    Source: Nocedal & Wright (2006), "Numerical optimization", algorithms 3.5 and 3.6, eq. 3.59 for the cubic,
    whose minimiser is kept off the ends of the bracket. To halve a bracket that shrinks slowly was tried: it took more
    trials, and found less.
    """
    low, high = Trial(0.0, value, slope), None
    for _ in range(TRIES):
        now = Trial(step, *(yield step))
        finite = math.isfinite(now.value) and math.isfinite(now.slope)
        if not finite or now.value > value + DECREASE * step * slope or (low.step > 0 and now.value >= low.value):
            high = now if finite else Trial(step, math.inf, math.nan)
        elif abs(now.slope) <= CURVATURE * -slope:
            return FOUND
        else:
            beyond = math.inf if high is None else high.step
            last, low = low, now
            if now.slope * (beyond - now.step) >= 0:
                high = last
            elif high is None:
                at = _cubic(last, now)
                step = min(max(at, NEAREST * now.step), FARTHEST * now.step) if at == at else FARTHEST * now.step
                continue
        assert high is not None
        if abs(high.step - low.step) * abs(low.slope) <= rounding * abs(value):
            return ROUNDING
        step = _between(low, high)
    return NO_STEP


def _between(low: Trial, high: Trial) -> float:
    """A step inside the bracket."""
    span = high.step - low.step
    if not math.isfinite(high.value):
        return low.step + RETREAT * span
    at = (_cubic(low, high) - low.step) / span
    return low.step + (0.5 if math.isnan(at) else min(max(at, MARGIN), 1 - MARGIN)) * span


def _cubic(a: Trial, b: Trial) -> float:
    """The minimiser of the cubic with these values and slopes; NaN where it has none or the numbers are too large."""
    mean = a.slope + b.slope - 3 * (a.value - b.value) / (a.step - b.step)
    if not math.isfinite(mean):
        return math.nan
    power = -max(math.frexp(slope)[1] for slope in (mean, a.slope, b.slope))  # with which no square overflows
    before, after, mean = (math.ldexp(slope, power) for slope in (a.slope, b.slope, mean))
    square = mean * mean - before * after
    root = math.copysign(math.sqrt(square), b.step - a.step) if square >= 0 else math.nan
    below = after - before + 2 * root
    return b.step - (b.step - a.step) * (after + root - mean) / below if below else math.nan
