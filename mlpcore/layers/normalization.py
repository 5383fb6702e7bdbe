"""Normalisation of each row by its mean and variance (LayerNorm) or its root mean square (RMSNorm)."""

from typing import Any

import numpy as np

from mlpcore.configuration import check_count, check_number, configuration
from mlpcore.errors import ConfigurationError
from mlpcore.namespace import namespace
from mlpcore.numerics import largest, square_scaling
from mlpcore.random import Stream
from mlpcore.typing import Array, Cache, Noise, Params, Training


def check_columns(layer: object, features: int, n_in: int | None) -> int:
    """``features``; ConfigurationError if ``n_in`` is known and differs."""
    if n_in not in (None, features):
        raise ConfigurationError(f"{layer!r}: x has {n_in} columns, expected {features}")
    return features


def in_range(x: Array, eps: float) -> tuple[Array, Array, Array]:
    """``(s x, s, eps s^2)`` with a power of two s for each row, nearly always 1, so that no square overflows.

    Then ``s x / sqrt(mean((s x)^2) + eps s^2)`` is ``x / sqrt(mean(x^2) + eps)``.
    """
    xp = namespace(x)
    scale, eps = (xp.expand_dims(row, axis=-1) for row in square_scaling(largest(x), x.shape[-1], eps))
    return x * scale, scale, eps


@configuration
class LayerNorm:
    """Every row brought to mean 0 and variance 1, then ``y = gain * h + bias`` for each column.

    ``h = (x - mean(x)) / sqrt(var(x) + eps)`` over the columns, var being the biased variance (divided by their
    number). With ``dh = gain * dy`` and r for one over the root::

        dx = r * (dh - mean(dh) - h * mean(dh * h))       dgain = sum(dy * h)       dbias = sum(dy)

    the means over the columns, the sums over the rows. Shapes: x and y (..., n, features), ``gain`` (ones at first)
    and ``bias`` (zeros) (..., features). A row of equal numbers gives h = 0, and so does a single column.

    Source: Ba, Kiros & Hinton (2016), "Layer normalization".
    """

    features: int
    eps: float = 1e-5

    row_independent = True

    def __post_init__(self) -> None:
        check_count(self, features=self.features)
        check_number(self, eps=self.eps, above=0)

    def output_width(self, n_in: int | None) -> int:
        """``features``; ConfigurationError for another number of input columns."""
        return check_columns(self, self.features, n_in)

    def init(self, rng: Stream, dtype: str) -> Params:
        """``gain`` of ones and ``bias`` of zeros."""
        return {"gain": np.ones(self.features, dtype=dtype), "bias": np.zeros(self.features, dtype=dtype)}

    def noise(self, stream: Stream, shape: tuple[Any, ...], dtype: str) -> Noise:
        """Empty, (): the layer draws nothing."""
        return ()

    def forward(self, params: Params, x: Array, training: Training | None = None) -> tuple[Array, Cache]:
        """``gain * h + bias``; the cache is (h, r)."""
        xp = namespace(x)
        x, scale, eps = in_range(x, self.eps)
        centred = x - xp.mean(x, axis=-1, keepdims=True)
        r = 1 / xp.sqrt(xp.mean(centred * centred, axis=-1, keepdims=True) + eps)
        h = centred * r
        return h * xp.expand_dims(params["gain"], axis=-2) + xp.expand_dims(params["bias"], axis=-2), (h, r * scale)

    def backward(self, params: Params, cache: Cache, dy: Array, *, need_dx: bool = True) -> tuple[Array | None, Params]:
        """The gradients above."""
        xp, (h, r) = namespace(dy), cache
        grads = {"gain": xp.sum(dy * h, axis=-2), "bias": xp.sum(dy, axis=-2)}
        if not need_dx:
            return None, grads
        dh = dy * xp.expand_dims(params["gain"], axis=-2)
        projection = xp.mean(dh * h, axis=-1, keepdims=True)
        return r * (dh - xp.mean(dh, axis=-1, keepdims=True) - h * projection), grads


@configuration
class RMSNorm:
    """Every row divided by its root mean square, then ``y = gain * h`` for each column.

    ``h = x / sqrt(mean(x^2) + eps)`` over the columns. With ``dh = gain * dy`` and r for one over the root::

        dx = r * (dh - h * mean(dh * h))       dgain = sum(dy * h)

    Shapes: x and y (..., n, features), ``gain`` (..., features), ones at first; there is no bias. ``eps=None`` stands
    for the rounding unit of the dtype of x, ``finfo(dtype).eps`` (1.2e-7 in float32, 2.2e-16 in float64), as in torch.
    A row of zeros gives h = 0, with the derivative ``1 / sqrt(eps)``.

    Source: Zhang & Sennrich (2019), "Root mean square layer normalization", eq. 4.
    """

    features: int
    eps: float | None = None

    row_independent = True

    def __post_init__(self) -> None:
        check_count(self, features=self.features)
        if self.eps is not None:
            check_number(self, eps=self.eps, above=0)

    def output_width(self, n_in: int | None) -> int:
        """``features``; ConfigurationError for another number of input columns."""
        return check_columns(self, self.features, n_in)

    def init(self, rng: Stream, dtype: str) -> Params:
        """``gain`` of ones."""
        return {"gain": np.ones(self.features, dtype=dtype)}

    def noise(self, stream: Stream, shape: tuple[Any, ...], dtype: str) -> Noise:
        """Empty, (): the layer draws nothing."""
        return ()

    def forward(self, params: Params, x: Array, training: Training | None = None) -> tuple[Array, Cache]:
        """``gain * h``; the cache is (h, r)."""
        xp = namespace(x)
        # finfo depends on the dtype only, so eps is a host number and no array is read.
        x, scale, eps = in_range(x, float(xp.finfo(x.dtype).eps) if self.eps is None else self.eps)
        r = 1 / xp.sqrt(xp.mean(x * x, axis=-1, keepdims=True) + eps)
        h = x * r
        return h * xp.expand_dims(params["gain"], axis=-2), (h, r * scale)

    def backward(self, params: Params, cache: Cache, dy: Array, *, need_dx: bool = True) -> tuple[Array | None, Params]:
        """The gradients above."""
        xp, (h, r) = namespace(dy), cache
        grads = {"gain": xp.sum(dy * h, axis=-2)}
        if not need_dx:
            return None, grads
        dh = dy * xp.expand_dims(params["gain"], axis=-2)
        return r * (dh - h * xp.mean(dh * h, axis=-1, keepdims=True)), grads
