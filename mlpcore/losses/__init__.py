"""The losses: weighted value and gradient on raw scores, and the link from scores to predictions."""

from mlpcore.losses.crossentropy import SigmoidCrossEntropy, SoftmaxCrossEntropy
from mlpcore.losses.likelihood import GaussianNLL, PoissonNLL
from mlpcore.losses.members import MembersLoss
from mlpcore.losses.quantile import Quantile
from mlpcore.losses.regression import AbsoluteError, HalfSquaredError, Huber, SquaredError
from mlpcore.losses.standardized import StandardizedTarget

__all__ = [
    "HalfSquaredError",
    "SquaredError",
    "AbsoluteError",
    "Huber",
    "Quantile",
    "PoissonNLL",
    "GaussianNLL",
    "SigmoidCrossEntropy",
    "SoftmaxCrossEntropy",
    "MembersLoss",
    "StandardizedTarget",
]
LOSSES = tuple(globals()[name] for name in __all__)
