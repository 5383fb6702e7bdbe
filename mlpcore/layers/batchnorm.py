"""Normalisation of every column over the rows of the batch: the one layer whose rows depend on each other."""

from typing import Any

import numpy as np

from mlpcore.configuration import check_count, check_number, configuration
from mlpcore.layers.normalization import check_columns
from mlpcore.namespace import namespace
from mlpcore.numerics import largest, square_scaling
from mlpcore.random import Stream
from mlpcore.typing import Array, Cache, Noise, Params, Training


@configuration
class BatchNorm:
    """Every column brought to mean 0 and variance 1 over the batch, then ``y = gain * h + bias``.

    In training, with row weights w, ``W = sum(w)`` and shares ``s = w / W``::

        mean = sum(s * x)       var = sum(s * (x - mean)^2)       h = (x - mean) * r       r = 1 / sqrt(var + eps)
        dgain = sum(dy * h)     dbias = sum(dy)     dx = gain * r * (dy - s * (dbias + h * dgain))

    all sums over the rows. The last term of dx is the gradient through mean and var, to which each row contributes its
    share; dy already contains the row weights of the loss. A row of weight 2 counts as two equal rows, and a row of
    weight 0 gets its y and affects no other row. In inference mean and var are the running ones, constants, and
    ``dx = gain * r * dy``.

    ``observe`` moves the running statistics towards those of the batch, by the momentum for a full batch and by less
    for a smaller or lighter one. With B the rows of a full batch and m the mean row weight::

        correction = 1 - sum(s^2)                    ((n - 1) / n for n rows of equal weights)
        running_mean += momentum * W / (B m) * (mean - running_mean)
        running_var  += momentum * W correction / ((B - 1) m) * (var / correction - running_var)

    both factors being 1 at most. ``training.full_batch`` holds ``B m`` and ``(B - 1) m``; without it the batch counts
    as a full one, and both factors are the momentum, as in torch. ``var / correction`` is the unbiased variance:
    ``sum(s^2)`` is one over the effective number of rows, ``W^2 / sum(w^2)`` (Kish 1965). Weights that are all
    multiplied by one number change nothing: they enter as shares, not as counts of copies. A single row has no unbiased
    variance, so ``running_var`` stays as it is.

    Shapes: x, y (..., n, features); ``gain`` (ones at first), ``bias`` (zeros) and the statistics ``running_mean``
    (zeros) and ``running_var`` (ones) (..., features). ``row_independent`` is False: the results of parts of a batch do
    not add up to those of the whole. One row gives h = 0, so ``y = bias`` and ``dx = 0`` (torch raises an error). If
    all weights are zero, mean and var are taken as 0, and the running statistics stay. The squares
    are taken of columns scaled by a power of two where they would overflow.

    Source: Ioffe & Szegedy (2015), "Batch normalization: accelerating deep network training by reducing internal
    covariate shift", algorithms 1 and 2.
    """

    features: int
    momentum: float = 0.1
    eps: float = 1e-5

    row_independent = False

    def __post_init__(self) -> None:
        check_count(self, features=self.features)
        check_number(self, momentum=self.momentum, above=0, below=1)
        check_number(self, eps=self.eps, above=0)

    def output_width(self, n_in: int | None) -> int:
        """``features``; ConfigurationError for another number of input columns."""
        return check_columns(self, self.features, n_in)

    def init(self, rng: Stream, dtype: str) -> Params:
        """``gain`` and ``running_var`` of ones, ``bias`` and ``running_mean`` of zeros."""
        ones, zeros = np.ones(self.features, dtype=dtype), np.zeros(self.features, dtype=dtype)
        return {"gain": ones, "bias": zeros, "running_mean": zeros.copy(), "running_var": ones.copy()}

    def noise(self, stream: Stream, shape: tuple[Any, ...], dtype: str) -> Noise:
        """Empty, (): the layer draws nothing."""
        return ()

    def forward(self, params: Params, x: Array, training: Training | None = None) -> tuple[Array, Cache]:
        """``gain * h + bias``; cache: h, r and batch statistics (None in inference) for `backward` and `observe`."""
        xp = namespace(x)
        batch, scale, eps = None, 1.0, self.eps
        if training is None:
            mean = xp.expand_dims(params["running_mean"], axis=-2)
            var = xp.expand_dims(params["running_var"], axis=-2)
            centred = x - mean
        else:
            weights = xp.expand_dims(training.row_weights, axis=-1)
            total = xp.sum(weights, axis=-2, keepdims=True)
            share = weights / xp.where(total > 0, total, 1.0)
            if x.shape[-2]:
                scales = square_scaling(largest(xp.where(share > 0, x, 0.0), axis=-2), 1, self.eps)
                scale, eps = (xp.expand_dims(row, axis=-2) for row in scales)
                x = x * scale
            mean = xp.sum(share * x, axis=-2, keepdims=True)
            centred = x - mean
            # Multiplied in this order, a row of weight 0 adds 0 even if its square is infinite.
            var = xp.sum((share * centred) * centred, axis=-2, keepdims=True)
            batch = (share, total, mean / scale, var / scale / scale, training.full_batch)
        r = 1 / xp.sqrt(var + eps)
        h = centred * r
        y = h * xp.expand_dims(params["gain"], axis=-2) + xp.expand_dims(params["bias"], axis=-2)
        return y, (h, r * scale, batch)

    def backward(self, params: Params, cache: Cache, dy: Array, *, need_dx: bool = True) -> tuple[Array | None, Params]:
        """The gradients above; the running statistics have none."""
        xp, (h, r, batch) = namespace(dy), cache
        dgain = xp.sum(dy * h, axis=-2)
        dbias = xp.sum(dy, axis=-2)
        grads = {"gain": dgain, "bias": dbias}
        if not need_dx:
            return None, grads
        if batch is not None:
            share = batch[0]
            dy = dy - share * (xp.expand_dims(dbias, axis=-2) + h * xp.expand_dims(dgain, axis=-2))
        return (xp.expand_dims(params["gain"], axis=-2) * r) * dy, grads

    def observe(self, params: Params, cache: Cache) -> Params:
        """``running_mean`` and ``running_var`` after the batch of this cache; after inference the old ones."""
        old = {name: params[name] for name in ("running_mean", "running_var")}
        _, _, batch = cache
        if batch is None:
            return old
        share, total, mean, var, full_batch = batch
        xp = namespace(var)
        correction = xp.maximum(1 - xp.sum(share * share, axis=-2, keepdims=True), 0.0)
        weights = (total, total * correction)
        full_weights = weights if isinstance(full_batch, tuple) else (full_batch[..., :1], full_batch[..., 1:])
        values = (mean, var / xp.where(correction > 0, correction, 1.0))
        new = {}
        for name, weight, full, value in zip(old, weights, full_weights, values, strict=True):
            rate = xp.minimum(self.momentum * (weight / xp.where(full > 0, full, 1.0)), 1.0)[..., 0, :]
            new[name] = (1 - rate) * old[name] + rate * value[..., 0, :]
        return new
