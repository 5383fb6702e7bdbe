"""Columns of indices as columns of 0 and 1, for networks without embeddings."""

from collections.abc import Sequence

from mlpcore.namespace import namespace
from mlpcore.typing import Array

MOST = 100  # levels of a column that have a column of their own; they come in order of their frequency


def one_hot(x: Array, sizes: Sequence[int]) -> Array:
    """x (n, c) with each of its last ``len(sizes)`` columns, of indices below its size, replaced by columns of 0 and 1.

    The index 0 (rare, unseen or missing) has no column, and neither have levels beyond the first `MOST`.
    """
    xp, numeric = namespace(x), x.shape[1] - len(sizes)
    levels = [
        xp.astype(x[:, numeric + place, None] == xp.arange(1, min(size, MOST + 1), dtype=x.dtype), x.dtype)
        for place, size in enumerate(sizes)
    ]
    return xp.concat([x[:, :numeric], *levels], axis=1) if levels else x


def one_hot_width(numeric: int, sizes: Sequence[int]) -> int:
    """The number of columns of `one_hot`."""
    return numeric + sum(min(size - 1, MOST) for size in sizes)
