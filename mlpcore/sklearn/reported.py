"""Compatibility losses for ``compat="sklearn"``: scikit-learn's reported value, with the true gradient.

They reproduce scikit-learn's ``loss_curve_`` and the stopping rules that use it. Predictions never use them, and fitted
estimators hold the true loss.
"""

from typing import Any

from array_api_compat import device as device_of

from mlpcore.configuration import configuration
from mlpcore.namespace import namespace
from mlpcore.numerics import apply_weights
from mlpcore.typing import Array, Loss, Tree


class _Reported:
    """Abstract base class: a loss with another value than ``loss``, but the same gradient, targets and predictions."""

    loss: Loss

    def value(self, z: Array, target: Array, weights: Array) -> Array:
        """The reported sum over the rows."""
        raise NotImplementedError

    def outputs(self, target_columns: int) -> int:
        """The number of score columns, as of the loss."""
        return self.loss.outputs(target_columns)

    def prepare(self, target: Array, outputs: int, dtype: Any) -> Array:
        """The prepared target, as of the loss."""
        return self.loss.prepare(target, outputs, dtype)

    def value_and_grad(self, z: Array, target: Array, weights: Array) -> tuple[Array, Array]:
        """The reported value, and the gradient of the loss."""
        return self.value(z, target, weights), self.loss.value_and_grad(z, target, weights)[1]

    def predict(self, z: Array) -> Tree:
        """The prediction, as of the loss."""
        return self.loss.predict(z)


@configuration
class ClippedProbabilities(_Reported):
    """A cross-entropy whose value uses probabilities clipped to ``[eps, 1 - eps]``, where eps is that of the dtype.

    So every logarithm in it is at least ``log(eps)``, -36 in float64. ``loss`` is SoftmaxCrossEntropy with labels, or
    SigmoidCrossEntropy.
    """

    loss: Loss

    def value(self, z: Array, target: Array, weights: Array) -> Array:
        """The cross-entropy of the clipped probabilities."""
        xp = namespace(z)
        eps = float(xp.finfo(z.dtype).eps)
        p = xp.clip(self.loss.predict(z), eps, 1 - eps)
        if target.ndim == 1:
            labels = xp.arange(z.shape[-1], dtype=target.dtype, device=device_of(z))
            chosen = xp.astype(xp.expand_dims(target, axis=-1) == labels, z.dtype)
            terms = chosen * xp.log(p)
        else:
            terms = target * xp.log(p) + (1 - target) * xp.log(1 - p)
        return apply_weights(weights, -xp.sum(terms, axis=-1), z)[0]


@configuration
class MeanOverOutputs(_Reported):
    """A loss whose value, but not its gradient, is divided by the number of outputs."""

    loss: Loss

    def value(self, z: Array, target: Array, weights: Array) -> Array:
        """The value divided by the number of columns."""
        return self.loss.value_and_grad(z, target, weights)[0] / z.shape[-1]
