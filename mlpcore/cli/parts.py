"""Encodes the rows of a table to train, to validate and to test with."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from mlpcore.cli.splits import SplitRows
from mlpcore.preprocessing import Standardize
from mlpcore.random import Stream
from mlpcore.tables import Table
from mlpcore.tabular.description import Description
from mlpcore.tabular.encoder import TableEncoder
from mlpcore.tabular.recipe import sample

LEARNT_CELLS = 1 << 22  # of training rows, drawn at random, that the encoder learns from
MAPPED = 32 << 20  # bytes; larger arrays lie in a file, of which the system keeps in memory what it has room for

Pair = tuple[np.ndarray, np.ndarray]


class Parts(NamedTuple):
    """A table split and encoded: pairs of the network's input and encoded targets; None for an empty part.

    The input is that of `TableEncoder`. Targets are class numbers (n,), or standardised amounts (n, 1).
    """

    description: Description
    train: Pair
    validation: Pair | None
    test: Pair | None


def fit_encoder(
    encoder: TableEncoder, table: Table, features: Sequence[str], train: np.ndarray, seed: int
) -> TableEncoder:
    """The encoder fitted to the training rows, or to as many of them as have `LEARNT_CELLS` cells."""
    rows = sample(train, max(1, LEARNT_CELLS // len(features)), Stream(seed, "sample"))
    return encoder.fit(table.take(rows, features), rows)


def encode(table: Table, description: Description, rows: SplitRows, dtype: str) -> Parts:
    """The parts of a table, whose rows are read in batches. The target's scaling is that of the training rows."""
    if not description.target.labels and description.target.scaling is None:
        known = sample(rows.target[rows.train], LEARNT_CELLS, Stream(0, "sample"))
        scaling = Standardize.fit(known[:, None])
        description = replace(description, target=replace(description.target, scaling=scaling))
    return Parts(description, *encode_rows(table, description, rows.target, rows[1:], dtype))


def encode_rows(
    table: Table, description: Description, target: np.ndarray, numbers: Sequence[np.ndarray], dtype: str
) -> list[Any]:
    """A pair for each of the lists of row numbers, None for an empty one; ``target`` is that of all rows."""
    scaling, arrays = description.target.scaling, list[np.ndarray]()
    for first, frame in table.batches(description.encoder.kept):
        x = description.rows(frame, dtype, first, warn=False)
        arrays = arrays or [_allocate((len(part), x.shape[1]), x.dtype) for part in numbers]
        for part, array in zip(numbers, arrays, strict=True):
            begin, end = np.searchsorted(part, [first, first + len(x)])
            array[begin:end] = x[part[begin:end] - first]
    targets = (target[part] for part in numbers)
    encoded = (y.astype(np.int64) if scaling is None else scaling(y[:, None]).astype(dtype) for y in targets)
    return [(x, y) if len(y) else None for x, y in zip(arrays, encoded, strict=True)]


def _allocate(shape: tuple[int, int], dtype: np.dtype) -> np.ndarray:
    """An array without content, in memory, or in a temporary file without a name if it is large."""
    if shape[0] * shape[1] * dtype.itemsize <= MAPPED:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile(prefix="mlpcore-") as file:
        return np.memmap(file, dtype, "w+", shape=shape)
