"""How the outputs of the members of an ensemble become one: means, logarithms of means, deviations."""

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any

from mlpcore.losses.mixture import mixture
from mlpcore.namespace import namespace
from mlpcore.typing import Array


def networks(estimator: Any) -> list[Any]:
    """The fitted networks: the members of an ensemble, or the estimator itself."""
    return vars(estimator).get("estimators_", [estimator])


def is_ensemble(estimator: Any) -> bool:
    """Whether the fit had several members, or before a fit whether one will have."""
    return "estimators_" in vars(estimator) or (not hasattr(estimator, "coefs_") and estimator.n_members != 1)


def log_of_mean(logarithms: Sequence[Array]) -> Array:
    """``log(mean_i exp(l_i))`` of the members' logarithms of probabilities, without under- or overflow."""
    xp = namespace(logarithms[0])
    largest = reduce(xp.maximum, logarithms)
    finite = xp.where(xp.isfinite(largest), largest, xp.zeros_like(largest))
    total = sum(xp.exp(member - finite) for member in logarithms)
    return finite + xp.log(total) - math.log(len(logarithms))


def mean_and_deviation(outputs: Sequence[Any]) -> tuple[Array, Array]:
    """The mean ``m = sum_i m_i / k`` and the standard deviation of the members' predictions.

    For predictions m_i the latter is ``sqrt(sum_i (m_i - m)^2 / k)``; for pairs (m_i, s_i) with standard deviations s_i
    that of the mixture, ``sqrt(sum_i (s_i^2 + (m_i - m)^2) / k)``. Squares do not overflow.
    """
    means, deviations = zip(*outputs, strict=True) if isinstance(outputs[0], tuple) else (outputs, ())
    mean: Any = mixture(means)
    xp = namespace(mean)
    parts = [*(xp.abs(member - mean) for member in means), *deviations]
    largest = reduce(xp.maximum, parts)
    scale = xp.where((largest > 0) & xp.isfinite(largest), largest, xp.ones_like(largest))
    squares: Any = sum((part / scale) ** 2 for part in parts)
    return mean, scale * xp.sqrt(squares / len(means))
