"""The strong Wolfe search: its conditions hold at the end, from any first step, also beside numbers that are none."""

import math
from itertools import pairwise

import pytest

from mlpcore.training.line_search import CURVATURE, DECREASE, FOUND, NO_STEP, ROUNDING, TRIES, strong_wolfe

EPS = 2.2e-16

# The value and its derivative along a direction; all fall at 0, and all have points that meet the conditions.
FUNCTIONS = {
    "parabola": lambda t: ((t - 1) ** 2, 2 * (t - 1)),
    "flat": lambda t: (-t / (t * t + 2), (t * t - 2) / (t * t + 2) ** 2),  # Moré & Thuente (1994), eq. 5.1
    "concave, then steep": lambda t: ((t + 0.004) ** 5 - 2 * (t + 0.004) ** 4, _steep(t + 0.004)),  # eq. 5.2
    "waves": lambda t: (0.1 * t * t - math.sin(t), 0.2 * t - math.cos(t)),
    "two valleys": lambda t: (t**4 - 6 * t**3 + 11 * t**2 - 6 * t, 4 * t**3 - 18 * t**2 + 22 * t - 6),
    "wall of infinity": lambda t: (
        (t - 2 * math.sqrt(t + 0.2), 1 - 1 / math.sqrt(t + 0.2)) if t < 1e3 else (math.inf, 1)
    ),
    "no number beyond 3": lambda t: ((t - 2) ** 2, 2 * (t - 2)) if t < 3 else (math.nan, math.nan),
    "no slope beyond 3": lambda t: ((t - 2) ** 2, 2 * (t - 2) if t < 3 else math.nan),
    "plane, then wall": lambda t: (5e3 * max(t - 1, 0) ** 2 - t, 1e4 * max(t - 1, 0) - 1),
    "overflow": lambda t: (math.exp(t) - 9 * t if t < 700 else math.inf, math.exp(min(t, 700)) - 9),
}


def _steep(u):
    return 5 * u**4 - 8 * u**3


def walk(function, step, rounding=EPS):
    """The outcome, and the steps tried with what was found there."""
    search, tried = strong_wolfe(*function(0.0), step, rounding), []
    at = next(search)
    while True:
        tried.append((at, *function(at)))
        try:
            at = search.send(tried[-1][1:])
        except StopIteration as end:
            return end.value, tried


@pytest.mark.parametrize("step", [1e-6, 1e-3, 0.1, 1.0, 10.0, 100.0, 1e4])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_conditions_hold_where_it_stops(name, step):
    function = FUNCTIONS[name]
    value, slope = function(0.0)
    outcome, tried = walk(function, step)
    assert outcome == FOUND
    at, there, steepness = tried[-1]
    assert tried[0][0] == step
    assert there <= value + DECREASE * at * slope
    assert abs(steepness) <= CURVATURE * abs(slope)
    assert len(tried) <= TRIES


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_step_beyond_one_that_was_too_long(name):
    function = FUNCTIONS[name]
    _, tried = walk(function, 1e4)
    bound = math.inf
    for at, value, slope in tried:
        assert 0 < at < bound
        if not math.isfinite(value + slope) or value > function(0.0)[0]:
            bound = at


def test_a_parabola_takes_two_steps():
    """The cubic through both ends of a bracket is the parabola itself: the second step is its minimum."""
    for steep in (1.0, 100.0):
        outcome, tried = walk(lambda t, steep=steep: (steep * (t - 1) ** 2, 2 * steep * (t - 1)), 2.2)
        assert outcome == FOUND
        assert tried[-1][0] == pytest.approx(1.0, rel=1e-14)
        assert len(tried) == 2


def test_what_falls_for_ever_has_no_step():
    outcome, tried = walk(lambda t: (-t, -1.0), 1.0)
    assert outcome == NO_STEP
    assert len(tried) == TRIES
    assert all(later[0] > sooner[0] for sooner, later in pairwise(tried))


def test_no_number_anywhere_has_no_step():
    outcome, tried = walk(lambda t: (math.nan, math.nan) if t else (0.0, -1.0), 1.0)
    assert outcome == NO_STEP
    assert tried[-1][0] < 1e-12


def test_a_gain_below_rounding_ends_the_search_at_once():
    """The value is 1 with a noise of 1e-7, the promised gain 1e-9: nothing is to be seen."""

    def function(t):
        return 1 + 1e-7 * (t > 0), -1e-9

    assert walk(function, 1.0, rounding=1.2e-7)[0] == ROUNDING
    assert len(walk(function, 1.0, rounding=1.2e-7)[1]) == 1
    assert walk(function, 1.0, rounding=0.0)[0] == NO_STEP
