"""Cross-entropies on raw scores: SigmoidCrossEntropy for binary targets, SoftmaxCrossEntropy for classes."""

from typing import Any

from array_api_compat import device as device_of

from mlpcore.configuration import check_number, configuration
from mlpcore.errors import DataError
from mlpcore.losses.elementwise import ElementwiseLoss
from mlpcore.losses.targets import check_rows, real_columns, refuse, refuse_missing
from mlpcore.namespace import namespace
from mlpcore.numerics import apply_weights, log_softmax, softmax
from mlpcore.typing import Array


@configuration
class SigmoidCrossEntropy(ElementwiseLoss):
    """Negative log-likelihood of independent binary targets, one score each: binary (one column) or multilabel.

    The formula::

        loss = sum_j -t_j log sigmoid(z_j) - (1 - t_j) log sigmoid(-z_j)         dz = sigmoid(z) - t

    z (..., n, c), target (n, c), or (n,) for one column: booleans, 0 and 1, or probabilities between. Both terms are
    sums of numbers >= 0, so that value and gradient keep full relative precision near 0; no score overflows. The
    prediction is the probability sigmoid(z).

    Source: Bishop (2006), "Pattern recognition and machine learning", eq. 4.90 and 4.91.
    """

    def prepare(self, target: Array, outputs: int, dtype: Any) -> Array:
        """Numbers from 0 to 1 (n, c) of ``dtype``."""
        if target.ndim == 1 or target.shape[1:] == (1,):
            refuse_missing(self, target)
        target = real_columns(self, target, outputs, dtype)
        advice = "0, 1 or probabilities; for labels 0, 1, 2 and so on use SoftmaxCrossEntropy"
        refuse(self, (target < 0) | (target > 1), "numbers outside [0, 1]", advice)
        return target

    def pointwise(self, z: Array, t: Array) -> tuple[Array, Array]:
        """``(1 - t) softplus(z) + t softplus(-z)``, and ``(1 - t) sigmoid(z) - t sigmoid(-z)``."""
        xp = namespace(z)
        small = xp.exp(-xp.abs(z))  # in [0, 1]: it cannot overflow
        loss = (1 - t) * xp.maximum(z, 0.0) + t * xp.maximum(-z, 0.0) + xp.log1p(small)
        of_one, of_zero = _sigmoids(z, small)
        return loss, (1 - t) * of_one - t * of_zero

    def predict(self, z: Array) -> Array:
        """The probability of 1, ``sigmoid(z)``."""
        xp = namespace(z)
        return _sigmoids(z, xp.exp(-xp.abs(z)))[0]


