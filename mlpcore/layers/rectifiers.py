"""Activations that are the identity (or a multiple of it) above zero and flatter below.

They are written as sums of ``max(x, 0)`` and ``min(x, 0)``: a selection by sign costs far more on a CPU, as random
signs cannot be predicted. All are finite for every finite x, and NaN stays NaN.
"""

from mlpcore.configuration import check_number, configuration
from mlpcore.layers.activation import Activation
from mlpcore.namespace import namespace
from mlpcore.numerics import positive
from mlpcore.typing import Array


@configuration
class ReLU(Activation):
    """``y = max(x, 0)``, ``dx = dy`` where x > 0 and 0 elsewhere, at the kink too.

    Source: Nair & Hinton (2010), "Rectified linear units improve restricted Boltzmann machines".
    """

    def activate(self, x: Array) -> tuple[Array, Array]:
        """``max(x, 0)``."""
        y = namespace(x).maximum(x, 0.0)
        return y, y

    def gradient(self, cache: Array, dy: Array) -> Array:
        """``dy * (y > 0)``: y is positive exactly where x is."""
        return dy * positive(cache)


@configuration
class LeakyReLU(Activation):
    """``y = x`` where x > 0 and ``slope * x`` elsewhere; ``dx = dy`` or ``slope * dy``, the latter at the kink.

    Source: Maas, Hannun & Ng (2013), "Rectifier nonlinearities improve neural network acoustic models", sec. 2, with
    their slope 0.01.
    """

    slope: float = 0.01

    def __post_init__(self) -> None:
        check_number(self, slope=self.slope, least=0)

    def activate(self, x: Array) -> tuple[Array, Array]:
        """``max(x, 0) + slope * min(x, 0)``, one of which is zero."""
        xp = namespace(x)
        return xp.maximum(x, 0.0) + self.slope * xp.minimum(x, 0.0), x

    def gradient(self, cache: Array, dy: Array) -> Array:
        """``dy * (1 where x > 0, slope elsewhere)``."""
        above = positive(cache)
        return dy * (above + self.slope * (1 - above))


@configuration
class ELU(Activation):
    """``y = x`` where x > 0 and ``alpha * (exp(x) - 1)`` elsewhere, which levels off at ``-alpha``.

    ``dx = dy`` above zero and ``dy * alpha * exp(x)`` elsewhere. At 0 there is a kink unless alpha is 1, and the
    derivative taken there is the one from below, alpha.

    Source: Clevert, Unterthiner & Hochreiter (2016), "Fast and accurate deep network learning by exponential linear
    units (ELUs)", sec. 3.
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        check_number(self, alpha=self.alpha, least=0)

    def activate(self, x: Array) -> tuple[Array, Array]:
        """``max(x, 0) + alpha * expm1(min(x, 0))``, one of which is zero."""
        return _exponential(x, self.alpha), x

    def gradient(self, cache: Array, dy: Array) -> Array:
        """``dy * (1 where x > 0, alpha * exp(x) elsewhere)``."""
        return dy * _exponential_slope(cache, self.alpha)


@configuration
class SELU(Activation):
    """``y = scale * ELU(x)`` with the one alpha and scale that keep mean 0 and variance 1 from layer to layer.

    ``alpha`` is 1.6732632423543772 and ``scale`` 1.0507009873554805; activations keep mean and variance when the
    weights are `LeCunNormal`. At the kink in 0 the derivative is the one from below, ``scale * alpha``.

    Source: Klambauer, Unterthiner, Mayr & Hochreiter (2017), "Self-normalizing neural networks", eq. 2.
    """

    def activate(self, x: Array) -> tuple[Array, Array]:
        """``scale * (max(x, 0) + alpha * expm1(min(x, 0)))``."""
        return SELU_SCALE * _exponential(x, SELU_ALPHA), x

    def gradient(self, cache: Array, dy: Array) -> Array:
        """``dy * scale * (1 where x > 0, alpha * exp(x) elsewhere)``."""
        return dy * (SELU_SCALE * _exponential_slope(cache, SELU_ALPHA))


# The fixed point (0, 1) of mean and variance: the closed forms in appendix A1 of the paper, to double precision.
SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805


def _exponential(x: Array, alpha: float) -> Array:
    xp = namespace(x)
    return xp.maximum(x, 0.0) + alpha * xp.expm1(xp.minimum(x, 0.0))


def _exponential_slope(x: Array, alpha: float) -> Array:
    xp = namespace(x)
    above = positive(x)
    return above + (alpha * (1 - above)) * xp.exp(xp.minimum(x, 0.0))
