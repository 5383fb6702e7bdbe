"""Scale: every column times a number of its own."""

from typing import Any

from mlpcore.configuration import check_count, configuration
from mlpcore.initializers import Constant, Zeros
from mlpcore.layers.normalization import check_columns
from mlpcore.namespace import namespace
from mlpcore.random import Stream
from mlpcore.typing import Array, Cache, Initializer, Noise, Params, Training


@configuration
class Scale:
    """Every column times a number, ones at first: ``y = x * scale``, with ``bias=True`` also ``+ bias``.

    Shapes: x and y (..., n, features), ``scale`` and ``bias`` (..., features). The gradients are sums over the rows::

        dx = dy * scale        dscale = sum(dy * x)        dbias = sum(dy)

    In front of a network it learns which inputs matter; with a rate of its own (`Rates`) it does so faster.

    Source: Holzmüller, Grinsztajn & Steinwart (2024), "Better by default: strong pre-tuned MLPs and boosted trees on
    tabular data", sec. 3 (scaling layer).
    """

    features: int
    scale_init: Initializer = Constant(1.0)
    bias: bool = False

    row_independent = True

    def __post_init__(self) -> None:
        check_count(self, features=self.features)

    def output_width(self, n_in: int | None) -> int:
        """``features``; ConfigurationError for another number of input columns."""
        return check_columns(self, self.features, n_in)

    def init(self, rng: Stream, dtype: str) -> Params:
        """``scale`` from its initializer, ``bias`` zeros."""
        shape, fans = (self.features,), (self.features, self.features)
        params = {"scale": self.scale_init(rng.child("scale"), shape, fans).astype(dtype)}
        if self.bias:
            params["bias"] = Zeros()(rng, shape, fans).astype(dtype)
        return params

    def noise(self, stream: Stream, shape: tuple[Any, ...], dtype: str) -> Noise:
        """Empty, (): the layer draws nothing."""
        return ()

    def forward(self, params: Params, x: Array, training: Training | None = None) -> tuple[Array, Cache]:
        """``x * scale + bias``; the cache is x."""
        xp = namespace(x)
        y = x * xp.expand_dims(params["scale"], axis=-2)
        return (y + xp.expand_dims(params["bias"], axis=-2) if self.bias else y), x

    def backward(self, params: Params, cache: Cache, dy: Array, *, need_dx: bool = True) -> tuple[Array | None, Params]:
        """The gradients above."""
        xp, x = namespace(dy), cache
        grads = {"scale": xp.sum(dy * x, axis=-2)}
        if self.bias:
            grads["bias"] = xp.sum(dy, axis=-2)
        return (dy * xp.expand_dims(params["scale"], axis=-2) if need_dx else None), grads
