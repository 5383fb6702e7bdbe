"""Formulas that layers and losses share. Where arguments and result are finite, no intermediate value overflows."""

import math

from array_api_compat import device as device_of

from mlpcore.errors import DataError
from mlpcore.namespace import namespace
from mlpcore.typing import Array


def positive(x: Array) -> Array:
    """1 where ``x > 0`` and 0 elsewhere, in the dtype of x."""
    return namespace(x).astype(x > 0, x.dtype)


def vector_like(x: Array, numbers: tuple[float, ...]) -> Array:
    """The numbers as an array (c,) of the library, dtype and device of x.

    They are filled on the device, as a CUDA graph cannot be captured with a copy from the host.
    """
    xp, where = namespace(x), device_of(x)
    return xp.stack([xp.full((), number, dtype=x.dtype, device=where) for number in numbers])


def sign(x: Array) -> Array:
    """-1, 0 or 1 by the sign of x, NaN where x is NaN.

    Two comparisons, as array_api_compat's ``sign`` for CuPy indexes with a mask, for which the host waits.
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


def erf(x: Array) -> Array:
    """The error function ``2 / sqrt(pi) * integral of exp(-t^2) over t from 0 to x``, in the dtype of x.

    ``erf(x) = sign(x) * (1 - exp(-a R(a)))`` with ``a = |x|``, clipped where the result rounds to 1; R is a
    polynomial for float32 and a quotient of two for float64. Nothing cancels near zero: the error is a few units in
    the last place (at most 4 were measured with NumPy, 5 with JAX). Signed zeros and NaN stay, infinity gives 1 or -1.
    """
    xp = namespace(x)
    single = xp.finfo(x.dtype).bits <= 32
    a = xp.minimum(xp.abs(x), 4.0 if single else 6.0)
    ratio = _horner(_ERF_SINGLE, a) if single else _horner(_ERF_NUMERATOR, a) / _horner(_ERF_DENOMINATOR, a)
    return xp.copysign(xp.expm1(-a * ratio), x)


# -log(erfc(a)) / a as a polynomial of degree 7, highest power first: fitted over [0, 4] by reweighted least squares
# for the least relative error of erf (3.6e-8).
_ERF_SINGLE = (
    *(4.0707933755132556e-05, -0.0003810007136249448, 0.001251746871888488, 0.00020571565958939572),
    *(-0.019321715708904202, 0.10281441055165667, 0.6366164967723569, 1.1283792070492642),
)
# The same as a quotient of polynomials of degree 8 and 7: fitted in 70 digits over [0, 6] (1.8e-18).
_ERF_NUMERATOR = (
    *(1.182476336364564e-04, 3.3662011796464337e-03, 3.4952354738597265e-02, 1.997859012248287e-01),
    *(7.201116622178843e-01, 1.713846390339875, 2.6693934986911434, 2.5228819221098897, 1.1283791670955126),
)
_ERF_DENOMINATOR = (
    *(1.1826867006466768e-04, 3.3637606792348007e-03, 3.439361162770874e-02, 1.8867039057497503e-01),
    *(6.323490400290834e-01, 1.3314774700524625, 1.6716563055640352, 1.0),
)


def _horner(coefficients: tuple[float, ...], x: Array) -> Array:
    value = coefficients[0] * x + coefficients[1]
    for coefficient in coefficients[2:]:
        value = value * x + coefficient
    return value


def cosine_and_sine(turns: Array) -> tuple[Array, Array]:
    """``cos(2 pi t)`` and ``sin(2 pi t)`` of t in turns, each off by at most 4 rounding units of 1.

    With r the distance of t to the nearest whole number, which is exact, they are ``c^2 - s^2`` and ``2 s c`` for
    ``s = sin(pi r)`` and ``c = cos(pi r)``, which are sums of their Taylor series, as ``|pi r| <= pi / 2``. Unlike the
    functions of most libraries the formula has no branches, so that the loops of printed C are vectorised.
    """
    xp = namespace(turns)
    terms = 7 if xp.finfo(turns.dtype).bits <= 32 else 12
    r = turns - xp.round(turns)
    square = r * r
    s = r * _horner(_SINE[-terms:], square)
    c = _horner(_COSINE[-terms:], square)
    return (c - s) * (c + s), 2 * (s * c)


# Of sin(pi r) / r and cos(pi r) as polynomials of r^2, highest power first.
_SINE = tuple((-1) ** k * math.pi ** (2 * k + 1) / math.factorial(2 * k + 1) for k in reversed(range(12)))
_COSINE = tuple((-1) ** k * math.pi ** (2 * k) / math.factorial(2 * k) for k in reversed(range(12)))


def largest(x: Array, axis: int = -1) -> Array:
    """``max(|x|)`` over an axis, NaN if any entry is NaN: (..., P) -> (...)."""
    xp = namespace(x)
    return xp.max(xp.abs(x), axis=axis)


def log_softmax(z: Array) -> Array:
    """``z - log(sum(exp(z)))`` over the last axis, shifted by the largest score.

    The term of the largest score is then exactly 1; ``log1p`` adds it, so that logarithms near 0 keep their digits.
    """
    xp = namespace(z)
    shifted = z - xp.max(z, axis=-1, keepdims=True)
    is_largest = xp.arange(z.shape[-1], device=device_of(z)) == xp.argmax(z, axis=-1, keepdims=True)
    others = xp.where(is_largest, 0.0, xp.exp(shifted))
    return shifted - xp.log1p(xp.sum(others, axis=-1, keepdims=True))


def softmax(z: Array) -> Array:
    """``exp(z) / sum(exp(z))`` over the last axis, shifted by the largest score."""
    xp = namespace(z)
    powers = xp.exp(z - xp.max(z, axis=-1, keepdims=True))
    return powers / xp.sum(powers, axis=-1, keepdims=True)


def square_scaling(largest: Array, terms: int, eps: float = 0.0) -> tuple[Array, Array]:
    """``(s, eps s^2)`` with a power of two s such that the sum of squares of ``s x`` neither overflows nor underflows.

    ``largest`` is the largest ``|x|``, and ``terms`` the number of summands. The squares of the largest numbers keep
    their digits, even if a mean is subtracted first that cancels nearly all of them. s is 1 unless x is very large or
    very small; small numbers are not scaled if their squares are negligible beside ``eps``. ``eps s^2`` is at least the
    smallest normal number, so that zeros can be divided by its root. Shapes and dtype are those of ``largest``.
    """
    xp = namespace(largest)
    info = xp.finfo(largest.dtype)
    smallest = float(info.smallest_normal)
    top, bottom, digits = math.frexp(float(info.max))[1], math.frexp(smallest)[1], 2 - math.frexp(float(info.eps))[1]
    highest = (top - 4 - (terms - 1).bit_length()) // 2  # exponent of the largest value to square
    lowest = (bottom + 3 * digits) // 2
    high, low = math.ldexp(1.0, highest), math.ldexp(1.0, lowest)
    down, up = math.ldexp(1.0, highest - top), math.ldexp(1.0, highest - lowest)
    scales_small = eps < math.ldexp(smallest, digits + 2)
    usual_eps, high_eps = max(eps, smallest), max(eps * down * down, smallest)
    low_eps = max(eps * up * up, smallest) if scales_small else usual_eps
    scale, scaled_eps = xp.full_like(largest, 1.0), xp.full_like(largest, usual_eps)
    if scales_small:
        small = largest < low
        scale, scaled_eps = xp.where(small, up, scale), xp.where(small, low_eps, scaled_eps)
    large = largest > high
    return xp.where(large, down, scale), xp.where(large, high_eps, scaled_eps)


def in_squarable_units(target: Array, prediction: Array) -> tuple[Array, Array]:
    """Target and prediction (n,) or (n, c), each column of both multiplied by one power of two.

    It is such that squares of their deviations neither overflow nor underflow, and 1 for all but very large and very
    small numbers. Quotients of such squares, as in R2, keep their value.
    """
    xp = namespace(target)
    largest = xp.max(xp.maximum(xp.abs(target), xp.abs(prediction)), axis=0)
    scale, _ = square_scaling(largest, target.shape[0])
    return target * scale, prediction * scale


def apply_weights(weights: Array, losses: Array, dz: Array) -> tuple[Array, Array]:
    """``(sum_i w_i loss_i, w_i dz_i)`` for weights (n,), losses (..., n) and gradients (..., n, c).

    With weights of entries (n, c) it is ``(sum_ij w_ij loss_ij, w_ij dz_ij)`` for losses (..., n, c) and gradients
    (..., n, c), or (..., n, c, q) of q scores for each entry. A row or an entry of weight 0 adds nothing, even if its
    loss or gradient is infinite or NaN. DataError for weights of entries with losses of rows.
    """
    xp = namespace(dz)
    present = weights > 0
    if weights.ndim == 2 and losses.shape[-2:] != weights.shape:
        raise DataError(
            f"apply_weights: the weights have shape {tuple(weights.shape)} and the losses {tuple(losses.shape)}, "
            "expected one loss for each weight"
        )
    value = xp.sum(xp.where(present, weights * losses, 0.0), axis=-1 if weights.ndim == 1 else (-2, -1))
    for _ in range(dz.ndim - losses.ndim):
        weights, present = xp.expand_dims(weights, axis=-1), xp.expand_dims(present, axis=-1)
    return value, xp.where(present, weights * dz, 0.0)


def weights_of_rows(weights: Array) -> Array:
    """The weights (n,) of rows: themselves, or the means over the columns of weights of entries (n, c)."""
    return weights if weights.ndim == 1 else namespace(weights).mean(weights, axis=-1)
