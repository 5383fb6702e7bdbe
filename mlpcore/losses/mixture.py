"""The prediction of several networks together."""

from collections.abc import Sequence
from functools import reduce
from typing import Any

from mlpcore.namespace import namespace
from mlpcore.typing import Array, Tree


def mixture(predictions: Sequence[Tree]) -> Tree:
    """The mean of what the links of k networks give; for pairs (mean, variance) those of the mixture.

    With means m_i and variances v_i the mixture has the mean ``m = sum_i m_i / k`` and the variance
    ``sum_i (v_i + (m_i - m)^2) / k``.
    """
    if not isinstance(predictions[0], tuple):
        return _mean(predictions)
    means, variances = zip(*predictions, strict=True)
    mean = _mean(means)
    return mean, _mean([variance + (m - mean) * (m - mean) for m, variance in zip(means, variances, strict=True)])


def mean_and_deviation(outputs: Sequence[Any]) -> tuple[Array, Array]:
    """The mean ``m = sum_i m_i / k`` and the standard deviation of the members' predictions.

    For predictions m_i the latter is ``sqrt(sum_i (m_i - m)^2 / k)``; for pairs (m_i, s_i) with standard deviations s_i
    that of the mixture, ``sqrt(sum_i (s_i^2 + (m_i - m)^2) / k)``. Squares do not overflow.
    """
    means, deviations = zip(*outputs, strict=True) if isinstance(outputs[0], tuple) else (outputs, ())
    mean = _mean(means)
    xp = namespace(mean)
    parts = [*(xp.abs(member - mean) for member in means), *deviations]
    largest = reduce(xp.maximum, parts)
    scale = xp.where((largest > 0) & xp.isfinite(largest), largest, xp.ones_like(largest))
    squares: Any = sum((part / scale) ** 2 for part in parts)
    return mean, scale * xp.sqrt(squares / len(means))


def _mean(arrays: Sequence[Array]) -> Array:
    total = arrays[0]
    for array in arrays[1:]:
        total = total + array
    return total / len(arrays)
