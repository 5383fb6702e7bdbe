"""Formulas that layers and losses share, each written so that no finite score overflows on the way."""

from mlpcore.namespace import namespace
from mlpcore.typing import Array


def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))`` as ``(1 + tanh(x / 2)) / 2``, which cannot overflow."""
    return 0.5 + 0.5 * namespace(x).tanh(0.5 * x)


def softplus(x: Array) -> Array:
    """``log(1 + exp(x))`` as ``max(x, 0) + log1p(exp(-|x|))``."""
    xp = namespace(x)
    return xp.maximum(x, 0.0) + xp.log1p(xp.exp(-xp.abs(x)))


def log_softmax(z: Array) -> Array:
    """``z - log(sum(exp(z)))`` over the last axis, shifted by the largest score."""
    xp = namespace(z)
    shifted = z - xp.max(z, axis=-1, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=-1, keepdims=True))


def softmax(z: Array) -> Array:
    """``exp(z) / sum(exp(z))`` over the last axis, shifted by the largest score."""
    xp = namespace(z)
    powers = xp.exp(z - xp.max(z, axis=-1, keepdims=True))
    return powers / xp.sum(powers, axis=-1, keepdims=True)
