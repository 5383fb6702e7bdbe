"""The base class of elementwise activations: a subclass defines the function and, below it, its derivative."""

from mlpcore.configuration import configuration
from mlpcore.layers.parameterless import Parameterless
from mlpcore.typing import Array, Cache, Params, Training


class Activation(Parameterless):
    """Abstract: ``y = f(x)`` and ``dx = dy * f'(x)`` for every entry.

    A subclass defines ``activate(x) -> (y, cache)`` and ``gradient(cache, dy) -> dx``. x, y, dx and dy all have
    the shape (..., n, width).
    """

    def activate(self, x: Array) -> tuple[Array, Cache]:
        """``(f(x), cache)``; the cache is what `gradient` needs."""
        raise NotImplementedError

    def gradient(self, cache: Cache, dy: Array) -> Array:
        """``dy * f'(x)``."""
        raise NotImplementedError

    def forward(self, params: Params, x: Array, training: Training | None = None) -> tuple[Array, Cache]:
        """``(f(x), cache)``, the same in training and in inference."""
        return self.activate(x)

    def backward(self, params: Params, cache: Cache, dy: Array, *, need_dx: bool = True) -> tuple[Array | None, Params]:
        """``(dx, {})`` with ``dx = dy * f'(x)``, or None if ``need_dx`` is False."""
        return (self.gradient(cache, dy) if need_dx else None), {}


@configuration
class Identity(Activation):
    """``y = x``, ``dx = dy``: a layer without effect."""

    def activate(self, x: Array) -> tuple[Array, Cache]:
        """x itself."""
        return x, ()

    def gradient(self, cache: Cache, dy: Array) -> Array:
        """dy itself."""
        return dy
