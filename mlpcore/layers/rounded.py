"""A network whose products are taken of rounded factors: a rewrite of the configuration, no choice inside a layer."""

from collections.abc import Callable
from dataclasses import dataclass

from mlpcore.layers.containers import Residual, Sequential
from mlpcore.layers.linear import Linear
from mlpcore.namespace import namespace
from mlpcore.random import Stream
from mlpcore.typing import Array, Cache, Layer, Noise, Params


@dataclass(frozen=True)
class RoundedLinear:
    """The layer ``linear`` with ``product(rounded(a), rounded(b))`` for each of its three products ``a @ b``.

    ``product`` gives arrays of the parameters' dtype. Bias, sums over rows and all that is kept stay in that dtype.
    The rounded factors of the forward pass serve the backward pass too.
    """

    linear: Linear
    rounded: Callable[[Array], Array]
    product: Callable[[Array, Array], Array]

    row_independent = True

    def widths(self, n_in: int | None) -> int:
        """Those of the layer."""
        return self.linear.widths(n_in)

    def init(self, rng: Stream, dtype: str) -> Params:
        """Those of the layer."""
        return self.linear.init(rng, dtype)

    def noise(self, stream: Stream, shape: tuple, dtype: str) -> Noise:
        """None is needed."""
        return ()

    def forward(self, params: Params, x: Array, noise: Noise | None = None) -> tuple[Array, Cache]:
        """``x @ weight + bias``, and the rounded factors for the way back."""
        factors = self.rounded(x), self.rounded(params["weight"])
        y = self.product(*factors)
        if self.linear.bias:
            y = y + namespace(y).expand_dims(params["bias"], axis=-2)
        return y, factors

    def backward(self, params: Params, cache: Cache, dy: Array, *, need_dx: bool = True) -> tuple[Array | None, Params]:
        """``dy @ weight.T``, and the sums over rows ``x.T @ dy`` and ``sum(dy)``."""
        (x, weight), rounded = cache, self.rounded(dy)
        grads = {"weight": self.product(x.mT, rounded)}
        if self.linear.bias:
            grads["bias"] = namespace(dy).sum(dy, axis=-2)
        return (self.product(rounded, weight.mT) if need_dx else None), grads


def with_products(net: Layer, rounded: Callable[[Array], Array], product: Callable[[Array, Array], Array]) -> Layer:
    """The network with a `RoundedLinear` for every Linear of mlpcore in it; its parameters are the same tree."""
    if isinstance(net, Sequential):
        return Sequential(*(with_products(layer, rounded, product) for layer in net.layers))
    if isinstance(net, Residual):
        return Residual(with_products(net.layer, rounded, product))
    return RoundedLinear(net, rounded, product) if isinstance(net, Linear) else net
