"""Activations that level off on both sides: Sigmoid and Tanh. Far out their derivative is exactly 0."""

from mlpcore.configuration import configuration
from mlpcore.layers.activation import Activation
from mlpcore.layers.softmax import Softmax as Softmax  # for pickles written before December 2026
from mlpcore.namespace import namespace
from mlpcore.numerics import sigmoid
from mlpcore.typing import Array


@configuration
class Sigmoid(Activation):
    """``y = 1 / (1 + exp(-x))``, ``dx = dy * y * (1 - y)``.

    Finite for every finite x. Computed through tanh, so the error is a rounding unit of 1, not of y. As the last layer
    under a cross-entropy use `SigmoidCrossEntropy` on the raw scores instead.

    Source: Rumelhart, Hinton & Williams (1986), "Learning representations by back-propagating errors", eq. 2.
    """

    def activate(self, x: Array) -> tuple[Array, Array]:
        """``(1 + tanh(x / 2)) / 2``."""
        y = sigmoid(x)
        return y, y

    def gradient(self, cache: Array, dy: Array) -> Array:
        """``dy * y (1 - y)``."""
        return dy * (cache * (1 - cache))


@configuration
class Tanh(Activation):
    """``y = tanh(x)``, ``dx = dy * (1 - y^2)``.

    Source: LeCun, Bottou, Orr & Müller (1998), "Efficient BackProp", sec. 4.4, on why a sigmoid through the origin.
    """

    def activate(self, x: Array) -> tuple[Array, Array]:
        """``tanh(x)``."""
        y = namespace(x).tanh(x)
        return y, y

    def gradient(self, cache: Array, dy: Array) -> Array:
        """``dy * (1 - y^2)``."""
        return dy * (1 - cache * cache)
