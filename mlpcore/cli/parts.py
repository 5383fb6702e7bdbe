"""Splits a table into rows to train, to validate and to test with, and encodes them."""

import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from mlpcore.errors import DataError, MlpcoreWarning
from mlpcore.preprocessing import Standardize
from mlpcore.random import Stream
from mlpcore.tables import Table, split
from mlpcore.tabular.description import Description
from mlpcore.tabular.encoder import TableEncoder
from mlpcore.tabular.target import Target

LEARNT_CELLS = 1 << 22  # of training rows, drawn at random, that the encoder learns from
MAPPED = 64 << 20  # bytes; larger arrays lie in a file, of which the system keeps in memory what it has room for

Pair = tuple[np.ndarray, np.ndarray]


class Parts(NamedTuple):
    """A table split and encoded: pairs of the network's input and encoded targets; None for an empty part."""

    description: Description
    train: Pair
    validation: Pair | None
    test: Pair | None


class SplitRows(NamedTuple):
    """The target of all rows, and the numbers of the rows to train, validate and test with, in ascending order."""

    target: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split_rows(table: Table, target: Target, share: float, seed: int, test: np.ndarray | None = None) -> SplitRows:
    """Rows of a table: ``test``, a ``share`` of the others for validation, the rest to train.

    Rows without a target are left out, with a warning. The split keeps the shares of classes.
    """
    y = target.read(table)
    present = np.flatnonzero(~np.isnan(y))
    if not len(present):
        raise DataError(f"{table.source}: no row has a {target.name!r}, expected rows to learn from")
    if len(present) < len(y):
        warnings.warn(
            f"{len(y) - len(present)} of {len(y)} rows have no {target.name!r} and are left out",
            MlpcoreWarning,
            stacklevel=2,
        )
    others = present if test is None else np.setdiff1d(present, test)
    positions = split(len(others), share, seed, y[others] if target.labels else None)
    train, held = (others[position] for position in positions)
    return SplitRows(y, train, held, np.zeros(0, dtype=int) if test is None else test)


def fit_encoder(
    encoder: TableEncoder, table: Table, features: Sequence[str], train: np.ndarray, seed: int
) -> TableEncoder:
    """The encoder fitted to the training rows, or to as many of them as have `LEARNT_CELLS` cells."""
    rows = sample(train, max(1, LEARNT_CELLS // len(features)), seed)
    return encoder.fit(table.take(rows, features), rows)


def sample(rows: np.ndarray, count: int, seed: int) -> np.ndarray:
    """At most ``count`` of the rows, drawn at random, in ascending order."""
    return rows if len(rows) <= count else np.sort(rows[Stream(seed, "sample").order(len(rows))[:count]])


def encode(table: Table, description: Description, rows: SplitRows, dtype: str) -> Parts:
    """The parts of a table, whose rows are read in batches. The target's scaling is that of the training rows."""
    scaling = description.target.scaling
    if not description.target.labels:
        scaling = scaling or Standardize.fit(rows.target[sample(rows.train, LEARNT_CELLS, 0)][:, None])
        description = replace(description, target=replace(description.target, scaling=scaling))

    def target(part: np.ndarray) -> np.ndarray:
        y = rows.target[part]
        return y.astype(np.int64) if scaling is None else scaling(y[:, None]).astype(dtype)

    numbers, arrays = rows[1:], list[np.ndarray]()
    for first, frame in table.batches(description.encoder.kept):
        x = description.rows(frame, dtype, first, warn=False)
        arrays = arrays or [_allocate((len(part), x.shape[1]), x.dtype) for part in numbers]
        for part, array in zip(numbers, arrays, strict=True):
            begin, end = np.searchsorted(part, [first, first + len(x)])
            array[begin:end] = x[part[begin:end] - first]
    pairs = [(x, target(part)) if len(part) else None for x, part in zip(arrays, numbers, strict=True)]
    assert pairs[0] is not None  # the split keeps a row
    return Parts(description, pairs[0], *pairs[1:])


def _allocate(shape: tuple[int, int], dtype: np.dtype) -> np.ndarray:
    """An array without content, in memory, or in a temporary file without a name if it is large."""
    if shape[0] * shape[1] * dtype.itemsize <= MAPPED:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile(prefix="mlpcore-") as file:
        return np.memmap(file, dtype, "w+", shape=shape)
