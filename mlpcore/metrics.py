"""Named metrics: the quality of predictions, mostly as weighted means over rows.

A metric is a function ``(target, prediction, weights) -> 0-d array``. The target is as the loss prepared it: labels
(n,), or real columns (n, c). The prediction (n, c) is the result of the loss's ``predict``; of a tuple (mean, variance)
the mean is used. The row weights (n,) are not all zero; a row of weight 0 is ignored. A prediction with a stack's axes
(..., n, c) gives one number for each member (...).

If a fit has weights of the entries of y, also because y has gaps, the weights are (n, c), and an entry of weight 0 is
ignored.
"""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from array_api_compat import device as device_of

from mlpcore.errors import ConfigurationError, DataError
from mlpcore.namespace import namespace
from mlpcore.numerics import square_scaling, weights_of_rows
from mlpcore.typing import Array

Metric = Callable[[Array, Any, Array], Array]


def accuracy(target: Array, prediction: Any, weights: Array) -> Array:
    """The weighted share of rows that are right.

    With labels, a row is right if the most probable class is its label. With real columns (binary and multilabel
    probabilities) a row is right if in all its columns ``prediction > 0.5`` exactly where ``target > 0.5``, as in
    scikit-learn's ``accuracy_score``. Targets that are class probabilities, other than one-hot rows, cannot be
    distinguished from multilabel targets and are treated as such. With weights of entries, columns of weight 0 in a row
    are ignored, and the weight of the row is the mean over its columns.
    """
    xp = namespace(target)
    if target.ndim == 1:
        right = xp.argmax(prediction, axis=-1) == target
    else:
        prediction = _matching("accuracy", target, prediction)
        agree = (prediction > 0.5) == (target > 0.5)
        right = xp.all(agree if weights.ndim == 1 else agree | (weights == 0), axis=-1)
    return _mean(xp.astype(right, weights.dtype), weights_of_rows(weights))


def balanced_accuracy(target: Array, prediction: Any, weights: Array) -> Array:
    """The mean, over the classes that occur, of the share of the class's rows that are right (its recall).

    The target is labels, or one column of binary targets. As scikit-learn's ``balanced_accuracy_score``.
    """
    xp, weights = namespace(target), weights_of_rows(weights)
    if target.ndim == 1:
        classes, predicted = prediction.shape[-1], xp.argmax(prediction, axis=-1)
    else:
        prediction = _matching("balanced_accuracy", target, prediction)
        if target.shape[-1] != 1:
            raise DataError(
                f"balanced_accuracy: y has {target.shape[-1]} columns, expected class labels or a single column"
            )
        classes, predicted = 2, xp.astype(prediction[..., 0] > 0.5, xp.int32)
        target = xp.astype(target[:, 0] > 0.5, xp.int32)
    of_class = xp.expand_dims(target, axis=-1) == xp.arange(classes, dtype=target.dtype, device=device_of(target))
    class_weights = xp.where(of_class, xp.expand_dims(weights, axis=-1), 0.0)
    right = xp.expand_dims(xp.astype(predicted == target, weights.dtype), axis=-1)
    total = xp.sum(class_weights, axis=-2)
    occurs = total > 0
    recall = xp.sum(class_weights * right, axis=-2) / xp.where(occurs, total, 1.0)
    return xp.sum(recall, axis=-1) / xp.sum(xp.astype(occurs, weights.dtype), axis=-1)


def mean_squared_error(target: Array, prediction: Any, weights: Array) -> Array:
    """``mean((t - p)^2)`` over rows and columns: with weights of entries ``sum(w (t - p)^2) / sum(w)``."""
    error, scale = _error("mean_squared_error", target, prediction, weights, axis=(-2, -1))
    return _mean_entries(error * error, weights) / scale / scale


