"""Standard errors of measures, and of differences of two ways to predict the same rows."""

import math

import numpy as np
import pytest

from mlpcore.cli.report.chance import paired_error, standard_error

RNG = np.random.default_rng(0)


def shares(chosen: np.ndarray) -> np.ndarray:
    return np.eye(3)[chosen]


def test_the_error_of_paired_accuracies_is_that_of_the_differences_of_the_rows() -> None:
    """Half a row more of each kind: right, wrong; wrong, right; and twice half a row without a difference."""
    y = RNG.integers(0, 3, 200)
    first, second = (np.where(RNG.random(200) < share, y, (y + 1) % 3) for share in (0.9, 0.8))
    differences = (first == y).astype(int) - (second == y).astype(int)
    n = len(y) + 2
    total, squares = differences.sum(), (differences**2).sum() + 1
    expected = math.sqrt((squares - total**2 / n) / n / n)
    assert paired_error(y, shares(first), shares(second)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kind", ["classes", "amounts"])
def test_paired_errors_are_those_of_many_samples(kind: str) -> None:
    """The spread of the difference over samples of rows that are drawn anew."""

    def sample(n: int = 400) -> tuple[np.ndarray, ...]:
        if kind == "amounts":
            y = RNG.normal(size=n)
            common = RNG.normal(size=n)  # errors that both make
            return y, y + 0.5 * common + 0.1 * RNG.normal(size=n), y + 0.6 * common + 0.1 * RNG.normal(size=n)
        y, hard = RNG.integers(0, 3, n), RNG.random(n)
        return (
            y,
            shares(np.where(hard < 0.85, y, (y + 1) % 3)),
            shares(np.where(hard + 0.03 * RNG.normal(size=n) < 0.8, y, (y + 1) % 3)),
        )

    def difference(y: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
        if kind == "classes":
            return float(np.mean(first.argmax(axis=1) == y) - np.mean(second.argmax(axis=1) == y))
        return float((np.sum((y - second) ** 2) - np.sum((y - first) ** 2)) / np.sum((y - y.mean()) ** 2))

    samples = [sample() for _ in range(1500)]
    spread = np.std([difference(*one) for one in samples])
    found = np.mean([paired_error(*one) for one in samples])
    assert found == pytest.approx(spread, rel=0.08)


def test_the_error_of_one_r2_is_that_of_its_difference_to_the_mean() -> None:
    y = RNG.normal(size=100)
    prediction = y + 0.3 * RNG.normal(size=100)
    errors, distances = (y - prediction) ** 2, (y - y.mean()) ** 2
    quotient = errors.mean() / distances.mean()
    expected = np.std(errors - quotient * distances) / distances.mean() / math.sqrt(99)
    assert standard_error(y, prediction) == pytest.approx(expected, rel=1e-12)


def test_the_error_of_one_accuracy_is_not_0_where_all_are_right() -> None:
    y = np.zeros(96, int)
    assert standard_error(y, shares(y)) == pytest.approx(math.sqrt(0.98 * 0.02 / 100))


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_rows_say_nothing(n: int) -> None:
    assert math.isnan(standard_error(np.zeros(n), np.zeros(n)))
    assert math.isnan(standard_error(np.zeros(n, int), np.ones((n, 3))))
    assert math.isnan(paired_error(np.zeros(n, int), np.ones((n, 3)), np.ones((n, 3))))


def test_amounts_without_a_spread_or_too_large_to_square() -> None:
    assert math.isnan(paired_error(np.ones(5), np.ones(5), np.zeros(5)))
    assert math.isfinite(paired_error(np.linspace(-1e300, 1e300, 9), np.zeros(9), np.full(9, 1e299)))
