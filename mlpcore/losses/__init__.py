"""The losses: value and gradient on raw scores, weighted by row, each with the link its scores mean."""

from mlpcore.losses.crossentropy import SigmoidCrossEntropy, SoftmaxCrossEntropy
from mlpcore.losses.likelihood import GaussianNLL, Poisson
from mlpcore.losses.quantile import Quantile
from mlpcore.losses.regression import AbsoluteError, HalfSquaredError, Huber, SquaredError

__all__ = [
    "HalfSquaredError",
    "SquaredError",
    "AbsoluteError",
    "Huber",
    "Quantile",
    "Poisson",
    "GaussianNLL",
    "SigmoidCrossEntropy",
    "SoftmaxCrossEntropy",
]
LOSSES = tuple(globals()[name] for name in __all__)
