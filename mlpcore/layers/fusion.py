"""A rewrite of networks: a linear layer and the activation after it add the bias and activate in one pass."""

from typing import Any

from mlpcore import ops
from mlpcore.configuration import configuration
from mlpcore.layers.activation import Activation
from mlpcore.layers.containers import Residual, Sequential
from mlpcore.layers.linear import Linear
from mlpcore.namespace import namespace
from mlpcore.random import Stream
from mlpcore.typing import Array, Cache, Layer, Noise, Params


def fuse(net: Layer) -> Layer:
    """The same network with every Sequential, at any depth, in its fused form.

    Parameters, noise and caches keep their trees, so that what was saved, laid out or observed with ``net`` fits.
    """
    if isinstance(net, Sequential):
        return Fused(Sequential(*map(fuse, net.layers)))
    return Residual(fuse(net.layer)) if isinstance(net, Residual) else net


@configuration
class Fused:
    """``plain`` with ``y = f(x @ weight + bias)`` as a product and one pass, where an activation follows a Linear.

    On a GPU this spares writing the sum and reading it again. The way back is that of ``plain``: an activation's
    derivative is one pass in any case.
    """

    plain: Sequential

    @property
    def row_independent(self) -> bool:
        """Whether every layer is."""
        return self.plain.row_independent

    def widths(self, n_in: int | None) -> int | None:
        """Columns after the last layer."""
        return self.plain.widths(n_in)

    def init(self, rng: Stream, dtype: str) -> Params:
        """The parameters of ``plain``."""
        return self.plain.init(rng, dtype)

    def noise(self, stream: Stream, shape: tuple[Any, ...], dtype: str) -> Noise:
        """The noise of ``plain``."""
        return self.plain.noise(stream, shape, dtype)

    def forward(self, params: Params, x: Array, noise: Noise | None = None) -> tuple[Array, Cache]:
        """Each layer, or pair of layers, takes what the one before it gave."""
        layers = self.plain.layers
        noises = (None,) * len(layers) if noise is None else noise
        caches: list[Cache] = []
        for i, (layer, after) in enumerate(zip(layers, (*layers, None)[1:], strict=True)):
            if len(caches) > i:  # the activation of the pair before
                continue
            if isinstance(layer, Linear) and layer.bias and isinstance(after, Activation):
                z, bias = x @ params[i]["weight"], namespace(x).expand_dims(params[i]["bias"], axis=-2)
                caches.append(x)
                x, cache = ops.cellwise(z, (bias,), after.biased)
            else:
                x, cache = layer.forward(params[i], x, noises[i])
            caches.append(cache)
        return x, tuple(caches)

    def backward(self, params: Params, cache: Cache, dy: Array, *, need_dx: bool = True) -> tuple[Array | None, Params]:
        """The way back of ``plain``."""
        return self.plain.backward(params, cache, dy, need_dx=need_dx)

    def observe(self, params: Params, cache: Cache) -> Params:
        """The running statistics of the layers that have them."""
        return self.plain.observe(params, cache)
