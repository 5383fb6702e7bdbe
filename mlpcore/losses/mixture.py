"""The prediction of several networks together."""

from collections.abc import Sequence

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


def spread(predictions: Sequence[Tree]) -> Array:
    """The variance ``sum_i (p_i - mean)^2 / k`` of predictions; for pairs (mean, variance) that of the mixture."""
    if isinstance(predictions[0], tuple):
        return mixture(predictions)[1]
    mean = _mean(predictions)
    return _mean([(prediction - mean) * (prediction - mean) for prediction in predictions])


def _mean(arrays: Sequence[Array]) -> Array:
    total = arrays[0]
    for array in arrays[1:]:
        total = total + array
    return total / len(arrays)
