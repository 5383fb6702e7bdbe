"""BatchNorm's running statistics take each batch for what it knows: its weight, and how many rows share that."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from devices import PLACES, open_place
from hypothesis import given
from hypothesis import strategies as st
from members import assert_close

import mlpcore as mc
from mlpcore.layers import BatchNorm
from mlpcore.random import Stream
from mlpcore.training import loop
from mlpcore.typing import Training

SEEDS = st.integers(0, 2**32 - 1)
OLD = {"running_mean": np.asarray([1.0, -2.0]), "running_var": np.asarray([3.0, 0.5])}
WEIGHTS = st.lists(st.sampled_from([0.0, 0.25, 1.0, 2.0, 7.0]), min_size=1, max_size=6)


def observed(x: np.ndarray, weights: Any, full: tuple[float, float] | None = None, momentum: float = 0.3) -> Any:
    """The new statistics after these rows; ``full`` is the weight of a full batch, and that of one row less."""
    layer = BatchNorm(x.shape[-1], momentum=momentum)
    params = layer.init(Stream(0), "float64") | {name: value[: x.shape[-1]] for name, value in OLD.items()}
    training = Training((), np.asarray(weights, "float64"), () if full is None else np.asarray(full))
    return layer.observe(params, layer.forward(params, x, training)[1])


def rows(seed: int, n: int) -> np.ndarray:
    return 3 * Stream(seed, "x").normal((n, 2)) + 1


@given(weights=WEIGHTS, factor=st.sampled_from([1e-30, 0.04, 3.0, 1e20]), seed=SEEDS)
def test_weights_are_shares(weights: list[float], factor: float, seed: int) -> None:
    """Multiplied by one number they say the same."""
    x = rows(seed, len(weights))
    assert_close(observed(x, factor * np.asarray(weights)), observed(x, weights))


@given(weights=WEIGHTS, seed=SEEDS, at=st.integers(0, 6))
def test_a_row_of_weight_zero_is_not_there(weights: list[float], seed: int, at: int) -> None:
    x, at = rows(seed, len(weights)), min(at, len(weights))
    more = np.insert(x, at, 1e30, axis=0)
    assert_close(observed(more, np.insert(weights, at, 0.0)), observed(x, weights))


@given(weight=st.floats(1e-3, 1e3), nothing=st.integers(0, 3), seed=SEEDS)
def test_one_row_knows_nothing_of_the_variance(weight: float, nothing: int, seed: int) -> None:
    x = rows(seed, 1 + nothing)
    seen = observed(x, [weight, *[0.0] * nothing])
    np.testing.assert_array_equal(seen["running_var"], OLD["running_var"])
    assert_close(seen["running_mean"], 0.7 * OLD["running_mean"] + 0.3 * x[0])


@given(weights=st.lists(st.floats(0.05, 20), min_size=2, max_size=5))
def test_the_variance_of_a_batch_is_unbiased(weights: list[float]) -> None:
    """Over all batches of rows that are -1 or 1 with the same chance, whose variance is 1, its mean is 1."""
    batches = [np.reshape(np.asarray(signs, "float64"), (-1, 1)) for signs in product((-1, 1), repeat=len(weights))]
    variances = [(observed(x, weights)["running_var"] - 0.7 * OLD["running_var"][:1]) / 0.3 for x in batches]
    np.testing.assert_allclose(np.mean(variances), 1, rtol=1e-12)


@pytest.mark.parametrize("n", [2, 5, 64])
def test_a_full_batch_of_equal_weights_counts_by_the_momentum(n: int) -> None:
    x, full = rows(0, n), (0.5 * n, 0.5 * (n - 1))
    expected = {"running_mean": x.mean(axis=0), "running_var": x.var(axis=0, ddof=1)}
    for seen in (observed(x, np.full(n, 0.5)), observed(x, np.full(n, 0.5), full)):
        for name, value in expected.items():
            np.testing.assert_allclose(seen[name], 0.7 * OLD[name] + 0.3 * value, rtol=1e-13)


@given(n=st.integers(1, 8), weight=st.sampled_from([0.5, 1.0, 4.0]), seed=SEEDS)
def test_a_batch_counts_by_its_weight_and_its_degrees_of_freedom(n: int, weight: float, seed: int) -> None:
    """Beside a full batch of 8 rows; one that weighs more than 1 / momentum full ones is all that is left."""
    x = rows(seed, n)
    seen = observed(x, np.full(n, weight), (8.0, 7.0))
    by_mean, by_var = min(0.3 * weight * n / 8, 1), min(0.3 * weight * (n - 1) / 7, 1)
    variance = x.var(axis=0, ddof=1) if n > 1 else np.zeros(2)
    expected = (1 - by_mean) * OLD["running_mean"] + by_mean * x.mean(axis=0)
    assert_close(seen["running_mean"], expected)
    assert_close(seen["running_var"], (1 - by_var) * OLD["running_var"] + by_var * variance)


@given(n=st.integers(2, 5), share=st.floats(1e-12, 1e-3), seed=SEEDS)
def test_a_batch_that_is_nearly_one_row_nearly_leaves_the_variance(n: int, share: float, seed: int) -> None:
    """Its own estimate is of no worth, and is not enlarged."""
    x = rows(seed, n)
    seen = observed(x, [1.0, *[share / (n - 1)] * (n - 1)], (1.0 * n, n - 1.0))
    spread = 4 * np.max(np.ptp(x, axis=0)) ** 2 + 3
    assert np.all(np.abs(seen["running_var"] - OLD["running_var"]) <= 2 * share * spread)


# --- in training

NET = mc.Sequential(mc.BatchNorm(2, momentum=0.25), mc.Linear(2, 1))


def fit(x: np.ndarray, batch_size: int, weights: Any = None, backend: Any = "numpy", **words: Any) -> mc.Model:
    model = mc.Model(NET, mc.SquaredError(), mc.SGD(1e-9), seed=0, dtype="float64", backend=backend)
    given = {"epochs": 2, "shuffle": False} | words
    model.fit(x, x[:, :1], batch_size=batch_size, sample_weight=weights, **given)
    return model


def statistics(model: mc.Model) -> dict[str, np.ndarray]:
    return {name: np.asarray(model.backend.to_numpy(model.params[0][name])) for name in OLD}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("batch_size", [1, 4, 6, 13, 40])
@pytest.mark.parametrize("place", PLACES)
def test_epochs_with_a_short_last_batch(batch_size: int, weighted: bool, place: str) -> None:
    x = rows(0, 13)
    w = 0.1 + Stream(0, "w").uniform((13,)) if weighted else np.ones(13)
    w[3:5] = 0.0 if weighted else 1.0
    full = min(batch_size, 13)
    batches = [slice(start, start + batch_size) for start in range(0, 13, batch_size)]
    m = np.mean(np.concatenate([w[batch] for batch in batches if np.any(w[batch] > 0)]))
    expected = {"running_mean": np.zeros(2), "running_var": np.ones(2)}
    for batch in batches * 2:
        part, weight = x[batch], w[batch, None]
        if (total := weight.sum()) == 0:
            continue
        share = weight / total
        mean, known = np.sum(share * part, axis=0), 1 - np.sum(share**2)
        by_mean, by_var = 0.25 * total / (full * m), 0.25 * total * known / (max(full - 1, 1) * m)
        var = np.sum(share * (part - mean) ** 2, axis=0) / (known or 1)
        expected["running_mean"] += min(by_mean, 1) * (mean - expected["running_mean"])
        expected["running_var"] += min(by_var, 1) * (var - expected["running_var"])
    model = fit(x, batch_size, w if weighted else None, open_place(place))
    for name, value in statistics(model).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-10, err_msg=name)


def test_a_last_batch_of_one_row_leaves_the_variance() -> None:
    x = rows(0, 33)
    x[32] = 100
    long, short = statistics(fit(x, 32, epochs=40)), statistics(fit(x[:32], 32, epochs=40))
    np.testing.assert_allclose(long["running_var"], short["running_var"], rtol=1e-12)
    # The mean is that of all rows, but for the order in which they come.
    np.testing.assert_allclose(long["running_mean"], x.mean(axis=0), rtol=0.05, atol=0.8)


@pytest.mark.parametrize("factor", [0.04, 7.0, 1e-20])
def test_all_weights_times_one_number(factor: float) -> None:
    x, w = rows(0, 50), 0.5 + Stream(0, "w").uniform((50,))
    assert_close(statistics(fit(x, 16, factor * w)), statistics(fit(x, 16, w)))


def test_rows_of_weight_zero_in_batches_of_their_own() -> None:
    x = rows(0, 16)
    w = np.r_[np.zeros(8), np.ones(8)]
    assert_close(statistics(fit(x, 8, w)), statistics(fit(x[8:], 8)))


def test_the_cuts_between_chunks_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    x, w = rows(0, 50), 0.5 + Stream(0, "w").uniform((50,))
    whole = statistics(fit(x, 8, w, shuffle=True))
    monkeypatch.setattr(loop, "CHUNK_WORK", 1.0)
    cut = statistics(fit(x, 8, w, shuffle=True))
    for name, value in whole.items():
        np.testing.assert_array_equal(cut[name], value)
