"""Softmax: the entries of a row depend on each other, so its derivative is a matrix for every row."""

from mlpcore.configuration import configuration
from mlpcore.layers.parameterless import Parameterless
from mlpcore.namespace import namespace
from mlpcore.numerics import softmax
from mlpcore.typing import Array, Cache, Params, Training


@configuration
class Softmax(Parameterless):
    """``y_j = exp(x_j) / sum_i exp(x_i)`` over the columns of a row; ``dx = y * (dy - sum_j dy_j y_j)``.

    The second is dy times the Jacobian ``diag(y) - y y^T`` of the row. Shapes: all (..., n, width). Finite for every
    finite x, since the largest of a row is subtracted first; one column gives 1. As the last layer under a
    cross-entropy use `SoftmaxCrossEntropy` on the raw scores instead.

    Source: Bridle (1990), "Probabilistic interpretation of feedforward classification network outputs".
    """

    def forward(self, params: Params, x: Array, training: Training | None = None) -> tuple[Array, Cache]:
        """``exp(x - max) / sum(exp(x - max))``; the cache is y."""
        y = softmax(x)
        return y, y

    def backward(self, params: Params, cache: Cache, dy: Array, *, need_dx: bool = True) -> tuple[Array | None, Params]:
        """The Jacobian times dy."""
        if not need_dx:
            return None, {}
        y = cache
        return y * (dy - namespace(dy).sum(dy * y, axis=-1, keepdims=True)), {}
