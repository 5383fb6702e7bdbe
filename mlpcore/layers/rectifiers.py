"""Activations with a bend at zero: the identity (or a multiple of it) above, something flatter below."""

from mlpcore.configuration import configuration
from mlpcore.layers.activation import Activation
from mlpcore.namespace import namespace
from mlpcore.typing import Array


@configuration
class ReLU(Activation):
    """``y = max(x, 0)``, ``dx = dy`` where x > 0 and 0 elsewhere, at the kink too. NaN stays NaN.

    Source: Nair & Hinton (2010), "Rectified linear units improve restricted Boltzmann machines".
    """

    def activate(self, x: Array) -> tuple[Array, Array]:
        """``max(x, 0)``."""
        y = namespace(x).maximum(x, 0.0)
        return y, y

    def gradient(self, cache: Array, dy: Array) -> Array:
        """``dy * (y > 0)``: y is positive exactly where x is."""
        return dy * namespace(dy).astype(cache > 0, dy.dtype)
