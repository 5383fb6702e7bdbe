"""Predictions of several networks as one: means, and the deviation of their mixture."""

import numpy as np
import pytest

from mlpcore.losses import HalfSquaredError, StandardizedTarget
from mlpcore.losses.mixture import mean_and_deviation, mixture
from mlpcore.losses.standardized import original

DRAWS = np.random.default_rng(0)
MEANS = list(DRAWS.normal(size=(4, 5, 2)))
SPREADS = list(DRAWS.uniform(0.1, 2.0, size=(4, 5, 2)))


def test_mean_and_deviation_are_those_of_the_members() -> None:
    mean, deviation = mean_and_deviation(MEANS)
    np.testing.assert_allclose(mean, np.mean(MEANS, axis=0), rtol=1e-14)
    np.testing.assert_allclose(deviation, np.std(MEANS, axis=0), rtol=1e-14)


def test_the_variance_of_a_mixture_is_the_mean_variance_and_that_of_the_means() -> None:
    expected = np.mean(np.square(SPREADS), axis=0) + np.var(MEANS, axis=0)
    mean, deviation = mean_and_deviation(list(zip(MEANS, SPREADS, strict=True)))
    np.testing.assert_allclose(deviation, np.sqrt(expected), rtol=1e-14)
    mixed, variance = mixture([(m, s * s) for m, s in zip(MEANS, SPREADS, strict=True)])
    np.testing.assert_allclose(variance, expected, rtol=1e-14)
    np.testing.assert_array_equal(mixed, mean)
    np.testing.assert_array_equal(mixture(MEANS), mean)


@pytest.mark.parametrize("value", [0.0, -3.0, 1e300])
def test_members_that_agree_have_no_deviation(value: float) -> None:
    mean, deviation = mean_and_deviation([np.full((2, 1), value)] * 3)
    assert np.all(mean == value) and np.all(deviation == 0)


@pytest.mark.parametrize("power", [-1000, -600, 600, 1000])
def test_the_unit_of_the_target_does_not_count(power: int) -> None:
    unit = 2.0**power
    _, deviation = mean_and_deviation(MEANS)
    np.testing.assert_array_equal(mean_and_deviation([m * unit for m in MEANS])[1], deviation * unit)


def test_an_infinite_member_makes_the_deviation_infinite_or_nan() -> None:
    with np.errstate(invalid="ignore"):
        _, deviation = mean_and_deviation([np.asarray([[1.0, 1.0]]), np.asarray([[np.inf, 2.0]])])
    assert not np.isfinite(deviation[0, 0]) and deviation[0, 1] == 0.5


def test_the_loss_in_a_standardized_one() -> None:
    assert original(StandardizedTarget(HalfSquaredError(), (1.0,), (2.0,))) == HalfSquaredError()
    assert original(HalfSquaredError()) == HalfSquaredError()
