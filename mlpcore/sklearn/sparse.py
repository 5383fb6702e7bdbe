"""CSR input: a batch of rows becomes dense when it is needed, the table never."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse import issparse

from mlpcore.backends.backend import Backend
from mlpcore.backends.run import ChunkError, Run, shifted
from mlpcore.backends.transfer import to_backend
from mlpcore.typing import Array, State

BLOCK_BYTES = 1 << 24  # of dense rows at a time: some batches, so that the backend has a chunk to run


def rows_at_a_time(x: Any, least: int = 1) -> int:
    """How many rows of x are made dense together."""
    return max(least, BLOCK_BYTES // (x.dtype.itemsize * max(x.shape[1], 1)))


def rows_on_backend(x: Any, start: int, stop: int, backend: Backend, dtype: str | None = None) -> Array:
    """Rows start to stop of an array of any library or of a CSR table, dense on the backend."""
    rows = x[start:stop].toarray() if issparse(x) else x[start:stop, ...]
    return to_backend(rows, backend, dtype)


def densified(run: Run, backend: Backend) -> Run:
    """``run`` for data whose x may be a CSR table: some steps at a time get their rows made dense."""

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
                here = np.arange(flat.size).reshape(rows.shape)
                state, some = run(state, block, here, shifted(draw, start))
            except ChunkError as error:
                raise ChunkError(error.state, start + error.steps) from error.__cause__
            losses.append(some)
        return state, losses[0] if len(losses) == 1 else xp.concat(losses)

    in_blocks.densifies = True  # type: ignore[attr-defined]  # a mark on the function itself
    return in_blocks
