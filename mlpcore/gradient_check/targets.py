"""Random targets for a loss, of every kind that its ``prepare`` accepts."""

import numpy as np

from mlpcore.errors import DataError
from mlpcore.gradient_check.points import ROWS, like
from mlpcore.namespace import namespace
from mlpcore.random import Stream
from mlpcore.typing import Array, Loss


def draw_targets(stream: Stream, rows: int, columns: int) -> dict[str, np.ndarray]:
    """Raw targets of every kind that a loss may take, ``(rows, columns)`` or labels ``(rows,)``."""
    uniform = stream.child("uniform").uniform((rows, columns))
    return {
        "reals": stream.child("reals").normal((rows, columns)),
        "counts": np.floor(4 * uniform),
        "flags": np.floor(2 * uniform),
        "probabilities": (uniform + 0.1) / np.sum(uniform + 0.1, axis=-1, keepdims=True),
        "labels": np.floor(columns * uniform[:, 0]).astype(np.int64),
    }


def prepared_targets(loss: Loss, z: Array | None, target: Array | None, stream: Stream) -> list[tuple[str, int, Array]]:
    """``(kind, columns of z, prepared target)`` for the given target, or for every kind that the loss accepts."""
    sample = np.zeros(()) if z is None else z
    dtype = namespace(sample).float64
    rows = ROWS if z is None else z.shape[-2]
    refusal: Exception | None = None
    for columns in _target_columns(z, target):
        raw = draw_targets(stream, rows, columns) if target is None else {"the given values": target}
        accepted = []
        for kind, values in raw.items():
            try:
                outputs = loss.outputs(columns)
                if z is None or z.shape[-1] == outputs:
                    accepted.append((kind, outputs, loss.prepare(like(sample, values), outputs, dtype)))
            except ValueError as error:
                refusal = error
        if accepted:
            return accepted
    raise DataError(
        f"check_gradients: {loss!r} accepts no target that was tried, the last refusal was: {refusal}; "
        "pass target=, and x= with the scores for it"
    )


def _target_columns(z: Array | None, target: Array | None) -> list[int]:
    """Columns to try: those of the given target (for labels, the classes too), or every number that may belong to z."""
    of_scores = [] if z is None else list(range(z.shape[-1], 0, -1))
    if target is None:
        return of_scores or [3, 1]
    xp = namespace(target)
    columns = [1 if target.ndim == 1 else target.shape[-1]]
    if columns == [1] and xp.isdtype(target.dtype, "integral"):
        columns = of_scores or [int(xp.max(target)) + 1, 1]
    return columns
