"""Rows on a disk: the order that reads whole blocks, and what every rank reads and holds of them."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from thread_ranks import checked, on_ranks

import mlpcore as mc
from mlpcore.training.orders import BLOCK_ROWS, TOGETHER, shuffled_blocks

ROWS, COLUMNS = 40_000, 200


@pytest.fixture(scope="module")
def x(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """32 MB in a file."""
    path = tmp_path_factory.mktemp("rows") / "x.npy"
    np.save(path, np.random.default_rng(0).normal(size=(ROWS, COLUMNS)).astype("float32"))
    return np.load(path, mmap_mode="r")


def fit(x: np.ndarray, ranks: Any, **words: Any) -> mc.Model:
    model = mc.Model(mc.Linear(COLUMNS, 1), mc.SquaredError(), distributed=ranks)
    model.fit(x, x[:, :1] - x[:, 1:2], epochs=2, batch_size=1000, **words)
    return model


@pytest.mark.parametrize("rows", [1, 1023, 1024, 1025, 200_000])
def test_every_row_comes_once_and_blocks_are_read_whole(rows: int) -> None:
    order = shuffled_blocks(3, rows)
    first, second = order(0), order(1)
    np.testing.assert_array_equal(np.sort(first), np.arange(rows))
    np.testing.assert_array_equal(first, shuffled_blocks(3, rows)(0))
    assert rows < 3 or not np.array_equal(first, second)
    window = BLOCK_ROWS * TOGETHER
    for start in range(0, rows - window, window):
        blocks = np.unique(first[start : start + window] // BLOCK_ROWS)
        assert blocks.size <= 2 * TOGETHER  # those of two groups, once the last, smaller block has come


def test_neighbours_do_not_stay_together() -> None:
    order = shuffled_blocks(3, 100_000)(0)
    assert np.mean(np.abs(np.diff(order)) == 1) < 0.001
    assert np.mean(np.abs(order - np.arange(100_000))) > 20_000


@pytest.mark.parametrize("shuffle", [True, "blocks"])
def test_ranks_equal_one_process(x: np.ndarray, shuffle: bool | str) -> None:
    whole = fit(x, None, shuffle=shuffle)
    for model in checked(on_ranks(2, lambda ranks: fit(x, ranks, shuffle=shuffle))):
        np.testing.assert_allclose(model.predict(x[:100]), whole.predict(x[:100]), rtol=0, atol=1e-5)


def test_no_rank_loads_the_file(x: np.ndarray) -> None:
    tracemalloc.start()
    try:
        checked(on_ranks(2, lambda ranks: fit(x, ranks, shuffle="blocks")))
        assert tracemalloc.get_traced_memory()[1] < x.nbytes / 3
    finally:
        tracemalloc.stop()


def test_every_rank_checks_its_part_and_all_hear_of_an_error(tmp_path: Path) -> None:
    rows = np.zeros((10, 2))
    rows[7, 1] = np.inf
    first, second = on_ranks(
        2, lambda ranks: mc.Model(mc.Linear(2, 1), mc.SquaredError(), distributed=ranks).fit(rows, rows[:, :1])
    )
    assert isinstance(second, mc.DataError) and "infinity in column 1" in str(second)
    assert isinstance(first, mc.RankError) and str(first).startswith("rank 1: DataError: x has NaN")


def test_blocks_are_for_one_model() -> None:
    with pytest.raises(mc.ConfigurationError, match="shuffle is 'rows', expected one of True, False, 'blocks'"):
        mc.Model(mc.Linear(2, 1), mc.SquaredError()).fit(np.zeros((4, 2)), np.zeros(4), shuffle="rows")
    with pytest.raises(mc.ConfigurationError, match="shuffle is 'blocks', expected"):
        mc.Stack([mc.Model(mc.Linear(2, 1), mc.SquaredError())]).fit(np.zeros((4, 2)), np.zeros(4), shuffle="blocks")