def root_mean_squared_error(target: Array, prediction: Any, weights: Array) -> Array:
    """``sqrt(mean((t - p)^2))`` over the rows, then the mean over columns, as in scikit-learn.

    A column without an entry of weight above 0 is left out.
    """
    xp = namespace(target)
    error, scale = _error("root_mean_squared_error", target, prediction, weights, axis=(-2, -1))
    return _mean_of_columns(xp.sqrt(_mean_columns(error * error, weights)), weights) / scale


def mean_absolute_error(target: Array, prediction: Any, weights: Array) -> Array:
    """``mean(|t - p|)`` over rows and columns: with weights of entries ``sum(w |t - p|) / sum(w)``."""
    error, scale = _error("mean_absolute_error", target, prediction, weights, axis=(-2, -1))
    return _mean_entries(namespace(target).abs(error), weights) / scale


def r2(target: Array, prediction: Any, weights: Array) -> Array:
    """``1 - sum((t - p)^2) / sum((t - mean t)^2)`` of every column, then the mean over columns.

    A column whose target is constant counts 1 if every prediction is exact and 0 if not, as in scikit-learn's
    ``r2_score``; here also for a single row, and for a constant whose computed mean is off by rounding. A column in
    which no entry has a weight above 0 is ignored.
    """
    xp = namespace(target)
    error, scale = _error("r2", target, prediction, weights, axis=-2)
    scaled = target * xp.expand_dims(scale, axis=-2)
    deviation = scaled - xp.expand_dims(_mean_columns(scaled, weights), axis=-2)
    residual, spread = _root_mean_square(error, weights), _root_mean_square(deviation, weights)
    present = _by_column(weights) > 0
    lowest = xp.min(xp.where(present, target, float("inf")), axis=-2)
    constant = lowest >= xp.max(xp.where(present, target, -float("inf")), axis=-2)  # above it where there is no entry
    share = residual / xp.where(constant, 1.0, spread)
    return _mean_of_columns(xp.where(constant, xp.astype(residual == 0, share.dtype), 1 - share * share), weights)


METRICS: dict[str, Metric] = {
    metric.__name__: metric
    for metric in (
        accuracy,
        balanced_accuracy,
        mean_squared_error,
        root_mean_squared_error,
        mean_absolute_error,
        r2,
    )
}


def get_metric(metric: str | Callable[..., Any]) -> tuple[str, Metric]:
    """``(name, function)`` of a metric given by name, or of a user's function, named like the function.

    A function takes ``(target, prediction)`` or ``(target, prediction, weights)``: a third positional parameter gets
    the weights if it has no default or is called ``weights`` or ``sample_weight``. Anything else is a
    ConfigurationError that lists the known names.
    """
    if isinstance(metric, str) and metric in METRICS:
        return metric, METRICS[metric]
    if isinstance(metric, str) or not callable(metric):
        raise ConfigurationError(
            f"metrics: {metric!r} is not known, expected a function or one of {', '.join(METRICS)}"
        )
    name = getattr(metric, "__name__", type(metric).__name__)
    if _takes_weights(metric):
        return name, metric
    return name, partial(_without_weights, metric)


def takes_weights(metric: Metric) -> bool:
    """Whether a metric as `get_metric` gives it looks at the weights."""
    return not (isinstance(metric, partial) and metric.func is _without_weights)


def _without_weights(metric: Callable[..., Array], target: Array, prediction: Any, weights: Array) -> Array:
    return metric(target, prediction)


