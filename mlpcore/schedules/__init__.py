"""Learning rates as functions of the number of updates done: frozen, and in Array API, so that any step holds them.

A schedule maps ``count``, a float array of any shape that holds the number of updates already done (0 before the
first), to the rate of the next one, of the same shape and dtype. All horizons are in updates, not epochs. A number
serves wherever a schedule does: it is the constant schedule. So does any function of ``count`` in Array API.
"""

from mlpcore.schedules.decay import CosineDecay, ExponentialDecay, InverseScaling, PolynomialDecay, StepDecay
from mlpcore.schedules.rate import check_rate, rate_at
from mlpcore.schedules.warmup import OneCycle, WarmUp

SCHEDULES = (StepDecay, ExponentialDecay, CosineDecay, PolynomialDecay, InverseScaling, WarmUp, OneCycle)

__all__ = [
    "SCHEDULES",
    "CosineDecay",
    "ExponentialDecay",
    "InverseScaling",
    "OneCycle",
    "PolynomialDecay",
    "StepDecay",
    "WarmUp",
    "check_rate",
    "rate_at",
]
