"""The schedules: values by hand, both ends exactly, float32 over ten million updates, and every array library."""

import math

import numpy as np
import pytest
from libraries import Library

from mlpcore.errors import ConfigurationError
from mlpcore.schedules import (
    SCHEDULES,
    CosineDecay,
    ExponentialDecay,
    InverseScaling,
    OneCycle,
    PolynomialDecay,
    StepDecay,
    WarmUp,
)
from mlpcore.schedules.rate import check_rate, rate_at

# A schedule, and pairs (updates done, rate) worked out by hand.
BY_HAND = (
    (StepDecay(0.8, 10, 0.5), ((0, 0.8), (9, 0.8), (10, 0.4), (19, 0.4), (20, 0.2))),
    (ExponentialDecay(0.8, 10, 0.25), ((0, 0.8), (5, 0.4), (10, 0.2), (20, 0.05))),
    (CosineDecay(0.8, 12), ((0, 0.8), (4, 0.6), (6, 0.4), (8, 0.2), (12, 0.0), (99, 0.0))),
    (CosineDecay(0.8, 12, final=0.2), ((0, 0.8), (6, 0.5), (12, 0.2), (13, 0.2))),
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
    assert WarmUp(0.5, steps, start=0.25)(ends).tolist() == [0.25, 0.5, 0.5, 0.5]


LONG = (
    StepDecay(0.1, 1000, 0.999),
    StepDecay(0.1, 3, 0.999999),
    ExponentialDecay(0.1, 1, 0.999999),
    ExponentialDecay(0.1, 10**6, 0.5),
    CosineDecay(0.1, 10**7),
    CosineDecay(0.1, 9_999_999, final=1e-6),
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


@pytest.mark.parametrize("every", [1, 3, 7, 41, 47, 49, 1000])
def test_steps_fall_on_the_very_update_in_float32(every):
    counts = every * np.concatenate([np.arange(1, 1000), np.arange(1000, 2**23 // every - 1, 101)])
    schedule = StepDecay(1.0, every, 1 - 1e-6)
    before, after = (schedule(c.astype("float32")) for c in (counts - 1, counts))
    later = schedule((counts + every - 1).astype("float32"))
    assert np.all(before > after) and np.array_equal(after, later)


def test_a_number_is_the_constant_schedule():
    count = np.asarray([0, 7], dtype="float32")
    assert rate_at(0.1, count).tolist() == [np.float32(0.1)] * 2 and rate_at(0.1, count).dtype == "float32"
    assert rate_at(StepDecay(0.5, 4, 0.5), count).tolist() == [0.5, 0.25]
    assert rate_at(lambda c: 2 * c, count).tolist() == [0, 14]


class Owner:
    def __init__(self, learning_rate: object) -> None:
        self.learning_rate = learning_rate


@pytest.mark.parametrize("rate", [1, 0.1, StepDecay(0.1, 1, 0.5), lambda count: count])
def test_rates_that_are_taken(rate):
    check_rate(Owner(rate))


@pytest.mark.parametrize("rate", [0, -0.1, math.nan, math.inf, True, "0.1", None, StepDecay])
def test_rates_that_are_refused(rate):
    with pytest.raises(ConfigurationError, match="Owner: learning_rate is"):
        check_rate(Owner(rate))


GOOD = {
    StepDecay: {"initial": 0.1, "every": 10, "factor": 0.5},
    ExponentialDecay: {"initial": 0.1, "every": 10, "factor": 0.5},
    CosineDecay: {"initial": 0.1, "steps": 10, "final": 0.0},
    PolynomialDecay: {"initial": 0.1, "steps": 10, "power": 1.0, "final": 0.0},
    InverseScaling: {"initial": 0.1, "power": 0.5},
    WarmUp: {"learning_rate": 0.1, "steps": 10, "start": 0.0},
    OneCycle: {"peak": 0.1, "steps": 10, "rise": 0.3, "initial_divisor": 25.0, "final_divisor": 1e4},
}


@pytest.mark.parametrize("kind", SCHEDULES)
def test_wrong_fields_are_refused_by_name(kind):
    assert set(GOOD[kind]) == set(kind.__dataclass_fields__)
    kind(**GOOD[kind])
    for field in GOOD[kind]:
        whole = field in ("steps", "every")
        for value in (-1, "much", math.nan, *((0, 2.5) if whole else (math.inf,))):
            with pytest.raises(ConfigurationError, match=f"{kind.__name__}: {field} is"):
                kind(**{**GOOD[kind], field: value})


def test_a_cycle_too_short_to_rise_is_refused():
    with pytest.raises(ConfigurationError, match=r"rise \* steps is 0.9, expected more than 1"):
        OneCycle(0.1, 3)
