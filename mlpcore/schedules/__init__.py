"""Learning rates as functions of the number of updates done, in Array API code, so that they are part of the step.

A schedule maps ``count``, a float array of any shape that holds the number of updates already done (0 before the
first), to the rate of the next one, of the same shape and dtype. All horizons are in updates, not epochs. A number
may stand in the place of a schedule: the constant rate. So may any function of ``count`` in Array API code.
"""

from mlpcore.schedules.cycles import CosLog
from mlpcore.schedules.decay import (
    CosineDecay,
    ExponentialDecay,
    FlatCosine,
    InverseScaling,
    PolynomialDecay,
    StepDecay,
)
from mlpcore.schedules.warmup import OneCycle, WarmUp

__all__ = [
    "StepDecay",
    "ExponentialDecay",
    "CosineDecay",
    "FlatCosine",
    "PolynomialDecay",
    "InverseScaling",
    "WarmUp",
    "OneCycle",
    "CosLog",
]
SCHEDULES = tuple(globals()[name] for name in __all__)