def _takes_weights(function: Callable[..., Any]) -> bool:
    """Whether the function has a third positional parameter for the weights, see `get_metric`."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:  # some functions written in C have no signature
        return True
    positional = [p for p in parameters if p.kind in kinds]
    if len(positional) < 3:
        return any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters)
    third = positional[2]
    return third.default is inspect.Parameter.empty or third.name in ("weights", "sample_weight")


def _matching(who: str, target: Array, prediction: Any) -> Array:
    """The prediction, of a tuple the mean; DataError unless it has the shape of the target, (n, c)."""
    if isinstance(prediction, tuple):
        prediction = prediction[0]
    if target.ndim != 2 or tuple(prediction.shape[-2:]) != tuple(target.shape):
        raise DataError(
            f"{who}: the target has shape {tuple(target.shape)} and the prediction {tuple(prediction.shape)}, expected "
            "equal shapes (n, columns); pass a function (target, prediction, weights) of your own"
        )
    return prediction


def _error(
    who: str, target: Array, prediction: Any, weights: Array, axis: int | tuple[int, ...]
) -> tuple[Array, Array]:
    """``(s (t - p), s)`` with a power of two s, one number along ``axis``.

    With s neither the error nor the sum of its squares overflows.
    """
    xp = namespace(target)
    prediction = _matching(who, target, prediction)
    scale = xp.minimum(_scale(target, weights, axis), _scale(prediction, weights, axis))
    error = target * scale - prediction * scale
    return error, xp.squeeze(scale, axis=axis)


def _scale(values: Array, weights: Array, axis: int | tuple[int, ...]) -> Array:
    """A power of two s, one number along ``axis`` (kept), so that the sum of squares of ``s * values`` is in range.

    ``values`` are (..., n, c). Rows or entries of weight 0 are ignored. s is 1 except for very large and very small
    values.
    """
    xp, present = namespace(values), _by_column(weights) > 0
    largest = xp.max(xp.where(present, xp.abs(values), 0.0), axis=axis, keepdims=True)
    if weights.ndim == 2:  # s is 1 for a column without weight
        largest = xp.where(xp.any(present, axis=axis, keepdims=True), largest, 1.0)
    return square_scaling(largest, values.shape[-2] * values.shape[-1])[0]


def _root_mean_square(values: Array, weights: Array) -> Array:
    """The root of the weighted mean of squares over the rows, (..., n, c) -> (..., c)."""
    xp, scale = namespace(values), _scale(values, weights, -2)
    scaled = values * scale
    return xp.sqrt(_mean_columns(scaled * scaled, weights)) / xp.squeeze(scale, axis=-2)


def _mean(rows: Array, weights: Array) -> Array:
    """The weighted mean over the rows, (..., n) -> (...)."""
    xp = namespace(rows)
    return xp.sum(xp.where(weights > 0, rows * weights, 0.0), axis=-1) / xp.sum(weights, axis=-1)


def _by_column(weights: Array) -> Array:
    """The weights as (n, 1), or those of entries (n, c)."""
    return namespace(weights).expand_dims(weights, axis=-1) if weights.ndim == 1 else weights


def _mean_columns(values: Array, weights: Array) -> Array:
    """The weighted means over the rows, (..., n, c) -> (..., c); 0 for a column in which all entries have weight 0.

    The weights are divided by their sum first: large values times the weights themselves might overflow.
    """
    xp = namespace(values)
    if weights.ndim == 2:
        total = xp.sum(weights, axis=-2)
        return xp.sum(xp.where(weights > 0, values * (weights / xp.where(total > 0, total, 1.0)), 0.0), axis=-2)
    return xp.sum(xp.where(weights > 0, values.mT * (weights / xp.sum(weights)), 0.0), axis=-1)


def _mean_of_columns(columns: Array, weights: Array) -> Array:
    """The mean of (..., c), with weights of entries only over the columns that have some."""
    xp = namespace(columns)
    if weights.ndim == 1:
        return xp.mean(columns, axis=-1)
    occurs = xp.any(weights > 0, axis=-2)
    return xp.sum(xp.where(occurs, columns, 0.0), axis=-1) / xp.sum(xp.astype(occurs, columns.dtype))


def _mean_entries(values: Array, weights: Array) -> Array:
    """The weighted mean of (..., n, c)."""
    xp = namespace(values)
    if weights.ndim == 1:
        return xp.mean(_mean_columns(values, weights), axis=-1)
    return xp.sum(xp.where(weights > 0, values * (weights / xp.sum(weights)), 0.0), axis=(-2, -1))
