"""Explanations of single predictions: derivatives of a score by the inputs, and the same along a path from a baseline.

Rows are worked on in blocks, so that memory is bounded; only the result is as large as x.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from mlpcore.backends import get_backend
from mlpcore.backends.transfer import like
from mlpcore.configuration import check_count, plain
from mlpcore.errors import ConfigurationError, DataError
from mlpcore.losses import SoftmaxCrossEntropy
from mlpcore.training.ingest import ingest_rows, output_columns
from mlpcore.training.loop import Trainer
from mlpcore.training.reading import read_array
from mlpcore.training.scores import BLOCK_ROWS
from mlpcore.typing import Array

MAX_STEPS = 1000  # its nodes take a quarter of a second, once

# ``explain(x, start, stop)`` of the rows from start to stop, which are given on the backend.
Explain = Callable[[Array, int, int], Array]


def input_gradient(trainer: Trainer, x: Any, output: int | None = None, batch_size: int | None = None) -> Array:
    """What `mlpcore.Model.input_gradient` returns."""
    who = "input_gradient"
    with trainer.backend.scope(trainer.dtype):
        rows = _checked_rows(trainer, who, x, output, batch_size)

        def explain(block: Array, start: int, stop: int) -> Array:
            return _gradient(trainer, block, _score_number(trainer, block, output))

        return _in_blocks(trainer, explain, rows, x, batch_size or BLOCK_ROWS)


def integrated_gradients(
    trainer: Trainer,
    x: Any,
    output: int | None = None,
    baseline: Any = None,
    steps: int = 50,
    batch_size: int | None = None,
) -> Array:
    """What `mlpcore.Model.integrated_gradients` returns."""
    who = "integrated_gradients"
    check_count(who, steps=steps)
    if (steps := plain(steps)) > MAX_STEPS:
        raise ConfigurationError(f"{who}: steps is {steps}, expected a whole number of 1 to {MAX_STEPS}")
    with trainer.backend.scope(trainer.dtype):
        rows = _checked_rows(trainer, who, x, output, batch_size)
        origins = _checked_baseline(trainer, who, np.zeros(rows.shape[1]) if baseline is None else baseline, rows)
        most = batch_size or BLOCK_ROWS  # points in one pass
        nodes, weights = _gauss_legendre(steps)
        on_backend, dtype, xp = trainer.scores.on_backend, trainer.backend.dtypes[trainer.dtype], trainer.backend.xp

        def explain(block: Array, start: int, stop: int) -> Array:
            origin = on_backend(origins if origins.shape[0] == 1 else origins[start:stop, :])
            number = xp.expand_dims(_score_number(trainer, block, output), axis=-2)
            near, far = xp.expand_dims(origin, axis=-2), xp.expand_dims(block, axis=-2)
            mean = block * 0
            for first in range(0, steps, most):
                a, weight = (
                    trainer.backend.asarray(part[first : first + most, None], dtype=dtype) for part in (nodes, weights)
                )
                gradients = _gradient(trainer, (1 - a) * near + a * far, number)
                mean = mean + xp.sum(weight * gradients, axis=-2)
            return (block - origin) * mean

        return _in_blocks(trainer, explain, rows, x, max(1, most // steps))


def _checked_rows(trainer: Trainer, who: str, x: Any, output: int | None, batch_size: int | None) -> Array:
    """The rows as `ingest_rows` gives them, for an output that the network has."""
    if batch_size is not None:
        check_count(who, batch_size=batch_size)
    rows = ingest_rows("x", x, trainer.backend, trainer.dtype)
    outputs, number = output_columns(trainer.net, rows), plain(output)
    what = f"the number of a score, 0 to {outputs - 1}"
    if number is None:
        if outputs > 1 and not isinstance(trainer.loss, SoftmaxCrossEntropy):
            raise ConfigurationError(f"{who}: output is None, expected {what}; only networks of classes predict one")
    elif isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < outputs:
        classes = " or None for the predicted class" if isinstance(trainer.loss, SoftmaxCrossEntropy) else ""
        raise ConfigurationError(f"{who}: output is {output!r}, expected {what}{classes}")
    return rows


def _checked_baseline(trainer: Trainer, who: str, baseline: Any, rows: Array) -> Array:
    """The baseline as a table of one row, or of as many as x."""
    array, _ = read_array("baseline", baseline, trainer.backend)
    if tuple(array.shape) not in (tuple(rows.shape), tuple(rows.shape[1:])):
        raise DataError(
            f"{who}: baseline has shape {tuple(array.shape)}, expected {tuple(rows.shape[1:])} like a row of x, "
            f"or {tuple(rows.shape)} like x"
        )
    one_row = array.ndim == 1
    return ingest_rows("baseline", array[None, :] if one_row else baseline, trainer.backend, trainer.dtype)


def _score_number(trainer: Trainer, block: Array, output: int | None) -> Array:
    """The number of the score to explain, (1, 1), or (n, 1) where it is the largest of each row."""
    dtype = trainer.backend.dtypes[trainer.dtype]
    if output is not None:
        return trainer.backend.asarray(np.full((1, 1), plain(output)), dtype=dtype)
    xp, scores = trainer.backend.xp, trainer.score(block, block.shape[0])
    return xp.astype(xp.argmax(scores, axis=-1, keepdims=True), dtype)


def _gradient(trainer: Trainer, x: Array, number: Array) -> Array:
    """The derivatives (..., columns) of the score of this number (..., 1) at the points x (..., columns)."""
    xp = trainer.backend.xp
    rows = xp.concat([x, xp.broadcast_to(number, (*x.shape[:-1], 1))], axis=-1)
    rows = xp.reshape(rows, (-1, rows.shape[-1]))
    with trainer.reading():
        state = trainer.state
        found = trainer.scores.input_gradient(trainer.vector(state), state.statistics, rows, rows.shape[0])
    return xp.reshape(found, x.shape)


def _in_blocks(trainer: Trainer, explain: Explain, rows: Array, x: Any, size: int) -> Array:
    """``explain`` for so many rows at a time; the whole in the library of x, on the host if the rows lie there."""
    backend, count = trainer.backend, rows.shape[0]
    storage = backend if backend.owns(rows) else get_backend("numpy")
    parts = []
    for start in range(0, count, size):
        stop = min(start + size, count)
        part = explain(trainer.scores.on_backend(rows[start:stop, :]), start, stop)
        parts.append(part if storage is backend else backend.to_numpy(part))
    return like(parts[0] if len(parts) == 1 else storage.xp.concat(parts, axis=0), x, storage)


@cache
def _gauss_legendre(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes in (0, 1) and weights that sum to 1, exact for polynomials of degree ``2 steps - 1``."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    return (nodes + 1) / 2, weights / 2
