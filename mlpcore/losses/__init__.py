"""The losses: value and gradient on raw scores, weighted by row, each with the link its scores mean."""

from mlpcore.losses.crossentropy import SoftmaxCrossEntropy

LOSSES = (SoftmaxCrossEntropy,)
