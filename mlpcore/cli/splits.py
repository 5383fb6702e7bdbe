"""Which rows of a table are trained, validated and tested with: at random, by time, or by group."""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mlpcore.errors import DataError, MlpcoreWarning
from mlpcore.random import Stream
from mlpcore.tables import Table, split
from mlpcore.tabular.columns import CATEGORICAL, as_kind
from mlpcore.tabular.frames import Frame
from mlpcore.tabular.target import Target

Take = Callable[[np.ndarray, float, int], tuple[np.ndarray, np.ndarray]]


class SplitRows(NamedTuple):
    """The target of all rows, and the numbers of the rows to train, validate and test with, in ascending order."""

    target: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split_rows(
    table: Table,
    target: Target,
    y: np.ndarray,
    shares: tuple[float, float],
    seed: int,
    *,
    time: str | None = None,
    group: str | None = None,
    test: np.ndarray | None = None,
) -> SplitRows:
    """The rows of a table by purpose: ``shares`` of them to validate and to test with, the rest to train.

    ``y`` (n,) is the target of all rows, NaN where it is missing; such rows are left out, with a warning. The others
    are drawn at random, with the shares of classes. With ``time``, a column, validation rows are later than training
    rows, and test rows later than both. With ``group``, a column, the rows of one group have the same purpose. ``test``
    are the numbers of the test rows, if they are told. DataError where the rows do not suffice.
    """
    present = np.flatnonzero(~np.isnan(y))
    if not len(present):
        raise DataError(f"{table.source}: no row has a {target.name!r}, expected rows to learn from")
    if len(present) < len(y):
        missing = f"{len(y) - len(present)} of {len(y)} rows have no {target.name!r} and are left out"
        warnings.warn(missing, MlpcoreWarning, stacklevel=2)
    if time is not None:
        take = _latest(table, time)
    elif group is not None:
        take = _groups(table, group)
    else:
        take = _at_random(y if target.labels else None)
    rest, validation_share = present, shares[0]
    if test is None:
        rest, test = take(rest, shares[1], seed + 1) if shares[1] else (rest, rest[:0])
        validation_share = min(1.0, shares[0] * len(present) / len(rest))
    else:
        rest = np.setdiff1d(rest, test)
    train, validation = take(rest, validation_share, seed) if shares[0] else (rest, rest[:0])
    if not len(train):
        raise DataError(f"{table.source}: of {len(present)} rows none is left to train with; take smaller shares")
    return SplitRows(y, train, validation, test)


def _at_random(labels: np.ndarray | None) -> Take:
    def take(rows: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
        rest, held_out = split(len(rows), share, seed, None if labels is None else labels[rows])
        return rows[rest], rows[held_out]

    return take


def _latest(table: Table, name: str) -> Take:
    """Takes the latest rows; rows of one time stay together, those without a time are taken for the earliest."""
    values = [Frame(frame)[name] for _, frame in table.batches([name])]
    if values[0].kind not in ("date", "number", "integer"):
        raise DataError(f"{table.source}: --time names {name!r}, a column of texts; expected dates or numbers")
    times = np.concatenate([one.data for one in values])
    gaps = np.isnat(times) if times.dtype.kind == "M" else np.isnan(times)
    if gaps.any():
        warnings.warn(
            f"{int(gaps.sum())} of {len(times)} rows have no {name!r} and are used to train",
            MlpcoreWarning,
            stacklevel=3,
        )
    _, ranks = np.unique(np.where(gaps, times[~gaps].min() if not gaps.all() else times, times), return_inverse=True)

    def take(rows: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
        ordered = np.sort(ranks[rows])
        border = ordered[len(rows) - max(1, round(share * len(rows)))]
        later = ranks[rows] >= (border if border > ordered[0] else border + 1)
        if not later.any():
            raise DataError(
                f"{table.source}: --time names {name!r}, which has too few different values to hold rows out; name "
                "another column"
            )
        return rows[~later], rows[later]

    return take


def _groups(table: Table, name: str) -> Take:
    """Takes whole groups, at random; rows without one are a group."""
    frames = (Frame(frame)[name] for _, frame in table.batches([name]))
    texts = np.concatenate([as_kind(name, values, CATEGORICAL) for values in frames])
    _, groups = np.unique(["" if text is None else f"={text}" for text in texts.tolist()], return_inverse=True)

    def take(rows: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
        counts = np.bincount(groups[rows])
        present = np.flatnonzero(counts)
        drawn = present[Stream(seed, "groups").order(len(present))]
        before = np.cumsum(counts[drawn]) - counts[drawn]
        chosen = drawn[: max(1, int(np.searchsorted(before, share * len(rows) - 0.5)))]
        if len(chosen) == len(present):
            raise DataError(
                f"{table.source}: --group names {name!r}, which has too few groups to hold some out; name another"
            )
        held_out = np.isin(groups[rows], chosen)
        return rows[~held_out], rows[held_out]

    return take
