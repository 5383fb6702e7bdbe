"""The point prediction of a regression: one number for every target column."""

from mlpcore.losses import Quantile
from mlpcore.namespace import namespace
from mlpcore.typing import Array, Loss, Tree


def expected(loss: Loss, z: Array) -> Array:
    """The point prediction of the loss for raw scores z: (n, outputs) -> (n, columns)."""
    return point(loss, loss.predict(z))


def with_deviation(loss: Loss, z: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of a GaussianNLL. The latter is ``exp`` of half the log-variance, as the variance
    may overflow."""
    return loss.predict(z)[0], loss.predict(0.5 * z)[1]


def point(loss: Loss, prediction: Tree) -> Array:
    """The point prediction from the loss's prediction: the mean, or the quantile nearest to the median."""
    if isinstance(prediction, tuple):
        return prediction[0]
    if not isinstance(loss, Quantile):
        return prediction
    levels = loss.quantiles
    middle = min(range(len(levels)), key=lambda i: abs(levels[i] - 0.5))
    n, columns = prediction.shape
    split = namespace(prediction).reshape(prediction, (n, columns // len(levels), len(levels)))
    return split[:, :, middle]
