"""CSR input: blocks of rows are made dense when they are needed, never the whole table."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse import issparse

from mlpcore.backends.backend import Backend
from mlpcore.backends.run import ChunkError, Run, shifted
from mlpcore.backends.transfer import to_backend
from mlpcore.typing import Array, State

BLOCK_BYTES = 1 << 24  # of dense rows at a time: several batches, so that the backend runs chunks of steps


def rows_at_a_time(x: Any, least: int = 1) -> int:
    """The number of rows of x that are made dense together."""
    return max(least, BLOCK_BYTES // (x.dtype.itemsize * max(x.shape[1], 1)))


def rows_on_backend(x: Any, start: int, stop: int, backend: Backend, dtype: str | None = None) -> Array:
    """Rows start to stop of an array of any library or of a CSR table, dense on the backend."""
    rows = x[start:stop].toarray() if issparse(x) else x[start:stop, ...]
    return to_backend(rows, backend, dtype)


def densified(run: Run, backend: Backend) -> Run:
    """A version of ``run`` for data whose x may be a CSR table: rows are made dense for some steps at a time."""

    def in_blocks(state: State, data: tuple, order: np.ndarray, draw: Callable[[int], Any]) -> tuple[State, Array]:
        x, target, weights = data
        if not issparse(x):
            return run(state, data, order, draw)
        xp, batch, losses = backend.xp, order.shape[1], []
        steps = rows_at_a_time(x, batch) // batch
        for start in range(0, order.shape[0], steps):
            rows = order[start : start + steps]
            flat = rows.reshape(-1)
            on_device = backend.asarray(flat)
            block = (
                backend.asarray(x[flat].toarray()),
                xp.take(target, on_device, axis=0),
                xp.take(weights, on_device, axis=0),
            )
            try:
                block_order = np.arange(flat.size).reshape(rows.shape)
                state, block_losses = run(state, block, block_order, shifted(draw, start))
            except ChunkError as error:
                raise ChunkError(error.state, start + error.steps) from error.__cause__
            losses.append(block_losses)
        return state, losses[0] if len(losses) == 1 else xp.concat(losses)

    in_blocks.densifies = True  # type: ignore[attr-defined]  # a mark on the function itself
    return in_blocks