@configuration
class SoftmaxCrossEntropy:
    """Negative log-likelihood of classes: ``loss = -sum_j t_j log softmax(z)_j``, ``dz = softmax(z) - t``.

    z (..., n, c). The target is a class label 0 ... c-1 per row (integers or booleans, shape (n,) or (n, 1)) or c
    probabilities per row that sum to 1 within 0.001 and are divided by their sum. ``label_smoothing`` s mixes the
    target with the uniform distribution: ``t = (1 - s) onehot + s / c``. Computed from the raw scores by
    log-softmax, finite and precise for scores of 1e4 too. The prediction is softmax(z).

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
        """Labels, one-hot rows too, become int32 (n,); other probabilities (n, c) of ``dtype``."""
        xp = namespace(target)
        # Floats for a single class are its probabilities, not labels.
        one_probability = outputs == 1 and xp.isdtype(target.dtype, "real floating")
        if target.ndim == 1 or (target.ndim == 2 and target.shape[1] == 1 and not one_probability):
            return self._labels(xp.reshape(target, (-1,)), outputs, dtype)
        target = real_columns(self, target, outputs, dtype)
        refuse(self, target < 0, "negative numbers", "probabilities")
        total = xp.sum(target, axis=-1, keepdims=True)
        if bool(xp.any(xp.abs(total - 1) > 1e-3)):
            raise DataError(f"{self!r}: y has rows that do not sum to 1, expected probabilities of the classes")
        if bool(xp.all((target == 0) | (target == 1))):
            return xp.astype(xp.argmax(target, axis=-1), xp.int32)
        return target / total

    def _labels(self, target: Array, outputs: int, dtype: Any) -> Array:
        """Labels as int32, all of them from 0 to ``outputs - 1``."""
        xp = namespace(target)
        check_rows(self, target)
        refuse_missing(self, target)
        if xp.isdtype(target.dtype, "real floating"):
            whole = bool(xp.all(xp.isfinite(target) & (xp.floor(target) == target)))
            advice = "y.astype('int64') converts them" if whole else "use a loss for real numbers, such as SquaredError"
            raise DataError(f"{self!r}: y has dtype {target.dtype}, expected integer labels; {advice}")
        if not xp.isdtype(target.dtype, ("bool", "integral")):
            raise DataError(f"{self!r}: y has dtype {target.dtype}, expected integer labels from 0 to {outputs - 1}")
        # Checked before the cast to int32, which could wrap. Unsigned as floats: torch cannot compare uint16 and wider.
        signed = xp.isdtype(target.dtype, "signed integer")
        comparable = target if signed else xp.astype(target, dtype)
        low, high = int(xp.min(comparable)), int(xp.max(comparable))
        if low < 0 or high >= outputs:
            advice = "; for yes or no from one score use SigmoidCrossEntropy" if outputs == 1 else ""
            raise DataError(
                f"{self!r}: y has labels from {low} to {high}, expected 0 to {outputs - 1} for {outputs} scores{advice}"
            )
        return xp.astype(target, xp.int32)

    def value_and_grad(self, z: Array, target: Array, weights: Array) -> tuple[Array, Array]:
        """``sum_i w_i loss_i`` and ``w (softmax(z) - t)``; a row of weight 0 takes no part."""
        xp, classes, smoothing = namespace(z), z.shape[-1], self.label_smoothing
        if target.ndim == 1:
            labels = xp.arange(classes, dtype=target.dtype, device=device_of(z))
            target = xp.astype(xp.expand_dims(target, axis=-1) == labels, z.dtype)
            if not smoothing:
                return _label_value_and_grad(z, target, weights)
        if smoothing:
            target = (1 - smoothing) * target + smoothing / classes
        logs = log_softmax(z)
        terms = target * logs
        if not smoothing:  # a score may be so far below the largest that its log-softmax is -inf
            terms = xp.where((target == 0) & xp.isfinite(z), 0.0, terms)
        return apply_weights(weights, -xp.sum(terms, axis=-1), xp.exp(logs) - target)

    def predict(self, z: Array) -> Array:
        """Class probabilities, ``softmax(z)``."""
        return softmax(z)


def _label_value_and_grad(z: Array, label: Array, weights: Array) -> tuple[Array, Array]:
    """Value and gradient where ``label`` (n, c) is 1 at each row's class and 0 elsewhere.

    With ``s_j = exp(z_j - max(z))`` summed apart for the label and for the others::

        loss = max(z) - z_t + log1p(others + (s_t - 1))        dz_j = s_j / sum(s)        dz_t = -others / sum(s)

    Where the label has the largest score, ``s_t`` is exactly 1: loss and gradient keep full precision near 0.
    """
    xp = namespace(z)
    weights = xp.expand_dims(weights, axis=-1)
    present = weights > 0
    top = xp.max(z, axis=-1, keepdims=True)
    powers = xp.exp(z - top)
    label_powers = label * powers
    other_powers = powers - label_powers
    score, at_label, others = (xp.sum(x, axis=-1, keepdims=True) for x in (label * z, label_powers, other_powers))
    losses = xp.log1p(others + (at_label - 1)) - (score - top)
    share = weights / (at_label + others)
    value = xp.sum(xp.where(present, weights * losses, 0.0), axis=(-2, -1))
    return value, xp.where(present, other_powers * share - label * (others * share), 0.0)


def _sigmoids(z: Array, small: Array) -> tuple[Array, Array]:
    """``sigmoid(z)`` and ``sigmoid(-z)`` from ``small = exp(-|z|)``, both to full relative precision."""
    xp = namespace(z)
    likely = 1 / (1 + small)
    unlikely = small * likely
    return xp.where(z > 0, likely, unlikely), xp.where(z > 0, unlikely, likely)
