"""NumericEncoder: numbers as centred, scaled and smoothly bounded columns, with gaps filled and indicated."""

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from mlpcore.namespace import namespace
from mlpcore.tabular.stored import check_field, check_list, damaged
from mlpcore.typing import Array

BOUND = 3.0  # scaled values are bounded by it
FAR, FAR_SHARE = 4.0, 0.001  # the tail is heavy if this share of the rows is farther than FAR from the median
LINEAR = 10.0  # deviations up to which the column of a heavy tail is linear
LARGEST = 1e300


@dataclass(frozen=True)
class NumericEncoder:
    """Numbers (n,) as one to three columns: ``z / sqrt(1 + (z / 3)^2)`` with ``z = (x - center) / scale``.

    - ``center`` is the median and ``scale`` the distance of the quartiles (half the range where they are equal) of the
      training rows. ``bounded`` is False for plain ``z``.
    - A heavy tail adds ``u = (z - mean) / deviation``, with ``tail = (mean, deviation)`` those of z, so that values far
      from the median stay apart. Beyond 10 deviations it goes on as ``10 (1 + log(|u| / 10))``, with the sign of u.
    - Missing values are replaced by ``fill``, the median; a column of 0 and 1 says where, if the training rows had
      some (``indicator``). With ``fill=None`` they stay NaN.

    Source: the scaling and the bound are those of Holzmüller, Grinsztajn & Steinwart (2024), "Better by default",
    section 3; the column for tails is an addition.
    """

    center: float
    scale: float
    fill: float | None = None
    indicator: bool = False
    bounded: bool = True
    tail: tuple[float, float] | None = None

    @classmethod
    def fit(cls, values: np.ndarray) -> Self:
        """The encoder of training values (n,), finite or NaN; without any number it gives zeros."""
        present = values[~np.isnan(values)]
        indicator = len(present) < len(values)
        if not len(present):
            return cls(0.0, 1.0, 0.0, indicator)
        low, center, high = (float(q) for q in np.quantile(present / 2, [0.25, 0.5, 0.75]))  # halves cannot overflow
        half = high - low or (float(present.max()) / 2 - float(present.min()) / 2) / 2
        if half < np.finfo(np.float64).tiny:
            return cls(2 * center, 1.0, 2 * center, indicator)
        scale = min(2 * half, float(np.finfo(np.float64).max))
        plain = cls(2 * center, scale, 2 * center, indicator)
        z = plain.scaled(present)
        if np.mean(np.abs(z) > FAR) < FAR_SHARE:
            return plain
        largest = np.abs(z).max()
        parts = z / largest  # whose squares cannot overflow
        tail = float(parts.mean() * largest), float(parts.std() * largest)
        return cls(2 * center, scale, 2 * center, indicator, True, tail)

    def names(self, column: str) -> list[str]:
        """The names of the encoded columns."""
        tail, gaps = [f"{column} (tail)"] * (self.tail is not None), [f"{column} is missing"] * self.indicator
        return [column, *tail, *gaps]

    def scaled(self, values: Array) -> Array:
        """``(x - center) / scale`` in float64, without overflow."""
        xp = namespace(values)
        with np.errstate(over="ignore"):
            z = (values / 2 - self.center / 2) / self.scale * 2
        return xp.minimum(xp.maximum(z, -LARGEST), LARGEST)

    def transform(self, values: np.ndarray) -> np.ndarray:
        """The encoded columns (n, c) of float64 values (n,), NaN where missing."""
        return np.column_stack(self.columns(values))

    def columns(self, values: Array) -> list[Array]:
        """The encoded columns, each of the shape of the values: plain Array API code, which ONNX models have too."""
        xp = namespace(values)
        missing = xp.isnan(values)
        z = self.scaled(values if self.fill is None else xp.where(missing, self.fill, values))
        columns = [z / xp.hypot(1.0, z / BOUND) if self.bounded else z]
        if self.tail is not None:
            columns.append(_logarithmic_beyond((z - self.tail[0]) / self.tail[1], LINEAR))
        return [*columns, xp.astype(missing, xp.float64)] if self.indicator else columns

    def to_json(self) -> dict[str, Any]:
        """The encoder as JSON values."""
        return vars(self) | {"tail": None if self.tail is None else list(self.tail)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The encoder of `to_json`; ModelFileError for other values."""
        center, scale = (check_field(data, name, float) for name in ("center", "scale"))
        indicator, bounded = (check_field(data, name, bool) for name in ("indicator", "bounded"))
        fill, tail = check_field(data, "fill", float, None), None
        if check_field(data, "tail", list, None) is not None:
            tail = tuple(check_list(data, "tail", float))
        if scale <= 0 or (tail is not None and (len(tail) != 2 or tail[1] <= 0)):
            damaged("scale or tail", f"{scale}, {tail}")
        return cls(center, scale, fill, indicator, bounded, tail)


def _logarithmic_beyond(u: Array, limit: float) -> Array:
    """u up to ``limit``, and a logarithm with the same slope there beyond it."""
    xp = namespace(u)
    size = xp.abs(u)
    far = xp.where(size > limit, limit * (1 + xp.log(xp.maximum(size, limit) / limit)), size)
    return xp.copysign(far, u)


def standard(mean: float, scale: float) -> NumericEncoder:
    """The encoder ``(x - mean) / scale`` of one column, which takes no missing values."""
    if not (math.isfinite(mean) and 0 < scale < math.inf):
        raise ValueError(f"mean and scale are {mean} and {scale}, expected finite numbers and a positive scale")
    return NumericEncoder(mean, scale, bounded=False)
