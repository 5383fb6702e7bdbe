"""Array API formulas for functions that ONNX, or onnxruntime in float64, does not have.

`mlpcore.onnx.rewriting` substitutes them. Each is correct to a few roundings for all numbers, NaN and infinities. In a
``where`` both branches are computed for all entries, so a branch may be wrong where it is not chosen. A ``where`` loses
the sign of zeros, because onnxruntime adds its two branches, each with zeros where the other is chosen.
"""

import math
from typing import Any

from mlpcore.typing import Array

LOG_2 = math.log(2)


def expm1(xp: Any, x: Array) -> Array:
    """``exp(x) - 1``; near zero ``(u - 1) x / log(u)`` for ``u = exp(x)``, where u's rounding cancels (Kahan)."""
    u = xp.exp(x)
    near = xp.where(u == 1, x, (u - 1) * (x / xp.log(u)))
    return xp.where(xp.abs(x) < 0.5, near, u - 1)


def log1p(xp: Any, x: Array) -> Array:
    """``log(1 + x)`` as ``log(u) x / (u - 1)`` for ``u = 1 + x``, where u's rounding cancels (Kahan)."""
    u = 1 + x
    near = xp.where(u == 1, x, xp.log(u) * (x / (u - 1)))
    return xp.where(u == x, xp.log(u), near)


def log2(xp: Any, x: Array) -> Array:
    """``log(x) / log(2)``."""
    return xp.log(x) / LOG_2


def log10(xp: Any, x: Array) -> Array:
    """``log(x) / log(10)``."""
    return xp.log(x) / math.log(10)


def logaddexp(xp: Any, x: Array, y: Array) -> Array:
    """``log(exp(x) + exp(y))`` as ``max(x, y) + log1p(exp(-|x - y|))``."""
    apart = xp.maximum(x, y) + log1p(xp, xp.exp(-xp.abs(x - y)))
    return xp.where(x == y, x + LOG_2, apart)


def hypot(xp: Any, x: Array, y: Array) -> Array:
    """``sqrt(x^2 + y^2)``, scaled by the larger; infinite if either is infinite, even if the other is NaN."""
    x, y = xp.abs(x), xp.abs(y)
    large = xp.maximum(x, y)
    ratio = xp.minimum(x, y) / xp.where(large > 0, large, 1.0)
    return xp.where((x == xp.inf) | (y == xp.inf), xp.inf, large * xp.sqrt(1 + ratio * ratio))


def rsqrt(xp: Any, x: Array) -> Array:
    """``1 / sqrt(x)``."""
    return xp.reciprocal(xp.sqrt(x))


def trunc(xp: Any, x: Array) -> Array:
    """Rounded towards zero."""
    return copysign(xp, xp.floor(xp.abs(x)), x)


def isfinite(xp: Any, x: Array) -> Array:
    """Whether x is neither NaN nor infinite."""
    return xp.abs(x) < xp.inf


def signbit(xp: Any, x: Array) -> Array:
    """Whether x is below zero or a negative zero, by the sign of ``1 / x``; false for NaN."""
    return (x < 0) | (xp.reciprocal(x) < 0)


def copysign(xp: Any, x: Array, y: Array) -> Array:
    """The absolute value of x with the sign of y, as a product, which keeps the sign of zeros."""
    return xp.abs(x) * (1 - 2 * xp.astype(signbit(xp, y), x.dtype))


def remainder(xp: Any, x: Array, y: Array) -> Array:
    """The remainder of x by y with the sign of y, from C's ``fmod``, which has the sign of x."""
    rest, opposite = _fmod(xp, x, y)
    return xp.where(opposite, rest + y, rest)


def floor_divide(xp: Any, x: Array, y: Array) -> Array:
    """``floor(x / y)``, from ``(x - remainder) / y``, which is an integer up to rounding."""
    rest, opposite = _fmod(xp, x, y)
    quotient = (x - rest) / y
    quotient = xp.where(opposite, quotient - 1, quotient)
    below = xp.floor(quotient)
    below = xp.where(quotient - below > 0.5, below + 1, below)
    return xp.where(y == 0, x / y, below)


def _fmod(xp: Any, x: Array, y: Array) -> tuple[Array, Array]:
    """C's ``fmod``, and whether it is not zero and its sign is not that of y."""
    rest = xp.elementwise("fmod", x, y)
    return rest, xp.not_equal(rest, 0) & xp.not_equal(rest < 0, y < 0)


def cos(xp: Any, x: Array) -> Array:
    """``1 - 2 sin(x / 2)^2``."""
    half = xp.sin(0.5 * x)
    return 1 - 2 * half * half


def tan(xp: Any, x: Array) -> Array:
    """``sin(x) / cos(x)``."""
    return xp.sin(x) / cos(xp, x)


def cosh(xp: Any, x: Array) -> Array:
    """``(exp(x) + exp(-x)) / 2``, the large power as two factors, which do not overflow before the result does."""
    half = xp.exp(0.5 * xp.abs(x))
    return 0.5 * half * half + 0.5 * xp.exp(-xp.abs(x))


