"""The pinball loss: several quantiles of every target at once."""

from itertools import pairwise
from typing import Any

from mlpcore.configuration import check_number, configuration
from mlpcore.errors import ConfigurationError
from mlpcore.losses.targets import real_columns, target_columns
from mlpcore.namespace import namespace
from mlpcore.numerics import apply_weights, sign, vector_like
from mlpcore.typing import Array


@configuration
class Quantile:
    """Pinball loss: the score of level p estimates the p-quantile of t, exceeded with probability 1 - p.

    With r = z - t::

        loss = sum over targets and levels of  (1 - p) r  where r > 0,   -p r  where r < 0
        dz   =                                  1 - p     where r > 0,   -p    where r < 0,   0 at the kink r = 0

    ``quantiles``: q levels, strictly increasing between 0 and 1. In z (..., n, targets * q) the columns
    ``j q`` to ``j q + q - 1`` are the quantiles of target column j, in the order of ``quantiles``. The target is
    (n, targets) real, or (n,) for one column. A weight of an entry (n, targets) is that of all levels of its target.

    Nothing in the loss keeps the quantiles of a row from crossing, so `predict` sorts them, which never increases
    their distance to the true ones. Sources: Koenker & Bassett (1978), "Regression quantiles"; sorting: Chernozhukov,
    Fernández-Val & Galichon (2010), "Quantile and probability curves without crossing".
    """

    quantiles: tuple[float, ...] = (0.1, 0.5, 0.9)

    entry_weights = True

    def __post_init__(self) -> None:
        levels = self.quantiles
        if not isinstance(levels, (tuple, list)) or not levels:
            raise ConfigurationError(
                f"Quantile: quantiles is {levels!r}, expected a tuple of levels such as (0.1, 0.5, 0.9)"
            )
        for level in levels:
            check_number(self, quantiles=level, above=0, below=1)
        if any(low >= high for low, high in pairwise(levels)):
            raise ConfigurationError(f"Quantile: quantiles is {levels!r}, expected levels that increase")
        object.__setattr__(self, "quantiles", tuple(float(level) for level in levels))

    def outputs(self, target_columns: int) -> int:
        """One score for every level of every target column."""
        return target_columns * len(self.quantiles)

    def prepare(self, target: Array, outputs: int, dtype: Any) -> Array:
        """Finite real numbers (n, outputs / q) of ``dtype``."""
        return real_columns(self, target, target_columns(self, outputs, len(self.quantiles)), dtype)

    def value_and_grad(self, z: Array, target: Array, weights: Array) -> tuple[Array, Array]:
        """``sum_i w_i sum (1 - p) max(r, 0) + p max(-r, 0)``, and its gradient."""
        xp, p = namespace(z), vector_like(z, self.quantiles)
        error = self._by_target(z) - xp.expand_dims(target, axis=-1)
        above, below = xp.maximum(error, 0.0), xp.maximum(-error, 0.0)
        losses = (1 - p) * above + p * below
        slope = (1 - p) * sign(above) - p * sign(below)
        if weights.ndim == 2:
            value, slope = apply_weights(weights, xp.sum(losses, axis=-1), slope)
            return value, xp.reshape(slope, z.shape)
        return apply_weights(weights, xp.sum(losses, axis=(-2, -1)), xp.reshape(slope, z.shape))

    def predict(self, z: Array) -> Array:
        """The quantiles (..., n, targets * q), those of each target in increasing order."""
        xp = namespace(z)
        return xp.reshape(xp.sort(self._by_target(z), axis=-1), z.shape)

    def in_units(self, z: Array, mean: Array, scale: Array) -> Array:
        """Scores of targets ``mean + scale t``, for scores z of targets t."""
        xp = namespace(z)
        values = xp.expand_dims(mean, axis=-1) + xp.expand_dims(scale, axis=-1) * self._by_target(z)
        return xp.reshape(values, z.shape)

    def _by_target(self, z: Array) -> Array:
        """(..., n, targets * q) -> (..., n, targets, q)."""
        levels = len(self.quantiles)
        return namespace(z).reshape(z, (*z.shape[:-1], z.shape[-1] // levels, levels))
