"""RobustClip: columns centred, scaled and smoothly clipped by fixed numbers."""

from typing import Any

import numpy as np
from array_api_compat import device as device_of

from mlpcore.configuration import check_number, configuration
from mlpcore.errors import ConfigurationError
from mlpcore.layers.normalization import check_columns
from mlpcore.layers.parameterless import Parameterless
from mlpcore.namespace import namespace
from mlpcore.typing import Array, Cache, Params, Training

LIMIT = 3.0
FAR = 1e8  # s / 3 beyond which y is the limit to 5e-17; its square is finite in float32


@configuration
class RobustClip(Parameterless):
    """``s = (x - center) * factor`` for every column, then ``y = s / sqrt(1 + (s / 3)^2)``, which is within -3 to 3.

    Near 0 it is ``s``: ``y = s (1 - s^2 / 18 + ...)``. The numbers are not trained: `RobustClip.fit` computes them from
    rows. ``dx = dy * factor / (1 + (s / 3)^2)^(3/2)``. Shapes: x and y (..., n, columns). The layer may stand in a
    network, or scale data before: ``RobustClip.fit(x)(x)``.

    Source: Holzmüller, Grinsztajn & Steinwart (2024), "Better by default: strong pre-tuned MLPs and boosted trees on
    tabular data", sec. 3 (robust scale and smooth clip).
    """

    center: tuple[float, ...]
    factor: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("center", "factor"):
            values = getattr(self, name)
            if not isinstance(values, tuple) or not values:
                raise ConfigurationError(f"RobustClip: {name} is {values!r}, expected a tuple of a number a column")
            for value in values:
                check_number(self, **{name: value}, least=0 if name == "factor" else -np.inf)
        if len(self.center) != len(self.factor):
            raise ConfigurationError(
                f"RobustClip: center has {len(self.center)} numbers, factor {len(self.factor)}; expected equally many"
            )

    @classmethod
    def fit(cls, x: Any) -> "RobustClip":
        """The median of every column of x (n, columns) as center; factor ``1 / (q75 - q25)``, the quartiles' distance.

        If that is 0 the factor is ``2 / (max - min)``, and 0 for a constant column, so that y is 0. Quantiles are
        linear between the sorted rows. x is an array on the host; ConfigurationError for NaN, infinity or no rows.
        """
        x = np.asarray(x, dtype=np.float64)
        if x.ndim != 2 or not x.size or not np.all(np.isfinite(x)):
            raise ConfigurationError(
                f"RobustClip.fit: x has shape {x.shape}, expected finite numbers (n, columns); fill what is missing"
            )
        low, q25, median, q75, high = np.quantile(x, (0.0, 0.25, 0.5, 0.75, 1.0), axis=0)
        distance = np.where(q75 > q25, q75 - q25, (high - low) / 2)
        factor = np.where(distance > 0, 1 / np.where(distance > 0, distance, 1.0), 0.0)
        return cls(tuple(median.tolist()), tuple(factor.tolist()))

    def __call__(self, x: Array) -> Array:
        """y for the rows x (n, columns), in the dtype of x."""
        return self.forward({}, x)[0]

    def output_width(self, n_in: int | None) -> int:
        """The same number of columns; ConfigurationError for another number than was fitted."""
        return check_columns(self, len(self.center), n_in)

    def forward(self, params: Params, x: Array, training: Training | None = None) -> tuple[Array, Cache]:
        """y; the cache is ``1 / sqrt(1 + (s / 3)^2)``."""
        xp = namespace(x)
        third = (x - _row(x, self.center)) * _row(x, tuple(number / LIMIT for number in self.factor))
        third = xp.minimum(xp.maximum(third, -FAR), FAR)
        shrink = 1 / xp.sqrt(1 + third * third)
        return LIMIT * third * shrink, shrink

    def backward(self, params: Params, cache: Cache, dy: Array, *, need_dx: bool = True) -> tuple[Array | None, Params]:
        """``dy * factor / (1 + (s / 3)^2)^(3/2)``."""
        return (dy * _row(dy, self.factor) * (cache * cache * cache) if need_dx else None), {}


def _row(x: Array, numbers: tuple[float, ...]) -> Array:
    """The numbers as an array (columns,) like x."""
    return namespace(x).asarray(list(numbers), dtype=x.dtype, device=device_of(x))
