"""The fully connected layer, one matrix product and a bias: Linear, and NTKLinear, whose weights have size 1."""

from typing import Any

from mlpcore.configuration import check_count, configuration
from mlpcore.initializers import GlorotUniform, Normal, Zeros
from mlpcore.layers.normalization import check_columns
from mlpcore.namespace import namespace
from mlpcore.random import Stream
from mlpcore.typing import Array, Cache, Initializer, Noise, Params, Training


@configuration
class Linear:
    """Affine map of every row: ``y = x @ weight + bias``.

    Shapes: x (..., n, in_features), y (..., n, out_features), ``weight`` (..., in_features, out_features) and ``bias``
    (..., out_features). The gradients, for dy of the shape of y, are sums over the n rows::

        dx = dy @ weight.T        dweight = x.T @ dy        dbias = sum(dy over the rows)

    Source: Rumelhart, Hinton & Williams (1986), "Learning representations by back-propagating errors", eq. 6 and 7.
    """

    in_features: int
    out_features: int
    bias: bool = True
    weight_init: Initializer = GlorotUniform()
    bias_init: Initializer = Zeros()

    row_independent = True

    def __post_init__(self) -> None:
        check_count(self, in_features=self.in_features, out_features=self.out_features)

    def output_width(self, n_in: int | None) -> int:
        """``out_features``; ConfigurationError for a number of input columns other than ``in_features``."""
        check_columns(self, self.in_features, n_in)
        return self.out_features

    def init(self, rng: Stream, dtype: str) -> Params:
        """``weight`` and ``bias`` from their initializers."""
        fans = (self.in_features, self.out_features)
        params = {"weight": self.weight_init(rng.child("weight"), fans, fans).astype(dtype)}
        if self.bias:
            params["bias"] = self.bias_init(rng.child("bias"), fans[1:], fans).astype(dtype)
        return params

    def noise(self, stream: Stream, shape: tuple[Any, ...], dtype: str) -> Noise:
        """Empty, (): the layer draws nothing."""
        return ()

    def forward(self, params: Params, x: Array, training: Training | None = None) -> tuple[Array, Cache]:
        """``x @ weight + bias``; the cache is x."""
        y = x @ params["weight"]
        if self.bias:
            y = y + namespace(y).expand_dims(params["bias"], axis=-2)
        return y, x

    def backward(self, params: Params, cache: Cache, dy: Array, *, need_dx: bool = True) -> tuple[Array | None, Params]:
        """``(dx, grads)``: ``dy @ weight.T``, and the sums over rows ``x.T @ dy`` and ``sum(dy)``."""
        x = cache
        grads = {"weight": x.mT @ dy}
        if self.bias:
            grads["bias"] = namespace(dy).sum(dy, axis=-2)
        return (dy @ params["weight"].mT if need_dx else None), grads


@configuration
class NTKLinear(Linear):
    """Linear in the neural tangent parametrisation: ``y = c x @ weight + bias`` with ``c = 1 / sqrt(in_features)``.

    The weights are standard normals at first, for any number of columns. So an optimizer whose steps do not depend on
    the size of the gradient, such as Adam, changes y by as much in a wide layer as in a narrow one::

        dx = c dy @ weight.T        dweight = c x.T @ dy        dbias = sum(dy over the rows)

    Source: Jacot, Gabriel & Hongler (2018), "Neural tangent kernel: convergence and generalization in neural networks".
    """

    weight_init: Initializer = Normal(1.0)

    def forward(self, params: Params, x: Array, training: Training | None = None) -> tuple[Array, Cache]:
        """``(c x) @ weight + bias``; the cache is ``c x``."""
        return Linear.forward(self, params, x * self.in_features**-0.5)

    def backward(self, params: Params, cache: Cache, dy: Array, *, need_dx: bool = True) -> tuple[Array | None, Params]:
        """The gradients above."""
        dx, grads = Linear.backward(self, params, cache, dy, need_dx=need_dx)
        return (dx * self.in_features**-0.5 if need_dx else None), grads
