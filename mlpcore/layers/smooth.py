"""Smooth relatives of the rectifier: close to x far above zero, close to 0 far below, differentiable everywhere.

All are finite, with finite derivatives, for ``|x|`` up to 1e4 and far beyond. Their error is a few rounding units of
``max(1, |x|)``: values far in the lower tail have the right size, but not all digits.
"""

import math

from mlpcore.configuration import check_choice, configuration
from mlpcore.layers.activation import Activation
from mlpcore.namespace import namespace
from mlpcore.numerics import erf, sigmoid, softplus
from mlpcore.typing import Array

_SQRT_HALF = math.sqrt(0.5)
_NORMAL_PEAK = 1 / math.sqrt(2 * math.pi)
_TANH_SCALE = math.sqrt(2 / math.pi)
_TANH_CUBIC = 0.044715


@configuration
class GELU(Activation):
    """``y = x * Phi(x)`` with the distribution function Phi of the standard normal.

    ``approximate="none"`` computes this. ``"tanh"`` replaces Phi by ``(1 + tanh(u)) / 2`` with
    ``u = sqrt(2 / pi) (x + 0.044715 x^3)``, which is within 5e-4 of it. The derivatives are
    ``Phi(x) + x phi(x)``, phi being the normal density, and that of the tanh form itself,
    ``(1 + t) / 2 + x (1 - t^2) u' / 2`` with ``t = tanh(u)``.

    Source: Hendrycks & Gimpel (2016), "Gaussian error linear units (GELUs)", sec. 2. Names as in torch.
    """

    approximate: str = "none"

    def __post_init__(self) -> None:
        check_choice(self, ("none", "tanh"), approximate=self.approximate)

    def activate(self, x: Array) -> tuple[Array, tuple[Array, Array]]:
        """``x Phi(x)``; the cache is (x, Phi(x))."""
        if self.approximate == "none":
            gate = 0.5 + 0.5 * erf(_SQRT_HALF * x)
        else:
            gate = 0.5 + 0.5 * namespace(x).tanh(_TANH_SCALE * (x + _TANH_CUBIC * (x * x * x)))
        return x * gate, (x, gate)

    def gradient(self, cache: tuple[Array, Array], dy: Array) -> Array:
        """``dy * (gate + x gate')``; for the tanh form ``gate' = 2 gate (1 - gate) u'``."""
        x, gate = cache
        if self.approximate == "none":
            return dy * (gate + x * (_NORMAL_PEAK * namespace(x).exp(-0.5 * (x * x))))
        bend = (gate * (1 - gate)) * x  # 0 far out, where the square of x may be infinite
        return dy * (gate + (2 * _TANH_SCALE) * (bend + (3 * _TANH_CUBIC) * ((bend * x) * x)))


@configuration
class SiLU(Activation):
    """``y = x * sigmoid(x)``, also called swish; ``dx = dy * s * (1 + x * (1 - s))`` with ``s = sigmoid(x)``.

    Sources: Hendrycks & Gimpel (2016), "Gaussian error linear units (GELUs)", sec. 2; Elfwing, Uchibe & Doya (2018),
    "Sigmoid-weighted linear units for neural network function approximation in reinforcement learning".
    """

    def activate(self, x: Array) -> tuple[Array, tuple[Array, Array]]:
        """``x s``."""
        s = sigmoid(x)
        return x * s, (x, s)

    def gradient(self, cache: tuple[Array, Array], dy: Array) -> Array:
        """``dy * (s + x s (1 - s))``."""
        x, s = cache
        return dy * (s + x * (s * (1 - s)))


@configuration
class Mish(Activation):
    """``y = x * tanh(softplus(x))``.

    With ``u = exp(x)``, ``tanh(log(1 + u)) = ((1 + u)^2 - 1) / ((1 + u)^2 + 1) = m / (m + 2)`` for ``m = u (u + 2)``,
    whose derivative is ``4 u (1 + u) / (m + 2)^2``. In u, and in the factor x of this derivative, x is clipped at 40,
    where ``m / (m + 2)`` is 1 to 1e-34, so that nothing overflows.

    Source: Misra (2019), "Mish: a self regularized non-monotonic activation function".
    """

    def activate(self, x: Array) -> tuple[Array, tuple[Array, Array]]:
        """``x m / (m + 2)``."""
        clipped = namespace(x).minimum(x, 40.0)
        u = namespace(x).exp(clipped)
        m = u * (u + 2)
        return x * (m / (m + 2)), (clipped, u)

    def gradient(self, cache: tuple[Array, Array], dy: Array) -> Array:
        """``dy * (m / (m + 2) + x * 4 u (1 + u) / (m + 2)^2)``, the square taken as two quotients."""
        x, u = cache
        below = u * (u + 2) + 2
        return dy * ((u * (u + 2)) / below + x * (4 * u / below) * ((1 + u) / below))


@configuration
class Softplus(Activation):
    """``y = log(1 + exp(x))``, ``dx = dy * sigmoid(x)``.

    The formula holds for all x, whereas torch returns x from x = 20 on, which is off by up to 2e-9.

    Source: Dugas, Bengio, Bélisle, Nadeau & Garcia (2001), "Incorporating second-order functional knowledge for better
    option pricing".
    """

    def activate(self, x: Array) -> tuple[Array, Array]:
        """``max(x, 0) + log1p(exp(-|x|))``."""
        return softplus(x), x

    def gradient(self, cache: Array, dy: Array) -> Array:
        """``dy * sigmoid(x)``."""
        return dy * sigmoid(cache)
