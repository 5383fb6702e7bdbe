"""Cross-entropies on raw scores: SigmoidCrossEntropy for yes-or-no targets, SoftmaxCrossEntropy for classes."""

from typing import Any

from array_api_compat import device as device_of

from mlpcore.configuration import check_number, configuration
from mlpcore.errors import DataError
from mlpcore.losses.targets import real_columns
from mlpcore.losses.weighting import weigh
from mlpcore.namespace import namespace
from mlpcore.numerics import log_softmax, softmax
from mlpcore.typing import Array


@configuration
class SoftmaxCrossEntropy:
    """Negative log-likelihood of classes: ``loss = -sum_j t_j log softmax(z)_j``, ``dz = softmax(z) - t``.

    The target is a class label 0 ... c-1 per row (integers, shape (n,) or (n, 1)) or c probabilities per row that sum
    to 1. ``label_smoothing`` s mixes the target with the uniform distribution: ``t = (1 - s) onehot + s / c``.
    Computed as ``log_softmax`` of the raw scores, hence finite for all finite scores of one sign of overflow.

    Sources: Bridle (1990), "Probabilistic interpretation of feedforward classification network outputs"; label
    smoothing: Szegedy et al. (2016), "Rethinking the Inception architecture", sec. 7.
    """

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        check_number(self, label_smoothing=self.label_smoothing, least=0, below=1)

    def outputs(self, target_columns: int) -> int:
        """One score per class."""
        return target_columns

    def prepare(self, target: Array, outputs: int, dtype: Any) -> Array:
        """Labels stay integers (n,); probabilities become (n, c) of ``dtype``."""
        xp = namespace(target)
        if xp.isdtype(target.dtype, ("integral", "bool")) and not (target.ndim == 2 and target.shape[1] > 1):
            labels = xp.astype(xp.reshape(target, (-1,)), xp.int32)
            low, high = int(xp.min(labels)), int(xp.max(labels))
            if low < 0 or high >= outputs:
                raise DataError(
                    f"{self!r}: y has labels from {low} to {high}, expected 0 to {outputs - 1} for {outputs} scores"
                )
            return labels
        if target.ndim != 2:
            raise DataError(
                f"{self!r}: y has dtype {target.dtype}, expected integer labels or (n, {outputs}) probabilities"
            )
        target = real_columns(self, target, outputs, dtype)
        if bool(xp.any(target < 0)) or bool(xp.any(xp.abs(xp.sum(target, axis=-1) - 1) > 1e-3)):
            raise DataError(f"{self!r}: y has rows that are not probabilities, expected numbers >= 0 that sum to 1")
        return target

    def value_and_grad(self, z: Array, target: Array, weights: Array) -> tuple[Array, Array]:
        """``sum_i w_i loss_i`` and ``w (softmax(z) - t)``."""
        xp = namespace(z)
        classes = z.shape[-1]
        if target.ndim == 1:
            labels = xp.arange(classes, dtype=target.dtype, device=device_of(z))
            target = xp.astype(xp.expand_dims(target, axis=-1) == labels, z.dtype)
        if self.label_smoothing:
            target = (1 - self.label_smoothing) * target + self.label_smoothing / classes
        logs = log_softmax(z)
        rows = -xp.sum(target * logs, axis=-1)
        return weigh(weights, rows, xp.exp(logs) - target)

    def predict(self, z: Array) -> Array:
        """Class probabilities, ``softmax(z)``."""
        return softmax(z)
