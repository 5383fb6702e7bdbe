"""Ranks with rows of their own: which rows are in a batch, and what is trained."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thread_ranks import checked, on_ranks

import mlpcore as mc
from mlpcore.training.orders import in_order, shuffled
from mlpcore.training.shards import GivenShards, order_of_ranks

X = np.random.default_rng(1).normal(size=(90, 4))
Y = X @ np.array([[1.0], [-2.0], [0.5], [0.0]])
WEIGHTS = np.random.default_rng(2).integers(0, 3, 90).astype(float)
WEIGHTS[:2] = 1  # each rank needs a row that counts


@settings(max_examples=100, deadline=None)
@given(counts=st.lists(st.integers(1, 40), min_size=1, max_size=5), batch=st.integers(1, 50), epoch=st.integers(0, 3))
def test_an_epoch_has_every_row_once_and_batches_an_even_share_of_every_rank(
    counts: list[int], batch: int, epoch: int
) -> None:
    orders = [shuffled(7, count, path=f"order.{rank}") for rank, count in enumerate(counts)]
    numbers = order_of_ranks(orders, counts, batch)(epoch)
    np.testing.assert_array_equal(np.sort(numbers), np.arange(sum(counts)))
    stops = np.cumsum(counts)
    for start in range(0, numbers.size, batch):
        rows = numbers[start : start + batch]
        first = 0
        for stop, count in zip(stops, counts, strict=True):
            own, place = GivenShards(int(stop) - count, int(stop))(rows)
            assert not own.size or place == first
            assert abs(own.size - rows.size * count / sum(counts)) < len(counts)
            np.testing.assert_array_equal(rows[first : first + own.size], own + stop - count)
            first += own.size
        assert first == rows.size


def test_the_order_of_a_rank_is_its_own() -> None:
    numbers = order_of_ranks([in_order(4), in_order(2)], [4, 2], 3)(0)
    np.testing.assert_array_equal(numbers, [0, 1, 4, 2, 3, 5])


def model(ranks: Any, *layers: Any) -> mc.Model:
    net = mc.Sequential(mc.Linear(4, 8), mc.SiLU(), *layers, mc.Linear(8, 1))
    return mc.Model(net, mc.SquaredError(), mc.Adam(0.03), dtype="float64", distributed=ranks, metrics=["r2"])


@pytest.mark.parametrize("cuts", [(45,), (10, 80), (1, 2, 60)])
def test_ranks_with_rows_of_their_own_equal_one_process_with_all(cuts: tuple[int, ...]) -> None:
    """In batches of all rows, in their order, so that the batches are the same."""
    whole = model(None, mc.Dropout(0.3))
    arguments = {"epochs": 6, "batch_size": 1000, "shuffle": False}
    history = whole.fit(X, Y, sample_weight=WEIGHTS, validation_data=(X, Y, WEIGHTS), **arguments)

    def fit(ranks: Any) -> tuple[mc.Model, mc.History]:
        own = slice(*((0, *cuts, len(X))[ranks.rank : ranks.rank + 2]))
        one, rows = model(ranks, mc.Dropout(0.3)), (X[own], Y[own], WEIGHTS[own])
        return one, one.fit(*rows[:2], sample_weight=rows[2], validation_data=rows, shard="given", **arguments)

    for one, own_history in checked(on_ranks(len(cuts) + 1, fit)):
        np.testing.assert_allclose(one.predict(X), whole.predict(X), rtol=0, atol=1e-12)
        for name in ("loss", "val_loss", "val_r2"):
            np.testing.assert_allclose(own_history[name], history[name], rtol=1e-12)


def test_small_batches_of_rows_of_their_own_train() -> None:
    def fit(ranks: Any) -> tuple[float, np.ndarray]:
        one, own = model(ranks), slice(ranks.rank, None, ranks.size)
        history = one.fit(X[own], Y[own], epochs=60, batch_size=16, shard="given")
        return history["loss"][-1], np.asarray(one.trainer.state.params)

    (loss, params), (_, other) = checked(on_ranks(2, fit))
    assert loss < 0.05
    np.testing.assert_array_equal(params, other)
