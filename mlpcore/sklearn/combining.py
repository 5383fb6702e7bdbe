"""The fitted networks of an estimator, and the logarithm of their mean probability."""

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any

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