def sinh(xp: Any, x: Array) -> Array:
    """``(exp(x) - exp(-x)) / 2``; with ``e = expm1(x)`` near zero ``(e + e / (e + 1)) / 2``."""
    size, e = xp.abs(x), expm1(xp, x)
    half = xp.exp(0.5 * size)
    far = copysign(xp, 0.5 * half * half - 0.5 * xp.exp(-size), x)
    return xp.where(size < 1, 0.5 * (e + e / (e + 1)), far)


def asinh(xp: Any, x: Array) -> Array:
    """``log(a + sqrt(a^2 + 1))`` for ``a = |x|``, as ``log1p(a + a^2 / (1 + sqrt(a^2 + 1)))``, with the sign of x."""
    a = xp.abs(x)
    square = a * a
    near = log1p(xp, a + square / (1 + xp.sqrt(square + 1)))
    return copysign(xp, xp.where(a > 1e9, xp.log(a) + LOG_2, near), x)


def acosh(xp: Any, x: Array) -> Array:
    """``log(x + sqrt(x^2 - 1))`` as ``log1p(t + sqrt(t) sqrt(t + 2))`` for ``t = x - 1``."""
    t = x - 1
    near = log1p(xp, t + xp.sqrt(t) * xp.sqrt(t + 2))
    return xp.where(x > 1e17, xp.log(x) + LOG_2, near)


def atanh(xp: Any, x: Array) -> Array:
    """``log((1 + a) / (1 - a)) / 2`` for ``a = |x|``, as ``log1p(2 a / (1 - a)) / 2``, with the sign of x."""
    a = xp.abs(x)
    return copysign(xp, 0.5 * log1p(xp, 2 * a / (1 - a)), x)


def atan(xp: Any, x: Array) -> Array:
    """``a + (x cos(a) - sin(a)) / (cos(a) + x sin(a))`` for the float32 result a, whose error is at most 1e-7.

    The correction is the tangent of the missing angle, which differs from the angle by less than its third power.
    """
    x = xp.clip(x, -1e300, 1e300)
    a = xp.astype(xp.atan(xp.astype(x, xp.float32)), x.dtype)
    sine, cosine = xp.sin(a), cos(xp, a)
    return a + (x * cosine - sine) / (cosine + x * sine)


def asin(xp: Any, x: Array) -> Array:
    """``atan(x / sqrt(1 - x^2))``."""
    return atan(xp, x / xp.sqrt((1 - x) * (1 + x)))


def acos(xp: Any, x: Array) -> Array:
    """``2 atan(sqrt((1 - x) / (1 + x)))``."""
    return 2 * atan(xp, xp.sqrt((1 - x) / (1 + x)))


def atan2(xp: Any, y: Array, x: Array) -> Array:
    """The angle of (x, y): that of the smaller absolute value over the larger, reflected into the right octant."""
    wide, high = xp.abs(x), xp.abs(y)
    small, large = xp.minimum(wide, high), xp.maximum(wide, high)
    ratio = xp.where(small == large, xp.astype(large > 0, x.dtype), small / large)
    angle = xp.atan(ratio) if x.dtype == xp.float32 else atan(xp, ratio)
    angle = xp.where(high > wide, math.pi / 2 - angle, angle)
    return copysign(xp, xp.where(signbit(xp, x), math.pi - angle, angle), y)


def whole_remainder(xp: Any, x: Array, y: Array) -> Array:
    """As `remainder`, for integers; 0 for a division by zero, as in NumPy."""
    return xp.remainder(x, _safe(xp, y))


def whole_floor_divide(xp: Any, x: Array, y: Array) -> Array:
    """As `floor_divide`, for integers; 0 for a division by zero."""
    quotient = xp.elementwise("quotient", x - whole_remainder(xp, x, y), _safe(xp, y))
    return xp.where(y == 0, 0, xp.where(y == -1, -x, quotient))


def _safe(xp: Any, y: Array) -> Array:
    """y with 0 and -1 replaced by 1: division by 0, and of the smallest integer by -1, is a processor trap."""
    return xp.where((y == 0) | (y == -1), 1, y)


def largest(xp: Any, x: Array, axes: tuple[int, ...]) -> Array:
    """The maximum over the axes, NaN where an entry is NaN."""
    lost = xp.any(xp.isnan(x), axis=axes, keepdims=True)
    return xp.where(lost, xp.nan, xp.max(x, axis=axes, keepdims=True))


def smallest(xp: Any, x: Array, axes: tuple[int, ...]) -> Array:
    """The minimum over the axes, NaN where an entry is NaN."""
    lost = xp.any(xp.isnan(x), axis=axes, keepdims=True)
    return xp.where(lost, xp.nan, xp.min(x, axis=axes, keepdims=True))


def first_largest(xp: Any, x: Array, axes: tuple[int, ...]) -> Array:
    """The index of the first NaN, else of the first largest entry."""
    (axis,) = axes
    nan = xp.astype(xp.isnan(x), xp.int32)
    places = [xp.argmax(array, axis=axis, keepdims=True) for array in (nan, x)]
    return xp.where(xp.any(xp.astype(nan, xp.bool), axis=axis, keepdims=True), *places)
