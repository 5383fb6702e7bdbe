"""PeriodicEmbedding: cosines of every column, mixed linearly, in place of the number itself."""

import math
from typing import Any

from mlpcore.configuration import check_count, check_number, configuration
from mlpcore.initializers import Normal, Uniform
from mlpcore.layers.normalization import check_columns
from mlpcore.namespace import namespace
from mlpcore.numerics import cosine_and_sine
from mlpcore.random import Stream
from mlpcore.typing import Array, Cache, Noise, Params, Training


@configuration
class PeriodicEmbedding:
    """For each of c columns on its own, cosines of q frequencies and a linear map of them to h numbers.

    The map, for column j::

        u_jk = cos(2 pi frequency_jk x_j + phase_jk)                k = 1 ... q
        y_jl = sum_k u_jk weight_jkl + bias_jl                      l = 1 ... h

    So a column may have an effect with many turns. Shapes: x (..., n, c), y (..., n, c h), column by column;
    ``frequency`` and ``phase`` (..., c, q), ``weight`` (..., c, q, h), ``bias`` (..., c, h). At first frequencies are
    ``N(0, sigma^2)`` in turns per unit of x, phases ``U(-pi, pi)``, weight and bias ``U(-1/sqrt(q), 1/sqrt(q))``. With
    ``du_jk = sum_l dy_jl weight_jkl`` and ``da_jk = -sin(...) du_jk``::

        dx_j = 2 pi sum_k da_jk frequency_jk        dphase = sum(da)        dfrequency = 2 pi sum(da x)
        dweight_jkl = sum(dy_jl u_jk)               dbias = sum(dy)         sums over the rows

    ``Concat(PeriodicEmbedding(c), Identity())`` is the PBLD embedding of RealMLP.

    Sources: Gorishniy, Rubachev & Babenko (2022), "On embeddings for numerical features in tabular deep learning",
    sec. 3.3; Holzmüller, Grinsztajn & Steinwart (2024), "Better by default: strong pre-tuned MLPs and boosted trees on
    tabular data", sec. 3 (with phases and bias).
    """

    features: int
    frequencies: int = 16
    width: int = 3
    sigma: float = 0.1

    row_independent = True

    def __post_init__(self) -> None:
        check_count(self, features=self.features, frequencies=self.frequencies, width=self.width)
        check_number(self, sigma=self.sigma, above=0)

    def output_width(self, n_in: int | None) -> int:
        """``features * width``; ConfigurationError for another number of input columns."""
        return check_columns(self, self.features, n_in) * self.width

    def init(self, rng: Stream, dtype: str) -> Params:
        """The draws above."""
        c, q, h = self.features, self.frequencies, self.width
        mixing = Uniform(q**-0.5)
        draws = {
            "frequency": Normal(self.sigma)(rng.child("frequency"), (c, q), (q, h)),
            "phase": Uniform(math.pi)(rng.child("phase"), (c, q), (q, h)),
            "weight": mixing(rng.child("weight"), (c, q, h), (q, h)),
            "bias": mixing(rng.child("bias"), (c, h), (q, h)),
        }
        return {name: draw.astype(dtype) for name, draw in draws.items()}

    def noise(self, stream: Stream, shape: tuple[Any, ...], dtype: str) -> Noise:
        """Empty, (): the layer draws nothing."""
        return ()

    def forward(self, params: Params, x: Array, training: Training | None = None) -> tuple[Array, Cache]:
        """y; the cache is x, and the cosines and sines (..., n, c, q)."""
        xp = namespace(x)
        frequency, phase, bias = (xp.expand_dims(params[name], axis=-3) for name in ("frequency", "phase", "bias"))
        cosine, sine = cosine_and_sine(xp.expand_dims(x, axis=-1) * frequency + phase * (0.5 / math.pi))
        weight = xp.expand_dims(params["weight"], axis=-4)
        y = xp.sum(xp.expand_dims(cosine, axis=-1) * weight, axis=-2) + bias
        return xp.reshape(y, (*y.shape[:-2], self.features * self.width)), (x, cosine, sine)

    def backward(self, params: Params, cache: Cache, dy: Array, *, need_dx: bool = True) -> tuple[Array | None, Params]:
        """The gradients above."""
        xp, (x, cosine, sine) = namespace(dy), cache
        dy = xp.reshape(dy, (*dy.shape[:-1], self.features, self.width))
        weight, across = xp.expand_dims(params["weight"], axis=-4), xp.expand_dims(dy, axis=-2)
        da = -sine * xp.sum(across * weight, axis=-1)
        grads = {
            "frequency": (2 * math.pi) * xp.sum(da * xp.expand_dims(x, axis=-1), axis=-3),
            "phase": xp.sum(da, axis=-3),
            "weight": xp.sum(across * xp.expand_dims(cosine, axis=-1), axis=-4),
            "bias": xp.sum(dy, axis=-3),
        }
        if not need_dx:
            return None, grads
        return (2 * math.pi) * xp.sum(da * xp.expand_dims(params["frequency"], axis=-3), axis=-1), grads
