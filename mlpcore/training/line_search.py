"""Line search: a step that meets the strong Wolfe conditions, from value and slope at each trial step."""

import math
from collections.abc import Generator
from typing import NamedTuple

DECREASE, CURVATURE = 1e-4, 0.9  # the usual pair for quasi-Newton directions: Nocedal & Wright (2006), sec. 3.1
TRIES = 20  # evaluations in one search, as many as L-BFGS-B allows
FARTHEST, NEAREST = 10.0, 1.1  # largest and least factor from one step to the next, while no step was too long
RETREAT = 0.2  # the share of the bracket that is tried next if its upper end is not finite
MARGIN = 0.1  # the share of the bracket at each end in which no trial is placed

Search = Generator[float, tuple[float, float], str]
FOUND, NO_STEP, ROUNDING = "found", "no step", "rounding"


class Trial(NamedTuple):
    """A step, with the value and its slope along the direction there."""

    step: float
    value: float
    slope: float


def strong_wolfe(value: float, slope: float, step: float, rounding: float) -> Search:
    """Yield steps to try, first ``step``, and receive (value, slope) there. ``value`` and ``slope`` are those at 0.

    Returns FOUND when the last step t meets the strong Wolfe conditions::

        value(t) <= value(0) + 1e-4 t slope(0)          |slope(t)| <= 0.9 |slope(0)|

    ROUNDING when the decrease that the slope predicts within the bracket is below ``rounding * |value(0)|``, where
    values differ only by rounding; and NO_STEP after 20 trials. In both cases the caller takes the step of the lowest
    value.

    A value or slope that is not finite counts as an infinite value: that step was too long. Bracketing and zoom are one
    loop: until the upper end of the bracket is found, it is at infinity.

    Source: Nocedal & Wright (2006), "Numerical optimization", algorithms 3.5 and 3.6, eq. 3.59 for the cubic,
    whose minimiser is kept away from the ends of the bracket. Halving a bracket that shrinks slowly was tried: it took
    more trials and found a step less often.
    """
    low, high = Trial(0.0, value, slope), None
    for _ in range(TRIES):
        trial = Trial(step, *(yield step))
        finite = math.isfinite(trial.value) and math.isfinite(trial.slope)
        if not finite or trial.value > value + DECREASE * step * slope or (low.step > 0 and trial.value >= low.value):
            high = trial if finite else Trial(step, math.inf, math.nan)
        elif abs(trial.slope) <= CURVATURE * -slope:
            return FOUND
        else:
            beyond = math.inf if high is None else high.step
            last, low = low, trial
            if trial.slope * (beyond - trial.step) >= 0:
                high = last
            elif high is None:
                at = _cubic(last, trial)
                step = min(max(at, NEAREST * trial.step), FARTHEST * trial.step) if at == at else FARTHEST * trial.step
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
