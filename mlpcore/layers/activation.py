"""What all activations share: a member writes its function and, under it, its derivative. Identity is the least."""

from typing import Any

from mlpcore.configuration import configuration
from mlpcore.random import Stream
from mlpcore.typing import Array, Cache, Noise, Params, Training


class Activation:
    """Abstract: ``y = f(x)`` for every row, without parameters or randomness.

    A member defines ``activate(x) -> (y, cache)`` and ``gradient(cache, dy) -> dx``, where dx is dy times the
    Jacobian; for an elementwise function that is ``dy * f'(x)``. x, y, dx and dy have one shape (..., n, width).
    """

    row_independent = True

    def activate(self, x: Array) -> tuple[Array, Cache]:
        """``f(x)``, and what its derivative needs."""
        raise NotImplementedError

    def gradient(self, cache: Cache, dy: Array) -> Array:
        """``dy * f'(x)``."""
        raise NotImplementedError

    def widths(self, n_in: int | None) -> int | None:
        """As many columns as go in."""
        return n_in

    def init(self, rng: Stream, dtype: str) -> Params:
        """No parameters."""
        return {}

    def noise(self, stream: Stream, shape: tuple[Any, ...], dtype: str) -> Noise:
        """None is needed."""
        return ()

    def forward(self, params: Params, x: Array, training: Training | None = None) -> tuple[Array, Cache]:
        """The function."""
        return self.activate(x)

    def backward(self, params: Params, cache: Cache, dy: Array, *, need_dx: bool = True) -> tuple[Array | None, Params]:
        """The derivative, where somebody needs it."""
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
