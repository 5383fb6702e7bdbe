"""Formulas that layers and losses share, each written so that no finite number overflows on the way."""

import math
from collections.abc import Callable

from array_api_compat import device as device_of

from mlpcore.namespace import namespace
from mlpcore.typing import Array


def positive(x: Array) -> Array:
    """1 where ``x > 0`` and 0 elsewhere, in the dtype of x."""
    return namespace(x).astype(x > 0, x.dtype)


def sign(x: Array) -> Array:
    """-1, 0 or 1 by the sign of x, NaN where x is NaN.

    By two comparisons: the compatibility layer's ``sign`` for CuPy picks the NaNs by a mask, which the host waits for.
    """
    xp = namespace(x)
    return xp.where(x > 0, 1.0, xp.where(x < 0, -1.0, x))


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


def softmax(z: Array, axis: int = -1) -> Array:
    """``exp(z) / sum(exp(z))`` over an axis, shifted by the largest score."""
    xp = namespace(z)
    powers = xp.exp(z - xp.max(z, axis=axis, keepdims=True))
    return powers / xp.sum(powers, axis=axis, keepdims=True)


def label_cross_entropy(z: Array, target: Array, weights: Array, axis: int = -1) -> tuple[Array, Array]:
    """``sum_i w_i loss_i`` (...) and ``w dz`` for ``loss = -log softmax(z)_t`` of the labels t (n,), weights (n,).

    The classes lie along ``axis``, -1 or -2, of z (..., n, c) or (..., c, n). With ``s_j = exp(z_j - max(z))`` summed
    apart for the label and for the others::

        loss = max(z) - z_t + log1p(others + (s_t - 1))        dz_j = s_j / sum(s)        dz_t = -others / sum(s)

    Where the label has the largest score, ``s_t`` is exactly 1: loss and gradient keep their digits however near 0.
    A row of weight 0 takes no part, even where its scores are infinite.
    """
    xp = namespace(z)
    labels = xp.arange(z.shape[axis], dtype=target.dtype, device=device_of(z))
    own = xp.astype(xp.expand_dims(labels, axis=-3 - axis) == xp.expand_dims(target, axis=axis), z.dtype)
    weights = xp.expand_dims(weights, axis=axis)
    present = weights > 0
    top = xp.max(z, axis=axis, keepdims=True)
    powers = xp.exp(z - top)
    chosen = own * powers
    rest = powers - chosen
    labelled, chosen, others = (xp.sum(part, axis=axis, keepdims=True) for part in (own * z, chosen, rest))
    rows = xp.log1p(others + (chosen - 1)) - (labelled - top)
    share = weights / (chosen + others)
    value = xp.sum(xp.where(present, weights * rows, 0.0), axis=(-2, -1))
    return value, xp.where(present, rest * share - own * (others * share), 0.0)


def square_scaling(x: Array, terms: int, eps: float = 0.0) -> Callable[[Array], tuple[Array, Array]]:
    """A formula ``largest -> (s, eps s^2)`` for numbers of the dtype of x that are to be squared and added up.

    ``largest`` is the size of the largest of ``terms`` numbers. The power of two s brings them to where the squares
    add up to something finite and the largest ones keep their digits, even if a mean is subtracted first that takes all
    but the last of them. It is 1 for all but the largest and the smallest numbers, and then changes nothing; small
    numbers whose squares vanish beside ``eps`` are left alone. ``eps s^2`` is at least the smallest normal number, so
    that zeros can be divided by its root.
    """
    info = namespace(x).finfo(x.dtype)
    smallest = float(info.smallest_normal)
    top, bottom, digits = math.frexp(float(info.max))[1], math.frexp(smallest)[1], 2 - math.frexp(float(info.eps))[1]
    highest = (top - 4 - (terms - 1).bit_length()) // 2  # of the powers of two whose squares may be added up
    lowest = (bottom + 3 * digits) // 2
    high, low = math.ldexp(1.0, highest), math.ldexp(1.0, lowest)
    down, up = math.ldexp(1.0, highest - top), math.ldexp(1.0, highest - lowest)
    raised = eps < math.ldexp(smallest, digits + 2)
    usual, beside_high = max(eps, smallest), max(eps * down * down, smallest)
    beside_low = max(eps * up * up, smallest) if raised else usual

    def formula(largest: Array) -> tuple[Array, Array]:
        xp = namespace(largest)
        scale, added = xp.full_like(largest, 1.0), xp.full_like(largest, usual)
        if raised:
            small = largest < low
            scale, added = xp.where(small, up, scale), xp.where(small, beside_low, added)
        large = largest > high
        return xp.where(large, down, scale), xp.where(large, beside_high, added)

    return formula


def weigh(weights: Array, rows: Array, dz: Array) -> tuple[Array, Array]:
    """``(sum_i w_i rows_i, w_i dz_i)`` for losses (..., n) and gradients (..., n, c).

    A row of weight 0 takes no part, even where its loss or gradient is infinite.
    """
    xp = namespace(dz)
    present = weights > 0
    value = xp.sum(xp.where(present, weights * rows, 0.0), axis=-1)
    column = xp.expand_dims(weights, axis=-1)
    return value, xp.where(xp.expand_dims(present, axis=-1), column * dz, 0.0)
