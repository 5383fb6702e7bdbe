"""PiecewiseLinearEmbedding: every column as a learned function that is linear between fixed edges."""

import math
from itertools import pairwise
from typing import Any

from array_api_compat import device as device_of

from mlpcore.configuration import check_count, check_number, configuration
from mlpcore.errors import ConfigurationError
from mlpcore.initializers import Uniform, Zeros
from mlpcore.layers.normalization import check_columns
from mlpcore.namespace import namespace
from mlpcore.random import Stream
from mlpcore.typing import Array, Cache, Noise, Params, Training


@configuration
class PiecewiseLinearEmbedding:
    """For each of c columns h functions that are linear between the column's edges and, outside, go on with a slope.

    ``edges`` holds for every column two or more increasing numbers, such as quantiles of the training rows. Bin b of
    column j, from edge e_b to e_(b+1), has the component ``p_jb = (x_j - e_b) / (e_(b+1) - e_b)``, limited to [0, 1]
    where a bin follows or precedes::

        y_jl = sum_b p_jb weight_jbl + x_j slope_jl + bias_jl        l = 1 ... h

    At first ``weight`` is 0 and slope and bias are ``U(-1/sqrt(h), 1/sqrt(h))``: linear functions, which learn their
    bends. Shapes: x (..., n, c), y (..., n, c h), column by column; ``weight`` (..., c, B, h) for the largest number
    B of bins, of which a column with fewer uses the first; ``slope`` and ``bias`` (..., c, h). With
    ``g_jb = sum_l dy_jl weight_jbl``::

        dx_j = sum_l dy_jl slope_jl + sum_b g_jb / (e_(b+1) - e_b)      b over bins that are not at a limit
        dweight_jbl = sum(p_jb dy_jl)        dslope = sum(x dy)        dbias = sum(dy)        sums over the rows

    Source: Gorishniy, Rubachev & Babenko (2022), "On embeddings for numerical features in tabular deep learning",
    sec. 3.2, in the form of TabM's package: with a linear start.
    """

    edges: tuple[tuple[float, ...], ...]
    width: int = 16

    row_independent = True

    def __post_init__(self) -> None:
        check_count(self, width=self.width)
        if not isinstance(self.edges, tuple) or not self.edges:
            raise ConfigurationError(f"PiecewiseLinearEmbedding: edges is {self.edges!r}, expected a tuple of tuples")
        for j, column in enumerate(self.edges):
            for edge in column:
                check_number(self, edges=edge)
            if len(column) < 2 or any(a >= b for a, b in pairwise(column)):
                raise ConfigurationError(
                    f"PiecewiseLinearEmbedding: the edges of column {j} are {column!r}, expected two or more that "
                    "increase; leave out columns that are constant"
                )

    @property
    def bins(self) -> int:
        """The largest number of bins of a column."""
        return max(map(len, self.edges)) - 1

    def output_width(self, n_in: int | None) -> int:
        """``width`` for every column; ConfigurationError for another number of input columns."""
        return check_columns(self, len(self.edges), n_in) * self.width

    def init(self, rng: Stream, dtype: str) -> Params:
        """``weight`` of zeros; ``slope`` and ``bias`` drawn as above."""
        c, h, start = len(self.edges), self.width, Uniform(self.width**-0.5)
        draws = {
            "weight": Zeros()(rng, (c, self.bins, h), (c, h)),
            "slope": start(rng.child("slope"), (c, h), (c, h)),
            "bias": start(rng.child("bias"), (c, h), (c, h)),
        }
        return {name: draw.astype(dtype) for name, draw in draws.items()}

    def noise(self, stream: Stream, shape: tuple[Any, ...], dtype: str) -> Noise:
        """Empty, (): the layer draws nothing."""
        return ()

    def forward(self, params: Params, x: Array, training: Training | None = None) -> tuple[Array, Cache]:
        """y; the cache is x, the components (..., n, c, B) and their derivatives."""
        xp, column = namespace(x), namespace(x).expand_dims(x, axis=-1)
        edge, scale, low, high = self._bins(x)
        free = (column - edge) * scale
        component = xp.minimum(xp.maximum(free, low), high)
        slopes = scale * xp.astype((free > low) & (free < high), x.dtype)
        weight = xp.expand_dims(params["weight"], axis=-4)
        slope, bias = (xp.expand_dims(params[name], axis=-3) for name in ("slope", "bias"))
        y = xp.sum(xp.expand_dims(component, axis=-1) * weight, axis=-2) + column * slope + bias
        return xp.reshape(y, (*y.shape[:-2], y.shape[-2] * y.shape[-1])), (x, component, slopes)

    def backward(self, params: Params, cache: Cache, dy: Array, *, need_dx: bool = True) -> tuple[Array | None, Params]:
        """The gradients above."""
        xp, (x, component, slopes) = namespace(dy), cache
        dy = xp.reshape(dy, (*dy.shape[:-1], len(self.edges), self.width))
        across = xp.expand_dims(dy, axis=-2)
        grads = {
            "weight": xp.sum(across * xp.expand_dims(component, axis=-1), axis=-4),
            "slope": xp.sum(dy * xp.expand_dims(x, axis=-1), axis=-3),
            "bias": xp.sum(dy, axis=-3),
        }
        if not need_dx:
            return None, grads
        through_bins = xp.sum(across * xp.expand_dims(params["weight"], axis=-4), axis=-1)
        linear = xp.sum(dy * xp.expand_dims(params["slope"], axis=-3), axis=-1)
        return linear + xp.sum(through_bins * slopes, axis=-1), grads

    def _bins(self, x: Array) -> tuple[Array, Array, Array, Array]:
        """For every bin (c, B) its lower edge, one over its width, and the limits of its component.

        Bins that a column does not have get the scale 0 and the limits 0 and 1: their component is 0.
        """
        edge, scale, low, high = [], [], [], []
        for column in self.edges:
            n, rest = len(column) - 1, [0.0] * (self.bins - len(column) + 1)
            edge.append([*column[:-1], *rest])
            scale.append([1 / (b - a) for a, b in pairwise(column)] + rest)
            low.append([-math.inf, *[0.0] * (n - 1), *rest])
            high.append([*[1.0] * (n - 1), math.inf, *(1.0 for _ in rest)])
        xp, place = namespace(x), device_of(x)
        edge, scale, low, high = (xp.asarray(rows, dtype=x.dtype, device=place) for rows in (edge, scale, low, high))
        return edge, scale, low, high
