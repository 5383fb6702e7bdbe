"""Row weights: a mean is a choice of weights, so every loss returns a weighted sum."""

from mlpcore.namespace import namespace
from mlpcore.typing import Array


def weigh(weights: Array, rows: Array, dz: Array) -> tuple[Array, Array]:
    """``(sum_i w_i rows_i, w_i dz_i)`` for losses (..., n) and gradients (..., n, c).

    A row of weight 0 takes no part, even where its loss or gradient is infinite.
    """
    xp = namespace(dz)
    present = weights > 0
    value = xp.sum(xp.where(present, weights * rows, 0.0), axis=-1)
    column = xp.expand_dims(weights, axis=-1)
    return value, xp.where(xp.expand_dims(present, axis=-1), column * dz, 0.0)
