"""Formulas that layers and losses share, each written so that no finite score overflows on the way."""

from array_api_compat import device as device_of

from mlpcore.namespace import namespace
from mlpcore.typing import Array


def positive(x: Array) -> Array:
    """1 where ``x > 0`` and 0 elsewhere, in the dtype of x."""
    return namespace(x).astype(x > 0, x.dtype)


def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))`` as ``(1 + tanh(x / 2)) / 2``, which cannot overflow."""
    return 0.5 + 0.5 * namespace(x).tanh(0.5 * x)


def softplus(x: Array) -> Array:
    """``log(1 + exp(x))`` as ``max(x, 0) + log1p(exp(-|x|))``."""
    xp = namespace(x)
    return xp.maximum(x, 0.0) + xp.log1p(xp.exp(-xp.abs(x)))


def log_softmax(z: Array) -> Array:
    """``z - log(sum(exp(z)))`` over the last axis, shifted by the largest score.

    The largest score's own term is then exactly 1 and is left to ``log1p``: near 0 the logarithm keeps its digits.
    """
    xp = namespace(z)
    shifted = z - xp.max(z, axis=-1, keepdims=True)
    largest = xp.arange(z.shape[-1], device=device_of(z)) == xp.argmax(z, axis=-1, keepdims=True)
    others = xp.where(largest, 0.0, xp.exp(shifted))
    return shifted - xp.log1p(xp.sum(others, axis=-1, keepdims=True))


def softmax(z: Array) -> Array:
    """``exp(z) / sum(exp(z))`` over the last axis, shifted by the largest score."""
    xp = namespace(z)
    powers = xp.exp(z - xp.max(z, axis=-1, keepdims=True))
    return powers / xp.sum(powers, axis=-1, keepdims=True)


def weigh(weights: Array, rows: Array, dz: Array) -> tuple[Array, Array]:
    """``(sum_i w_i rows_i, w_i dz_i)`` for losses (..., n) and gradients (..., n, c).

    A row of weight 0 takes no part, even where its loss or gradient is infinite.
    """
    xp = namespace(dz)
    present = weights > 0
    value = xp.sum(xp.where(present, weights * rows, 0.0), axis=-1)
    column = xp.expand_dims(weights, axis=-1)
    return value, xp.where(xp.expand_dims(present, axis=-1), column * dz, 0.0)
