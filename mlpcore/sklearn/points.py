"""The target of a regression: its units in training, and its point prediction, one number for every column."""

import numpy as np

from mlpcore.losses import Quantile
from mlpcore.losses.standardized import StandardizedTarget, original
from mlpcore.namespace import namespace
from mlpcore.preprocessing import Standardize
from mlpcore.typing import Array, Loss, Tree


def standardized(loss: Loss, target: np.ndarray, weights: np.ndarray | None) -> StandardizedTarget:
    """The loss of the target (n, columns) in units of its standard deviation, from the entries of positive weight.

    ``weights`` are (n,) or (n, columns), None for ones. A constant column is only centred.
    """
    counted = np.ones(target.shape, bool)
    if weights is not None:
        counted = np.broadcast_to(weights.reshape(weights.shape[0], -1) > 0, target.shape)
    scales = [Standardize.fit(target[counted[:, j], j : j + 1]) for j in range(target.shape[1])]
    mean, scale = (tuple(float(getattr(one, name)[0]) for one in scales) for name in ("mean", "scale"))
    return StandardizedTarget(loss, mean, scale)


def expected(loss: Loss, z: Array) -> Array:
    """The point prediction of the loss for raw scores z: (n, outputs) -> (n, columns)."""
    return point(loss, loss.predict(z))


def with_deviation(loss: Loss, z: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of a GaussianNLL."""
    return loss.predict(z)[0], loss.deviation(z)  # type: ignore[attr-defined]


def point(loss: Loss, prediction: Tree) -> Array:
    """The point prediction from the loss's prediction: the mean, or the quantile nearest to the median."""
    if isinstance(prediction, tuple):
        return prediction[0]
    if not isinstance(loss := original(loss), Quantile):
        return prediction
    levels = loss.quantiles
    middle = min(range(len(levels)), key=lambda i: abs(levels[i] - 0.5))
    n, columns = prediction.shape
    split = namespace(prediction).reshape(prediction, (n, columns // len(levels), len(levels)))
    return split[:, :, middle]
