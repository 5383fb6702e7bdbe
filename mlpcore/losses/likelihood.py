"""Negative log-likelihoods of numerical targets: PoissonNLL for counts, GaussianNLL for reals with a variance."""

from typing import Any

from mlpcore.configuration import check_choice, configuration
from mlpcore.losses.elementwise import ElementwiseLoss
from mlpcore.losses.targets import real_columns, refuse, target_columns
from mlpcore.namespace import namespace
from mlpcore.numerics import apply_weights
from mlpcore.typing import Array


@configuration
class PoissonNLL(ElementwiseLoss):
    """Negative log-likelihood of counts with rate exp(z): ``loss = sum_j exp(z_j) - t_j z_j``, ``dz = exp(z) - t``.

    The constant ``log(t!)`` of the likelihood is left out, so the loss may be negative. With ``constant="deviance"``
    ``t log t - t`` is added (0 where t is 0): the loss is then half the deviance, which is 0 for exp(z) = t and
    otherwise positive; the gradient is the same. z (..., n, c), target (n, c), or (n,) for one column: numbers >= 0,
    counts or rates. Where exp(z) overflows (z above 88 in float32, 709 in float64) value and gradient are +inf. The
    link is exp: the prediction is the rate exp(z).

    Source: McCullagh & Nelder (1989), "Generalized linear models", sec. 6.2; deviance: sec. 2.3.
    """

    constant: str = "none"

    def __post_init__(self) -> None:
        check_choice(self, ("none", "deviance"), constant=self.constant)

    def prepare(self, target: Array, outputs: int, dtype: Any) -> Array:
        """Finite numbers >= 0 (n, c) of ``dtype``."""
        target = real_columns(self, target, outputs, dtype)
        refuse(self, target < 0, "negative numbers", "counts or rates of 0 or more")
        return target

    def pointwise(self, z: Array, t: Array) -> tuple[Array, Array]:
        """``exp(z) - t z``, with the constant, and ``exp(z) - t``."""
        xp = namespace(z)
        rate = xp.exp(z)
        # Without inf - inf: where the rate is infinite, so is the loss.
        loss = xp.where(xp.isfinite(rate), rate - t * z, rate)
        if self.constant == "deviance":
            loss = loss + (t * xp.log(xp.where(t > 0, t, 1.0)) - t)
        return loss, rate - t

    def predict(self, z: Array) -> Array:
        """The rate, ``exp(z)``."""
        return namespace(z).exp(z)


Poisson = PoissonNLL  # its name in pickles written before December 2026


@configuration
class GaussianNLL:
    """Negative log-likelihood of a normal distribution of each target, with mean m and log-variance s as scores.

    The formula::

        loss = sum_j (s_j + (t_j - m_j)^2 exp(-s_j)) / 2
        dm   = (m - t) exp(-s)           ds = (1 - (t - m)^2 exp(-s)) / 2

    The constant ``log(2 pi) / 2`` of each column is left out. z (..., n, 2 c): first the c means, then the c
    log-variances; target (n, c) real, or (n,) for one column. Where t = m, the loss is s / 2 however small the
    variance; where a square or a gradient exceeds the largest number, it is infinite, never NaN. The prediction is the
    tuple (mean, variance), each (..., n, c).

    A weight of an entry (n, c) is that of the whole term of its target. Source: Nix & Weigend (1994), "Estimating the
    mean and variance of the target probability distribution".
    """

    entry_weights = True

    def outputs(self, target_columns: int) -> int:
        """Two for each target column."""
        return 2 * target_columns

    def prepare(self, target: Array, outputs: int, dtype: Any) -> Array:
        """Finite real numbers (n, outputs / 2) of ``dtype``."""
        return real_columns(self, target, target_columns(self, outputs, 2), dtype)

    def value_and_grad(self, z: Array, target: Array, weights: Array) -> tuple[Array, Array]:
        """With the error u in standard deviations ``(s + u^2) / 2``, ``dm = u exp(-s / 2)``, ``ds = (1 - u^2) / 2``."""
        xp = namespace(z)
        mean, log_variance = _halves(z)
        error = mean - target
        # Two factors exp(-s / 4) overflow only if the result does. Where the error is 0 they are 1, to avoid 0 * inf.
        root = xp.exp(xp.where(error == 0, 0.0, -0.25 * log_variance))
        units = error * root * root
        half_square = 0.5 * units * units
        losses, dmean, dlog_variance = 0.5 * log_variance + half_square, units * root * root, 0.5 - half_square
        if weights.ndim == 2:
            value, dmean = apply_weights(weights, losses, dmean)
            return value, xp.concat([dmean, apply_weights(weights, losses, dlog_variance)[1]], axis=-1)
        return apply_weights(weights, xp.sum(losses, axis=-1), xp.concat([dmean, dlog_variance], axis=-1))

    def predict(self, z: Array) -> tuple[Array, Array]:
        """``(mean, exp(s))``."""
        mean, log_variance = _halves(z)
        return mean, namespace(z).exp(log_variance)

    def deviation(self, z: Array) -> Array:
        """The standard deviation ``exp(s / 2)``, which may be finite where the variance overflows."""
        return namespace(z).exp(0.5 * _halves(z)[1])

    def in_units(self, z: Array, mean: Array, scale: Array) -> Array:
        """Scores of targets ``mean + scale t``, for scores z of targets t."""
        xp = namespace(z)
        m, log_variance = _halves(z)
        return xp.concat([mean + scale * m, 2 * xp.log(scale) + log_variance], axis=-1)


def _halves(z: Array) -> tuple[Array, Array]:
    """The first and the second half of the columns."""
    half = z.shape[-1] // 2
    return z[..., :half], z[..., half:]
