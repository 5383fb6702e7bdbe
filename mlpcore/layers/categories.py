"""Layers for columns of category numbers: OneHot and Embedding.

A column of m levels holds the numbers 1 to m as floats, which are exact up to 2^24 in float32. 0, every number that is
not a level, and NaN stand for a category that is missing or was not seen before. dx is 0: y is constant in between.
"""

from itertools import accumulate, pairwise
from typing import Any

from array_api_compat import device as device_of

from mlpcore.configuration import check_count, configuration
from mlpcore.errors import ConfigurationError
from mlpcore.initializers import Normal
from mlpcore.layers.normalization import check_columns
from mlpcore.layers.parameterless import Parameterless
from mlpcore.namespace import namespace
from mlpcore.random import Stream
from mlpcore.typing import Array, Cache, Initializer, Noise, Params, Training


def check_levels(layer: Any) -> None:
    """ConfigurationError unless ``layer.levels`` is a tuple of one or more whole numbers of 1 or more."""
    if not isinstance(layer.levels, tuple) or not layer.levels:
        raise ConfigurationError(
            f"{type(layer).__name__}: levels is {layer.levels!r}, expected a tuple with the number of levels of every "
            "column, such as (3, 12)"
        )
    for count in layer.levels:
        check_count(layer, levels=count)


@configuration
class OneHot(Parameterless):
    """The levels of every column as columns of y; ``levels`` are their numbers, y has them one column after the other.

    - one level: a column of y, 1 for the level and -1 where it is missing
    - two levels: a column of y, 1 for level 1, -1 for level 2, 0 where it is missing
    - m levels, m > 2: m columns of y, 1 for the level and 0 for the others; zeros where it is missing

    Shapes: x (..., n, number of columns), y (..., n, sum of these numbers of columns).
    """

    levels: tuple[int, ...]

    def __post_init__(self) -> None:
        check_levels(self)

    def output_width(self, n_in: int | None) -> int:
        """One column of y for a column with one or two levels, else one for every level."""
        check_columns(self, len(self.levels), n_in)
        return sum(1 if count < 3 else count for count in self.levels)

    def forward(self, params: Params, x: Array, training: Training | None = None) -> tuple[Array, Cache]:
        """y as above; the cache is empty."""
        xp, place = namespace(x), device_of(x)
        # y = factor * (x == level) - signed * (x == 2) + missing, for every column of y.
        rows = [
            (column, level, 2 if count == 1 else 1, 1 if count == 2 else 0, -1 if count == 1 else 0)
            for column, count in enumerate(self.levels)
            for level in range(1, 2 if count < 3 else count + 1)
        ]
        columns, *numbers = zip(*rows, strict=True)
        level, factor, signed, missing = (xp.asarray(list(row), dtype=x.dtype, device=place) for row in numbers)
        x_repeated = xp.take(x, xp.asarray(list(columns), device=place), axis=-1)
        there, other = (xp.astype(x_repeated == number, x.dtype) for number in (level, 2))
        return factor * there - signed * other + missing, ()

    def backward(self, params: Params, cache: Cache, dy: Array, *, need_dx: bool = True) -> tuple[Array | None, Params]:
        """``(zeros, {})``."""
        return (_zeros(dy, len(self.levels)) if need_dx else None), {}


@configuration
class Embedding:
    """A learned vector of ``width`` numbers for every level of every column, and one for a missing category.

    The rows of ``weight`` (..., sum of (levels + 1), width) are the vectors of the first column, from that of "missing"
    on, then those of the second, and so on. Shapes: x (..., n, c), y (..., n, c * width), column by column.
    With E_j (n, levels + 1) the indicator of the level in column j, and W_j the rows of ``weight`` for that column::

        y_j = E_j @ W_j        dW_j = E_j.T @ dy_j

    The gradient of a vector is the sum of dy over the rows with its level, in an order that depends on shapes alone.
    The products take ``n * levels * width`` multiplications: little beside a hidden layer up to some thousand levels.
    """

    levels: tuple[int, ...]
    width: int
    weight_init: Initializer = Normal(1.0)

    row_independent = True

    def __post_init__(self) -> None:
        check_levels(self)
        check_count(self, width=self.width)

    def output_width(self, n_in: int | None) -> int:
        """``width`` for every column; ConfigurationError for another number of input columns."""
        return check_columns(self, len(self.levels), n_in) * self.width

    def init(self, rng: Stream, dtype: str) -> Params:
        """``weight`` from its initializer."""
        shape = (sum(self.levels) + len(self.levels), self.width)
        return {"weight": self.weight_init(rng.child("weight"), shape, shape).astype(dtype)}

    def noise(self, stream: Stream, shape: tuple[Any, ...], dtype: str) -> Noise:
        """Empty, (): the layer draws nothing."""
        return ()

    def forward(self, params: Params, x: Array, training: Training | None = None) -> tuple[Array, Cache]:
        """The products above; the cache is the indicators."""
        indicators = [self._indicator(x[..., j : j + 1], count) for j, count in enumerate(self.levels)]
        weight = params["weight"]
        parts = [
            indicator @ weight[..., start:stop, :]
            for indicator, (start, stop) in zip(indicators, self._ranges(), strict=True)
        ]
        return namespace(x).concat(parts, axis=-1), tuple(indicators)

    def backward(self, params: Params, cache: Cache, dy: Array, *, need_dx: bool = True) -> tuple[Array | None, Params]:
        """The products above; dx is 0."""
        xp, indicators = namespace(dy), cache
        parts = [
            indicator.mT @ dy[..., j * self.width : (j + 1) * self.width] for j, indicator in enumerate(indicators)
        ]
        return (_zeros(dy, len(self.levels)) if need_dx else None), {"weight": xp.concat(parts, axis=-2)}

    def _ranges(self) -> list[tuple[int, int]]:
        """The rows of ``weight`` for every column, from the first to before the last."""
        return list(pairwise(accumulate((count + 1 for count in self.levels), initial=0)))

    @staticmethod
    def _indicator(x: Array, levels: int) -> Array:
        """(..., n, levels + 1) with a 1 at the level of each x (..., n, 1), at 0 where x is no level."""
        xp = namespace(x)
        level = xp.where((x >= 1) & (x <= levels), xp.round(x), xp.zeros_like(x))
        return xp.astype(level == xp.arange(levels + 1, dtype=x.dtype, device=device_of(x)), x.dtype)


def _zeros(dy: Array, columns: int) -> Array:
    """dx (..., n, columns) of a function that is constant in between."""
    return namespace(dy).zeros((*dy.shape[:-1], columns), dtype=dy.dtype, device=device_of(dy))
