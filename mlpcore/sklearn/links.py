"""Probabilities and their logarithms as functions of a classifier's loss and raw scores (n, outputs), by kind of label.

Two classes have one score, whose probability is that of the second class; the results have a column for each class.
"""

from collections.abc import Callable

from mlpcore.namespace import namespace
from mlpcore.numerics import log_softmax, softplus
from mlpcore.typing import Array, Loss


def predictions(loss: Loss, z: Array) -> Array:
    """The predictions of the loss's link."""
    return loss.predict(z)


def _two_columns(loss: Loss, z: Array) -> Array:
    p = loss.predict(z)
    return namespace(z).concat([1 - p, p], axis=-1)


def _log_two_columns(loss: Loss, z: Array) -> Array:
    return namespace(z).concat([-softplus(z), -softplus(-z)], axis=-1)


def _log_softmax(loss: Loss, z: Array) -> Array:
    return log_softmax(z)


def _log_sigmoid(loss: Loss, z: Array) -> Array:
    return -softplus(-z)


def _log_of_predictions(loss: Loss, z: Array) -> Array:
    return namespace(z).log(loss.predict(z))


def _log_of_two_columns(loss: Loss, z: Array) -> Array:
    return namespace(z).log(_two_columns(loss, z))


Functions = dict[str, Callable[[Loss, Array], Array]]
PROBABILITIES: Functions = {
    "binary": _two_columns,
    "multiclass": predictions,
    "multilabel-indicator": predictions,
}
# Computed from the scores, so that they are finite for every probability.
LOG_PROBABILITIES: Functions = {
    "binary": _log_two_columns,
    "multiclass": _log_softmax,
    "multilabel-indicator": _log_sigmoid,
}
# As in scikit-learn: minus infinity where a probability has been rounded to 0.
LOGARITHMS_OF_PROBABILITIES: Functions = {
    "binary": _log_of_two_columns,
    "multiclass": _log_of_predictions,
    "multilabel-indicator": _log_of_predictions,
}
