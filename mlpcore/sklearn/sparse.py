"""CSR input: blocks of rows are made dense when they are needed, never the whole table."""

from typing import Any

import numpy as np
from scipy.sparse import issparse

from mlpcore.backends.backend import Backend
from mlpcore.backends.chunks import joined, numbered, split
from mlpcore.backends.run import Data, Draw, Progress, Run, collect
from mlpcore.backends.transfer import to_backend
from mlpcore.typing import Array, State

BLOCK_BYTES = 1 << 24  # of dense rows at a time: several batches, so that the backend runs chunks of steps


def row_bytes(x: Any) -> int:
    """The bytes of a dense row of x."""
    return x.dtype.itemsize * x.shape[1]


def rows_at_a_time(x: Any) -> int:
    """The number of rows of x that are made dense together."""
    return max(1, BLOCK_BYTES // max(row_bytes(x), 1))


def rows_on_backend(x: Any, start: int, stop: int, backend: Backend, dtype: str | None = None) -> Array:
    """Rows start to stop of an array of any library or of a CSR table, dense on the backend."""
    rows = x[start:stop].toarray() if issparse(x) else x[start:stop, ...]
    return to_backend(rows, backend, dtype)


def densified(run: Run, backend: Backend) -> Run:
    """A version of ``run`` for data whose x may be a CSR table: rows are made dense for some steps at a time."""

    def run_sparse(state: State, data: Data, order: np.ndarray, draw: Draw) -> tuple[State, Array]:
        x, target, weights = data
        if not issparse(x):
            return run(state, data, order, draw)
        xp = backend.xp

        def progress(state: State) -> Progress:
            for chunk_order, chunk_draw in split(order, draw, order.shape[1] * row_bytes(x), BLOCK_BYTES):
                rows = chunk_order.reshape(-1)
                on_device = backend.asarray(rows)
                dense = (
                    backend.asarray(x[rows].toarray()),
                    xp.take(target, on_device, axis=0),
                    xp.take(weights, on_device, axis=0),
                )
                state, losses = run(state, dense, numbered(chunk_order), chunk_draw)
                yield state, losses, chunk_order.shape[0]

        return collect(state, progress(state), joined(xp.concat))

    run_sparse.densifies = True  # type: ignore[attr-defined]  # a mark on the function itself
    return run_sparse
