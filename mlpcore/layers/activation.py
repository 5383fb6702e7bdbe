"""What elementwise activations share: a member writes its function and, under it, its derivative."""

from mlpcore.configuration import configuration
from mlpcore.layers.parameterless import Parameterless
from mlpcore.typing import Array, Cache, Params, Training


class Activation(Parameterless):
    """Abstract: ``y = f(x)`` and ``dx = dy * f'(x)`` for every entry.

    A member defines ``activate(x) -> (y, cache)`` and ``gradient(cache, dy) -> dx``. x, y, dx and dy have one shape
    (..., n, width).
    """

    def activate(self, x: Array) -> tuple[Array, Cache]:
        """``f(x)``, and what its derivative needs."""
        raise NotImplementedError

    def gradient(self, cache: Cache, dy: Array) -> Array:
        """``dy * f'(x)``."""
        raise NotImplementedError

    def forward(self, params: Params, x: Array, training: Training | None = None) -> tuple[Array, Cache]:
        """``f(x)``, the same in training and in inference."""
        return self.activate(x)

    def backward(self, params: Params, cache: Cache, dy: Array, *, need_dx: bool = True) -> tuple[Array | None, Params]:
        """``dy * f'(x)``, or None where it is not needed."""
        return (self.gradient(cache, dy) if need_dx else None), {}


@configuration
class Identity(Activation):
    """``y = x``, ``dx = dy``: the place of a layer where nothing is wanted."""

    def activate(self, x: Array) -> tuple[Array, Cache]:
        """x itself."""
        return x, ()

    def gradient(self, cache: Cache, dy: Array) -> Array:
        """dy itself."""
        return dy
