"""The losses: value and gradient on raw scores, weighted by row, each with the link its scores mean."""

from mlpcore.losses.crossentropy import SigmoidCrossEntropy, SoftmaxCrossEntropy
from mlpcore.losses.likelihood import GaussianNLL, Poisson
from mlpcore.losses.quantile import Quantile
from mlpcore.losses.regression import AbsoluteError, HalfSquaredError, Huber, SquaredError

LOSSES = (
    HalfSquaredError,
    SquaredError,
    AbsoluteError,
    Huber,
    Quantile,
    Poisson,
    GaussianNLL,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
)

__all__ = [
    "LOSSES",
    "AbsoluteError",
    "GaussianNLL",
    "HalfSquaredError",
    "Huber",
    "Poisson",
    "Quantile",
    "SigmoidCrossEntropy",
    "SoftmaxCrossEntropy",
    "SquaredError",
]
