"""Losses of the distance between score and target: squares, absolute values, and Huber's mixture of the two."""

from mlpcore.configuration import check_number, configuration
from mlpcore.losses.elementwise import ElementwiseLoss
from mlpcore.namespace import namespace
from mlpcore.numerics import sign
from mlpcore.typing import Array


class _Value(ElementwiseLoss):
    """Abstract: a score is a value of the target."""

    def in_units(self, z: Array, mean: Array, scale: Array) -> Array:
        """Scores of targets ``mean + scale t``, for scores z of targets t."""
        return mean + scale * z


@configuration
class HalfSquaredError(_Value):
    """Half the squared distance: ``loss = sum_j (z_j - t_j)^2 / 2``, ``dz = z - t``.

    z (..., n, c), target (n, c) real, or (n,) for one column. The prediction is z, an estimate of the mean of t.
    Source: Bishop (2006), "Pattern recognition and machine learning", eq. 5.11.
    """

    def pointwise(self, z: Array, t: Array) -> tuple[Array, Array]:
        """``(z - t)^2 / 2`` and ``z - t``."""
        error = z - t
        return 0.5 * error * error, error


@configuration
class SquaredError(_Value):
    """The squared distance: ``loss = sum_j (z_j - t_j)^2``, ``dz = 2 (z - t)``.

    z (..., n, c), target (n, c) real, or (n,) for one column. Its mean over rows and columns is called the mean
    squared error; here a row's loss is the sum over its columns. The prediction is z, an estimate of the mean of t.
    """

    def pointwise(self, z: Array, t: Array) -> tuple[Array, Array]:
        """``(z - t)^2`` and ``2 (z - t)``."""
        error = z - t
        return error * error, 2.0 * error


@configuration
class AbsoluteError(_Value):
    """The absolute distance: ``loss = sum_j |z_j - t_j|``, ``dz = sign(z - t)``, which is 0 at the kink z = t.

    z (..., n, c), target (n, c) real, or (n,) for one column. The prediction is z, an estimate of the median of t.
    """

    def pointwise(self, z: Array, t: Array) -> tuple[Array, Array]:
        """``|z - t|`` and its sign."""
        xp, error = namespace(z), z - t
        return xp.abs(error), sign(error)


@configuration
class Huber(_Value):
    """Half the squared distance up to ``delta``, linear beyond, with a continuous derivative.

    With r = z - t::

        loss = sum_j  r_j^2 / 2                     where |r_j| <= delta
                      delta (|r_j| - delta / 2)     beyond
        dz   = r clipped to [-delta, delta]

    z (..., n, c), target (n, c) real, or (n,) for one column. The constant is that of ``torch.nn.HuberLoss``. The
    prediction is z. Source: Huber (1964), "Robust estimation of a location parameter", p. 75, with his k for delta.
    """

    delta: float = 1.0

    def __post_init__(self) -> None:
        check_number(self, delta=self.delta, above=0)

    def pointwise(self, z: Array, t: Array) -> tuple[Array, Array]:
        """Both branches at once: ``clipped (r - clipped / 2)``, and ``clipped``."""
        error = z - t
        clipped = namespace(z).clip(error, -self.delta, self.delta)
        return clipped * (error - 0.5 * clipped), clipped
