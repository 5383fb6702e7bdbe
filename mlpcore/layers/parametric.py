"""Parametric: an activation whose strength is learned for every column."""

from typing import Any

from mlpcore.configuration import check_count, configuration
from mlpcore.errors import ConfigurationError
from mlpcore.initializers import Constant
from mlpcore.layers.activation import Activation
from mlpcore.layers.normalization import check_columns
from mlpcore.namespace import namespace
from mlpcore.random import Stream
from mlpcore.typing import Array, Cache, Layer, Noise, Params, Training


@configuration
class Parametric:
    """Between the identity and an elementwise activation f: ``y = x + share * (f(x) - x)``, a share for each column.

    ``share`` is 1 at first: the activation itself; at 0 it is the identity. The gradients::

        dx = (1 - share) * dy + share * dy * f'(x)        dshare = sum(dy * (f(x) - x) over the rows)

    Shapes: x and y (..., n, features), ``share`` (..., features). For f = ReLU it is PReLU (He et al., 2015), with
    slope ``1 - share`` below zero.

    Source: Holzmüller, Grinsztajn & Steinwart (2024), "Better by default: strong pre-tuned MLPs and boosted trees on
    tabular data", sec. 3 (parametric activations).
    """

    activation: Layer
    features: int

    row_independent = True

    def __post_init__(self) -> None:
        if not isinstance(self.activation, Activation):
            raise ConfigurationError(
                f"Parametric: activation is {self.activation!r}, expected an elementwise Activation, such as SELU()"
            )
        check_count(self, features=self.features)

    def output_width(self, n_in: int | None) -> int:
        """``features``; ConfigurationError for another number of input columns."""
        return check_columns(self, self.features, n_in)

    def init(self, rng: Stream, dtype: str) -> Params:
        """``share`` of ones."""
        return {"share": Constant(1.0)(rng, (self.features,), (self.features, self.features)).astype(dtype)}

    def noise(self, stream: Stream, shape: tuple[Any, ...], dtype: str) -> Noise:
        """Empty, (): the layer draws nothing."""
        return ()

    def forward(self, params: Params, x: Array, training: Training | None = None) -> tuple[Array, Cache]:
        """``x + share * (f(x) - x)``; the cache is that of the activation, and ``f(x) - x``."""
        y, cache = self.activation.forward({}, x)
        change = y - x
        return x + namespace(x).expand_dims(params["share"], axis=-2) * change, (cache, change)

    def backward(self, params: Params, cache: Cache, dy: Array, *, need_dx: bool = True) -> tuple[Array | None, Params]:
        """The gradients above."""
        xp, (inner, change) = namespace(dy), cache
        grads = {"share": xp.sum(dy * change, axis=-2)}
        if not need_dx:
            return None, grads
        part = dy * xp.expand_dims(params["share"], axis=-2)
        return dy - part + self.activation.backward({}, inner, part)[0], grads
