"""Normalisation of every column over the rows of the batch: the one layer whose rows depend on each other."""

from typing import Any

import numpy as np

from mlpcore.configuration import check_count, check_number, configuration
from mlpcore.layers.normalization import check_columns
from mlpcore.namespace import namespace
from mlpcore.numerics import largest, square_scaling
from mlpcore.random import Stream
from mlpcore.typing import Array, Cache, Noise, Params


@configuration
class BatchNorm:
    """Every column brought to mean 0 and variance 1 over the batch, then ``y = gain * h + bias``.

    In training, with row weights w, ``W = sum(w)`` and shares ``s = w / W``::

        mean = sum(s * x)       var = sum(s * (x - mean)^2)       h = (x - mean) * r       r = 1 / sqrt(var + eps)
        dgain = sum(dy * h)     dbias = sum(dy)     dx = gain * r * (dy - s * (dbias + h * dgain))

    all sums over the rows. The last term is the way of dy through mean and var, to which a row adds as much as its
    share; dy carries the weights of the loss already. A row of weight 2 is a row that stands there twice, a row of
    weight 0 gets its y and touches no other row. In inference (``noise=None``) mean and var are the running ones,
    constants, and ``dx = gain * r * dy``. The noise is not random: its leaf ``row_weights`` (n, 1) holds ones, which
    the training step multiplies by the weights of the batch.

    ``observe`` moves the running statistics towards those of the batch, each by what the batch knows of it beside a
    full batch of B rows of the mean weight m::

        known = 1 - sum(s^2)               running_mean += momentum * W / (B m) * (mean - running_mean)
        unbiased = var / known             running_var += momentum * W known / ((B - 1) m) * (unbiased - running_var)

    both factors being 1 at most. ``sum(s^2)`` is one over the effective number of rows, ``W^2 / sum(w^2)`` (Kish 1965),
    so that ``unbiased`` is ``var * n / (n - 1)`` for n rows of equal weights, and weights that are all multiplied by
    one number change nothing: here they are shares, and no counts of copies. A single row knows nothing of the
    variance. In a full batch of equal weights both factors are the momentum, as in torch. B and m reach the layer as
    the noise leaf ``full_batch`` (1, 2) of B m and (B - 1) m, which `mlpcore.training` adds where a batch has fewer
    rows or weights differ; without it the batch counts as a full one.

    Shapes: x, y (..., n, features); ``gain`` (ones at first), ``bias`` (zeros) and the statistics ``running_mean``
    (zeros) and ``running_var`` (ones) (..., features). ``row_independent`` is False: parts of a batch do not add up
    to the whole. One row gives h = 0, so ``y = bias`` and ``dx = 0`` (torch refuses it). Where all weights are zero
    there is nothing to average: mean and var count as 0, and the running statistics stay. The squares are taken of
    columns scaled by a power of two where they would overflow.

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

    def widths(self, n_in: int | None) -> int:
        """``features``, for as many columns and no other number."""
        return check_columns(self, n_in)

    def init(self, rng: Stream, dtype: str) -> Params:
        """``gain`` and ``running_var`` of ones, ``bias`` and ``running_mean`` of zeros."""
        ones, zeros = np.ones(self.features, dtype=dtype), np.zeros(self.features, dtype=dtype)
        return {"gain": ones, "bias": zeros, "running_mean": zeros.copy(), "running_var": ones.copy()}

    def noise(self, stream: Stream, shape: tuple[Any, ...], dtype: str) -> Noise:
        """The row weights (n, 1): ones, until the step puts in those of the batch; a stack shares them."""
        return {"row_weights": stream.ones((shape[-2], 1), dtype)}

    def forward(self, params: Params, x: Array, noise: Noise | None = None) -> tuple[Array, Cache]:
        """``gain * h + bias``; cache: h, r and batch statistics (None in inference) for `backward` and `observe`."""
        xp = namespace(x)
        batch, scale, eps = None, 1.0, self.eps
        if noise is None:
            mean = xp.expand_dims(params["running_mean"], axis=-2)
            var = xp.expand_dims(params["running_var"], axis=-2)
            centred = x - mean
        else:
            total = xp.sum(noise["row_weights"], axis=-2, keepdims=True)
            share = noise["row_weights"] / xp.where(total > 0, total, 1.0)
            if x.shape[-2]:
                scales = square_scaling(largest(xp.where(share > 0, x, 0.0), axis=-2), 1, self.eps)
                scale, eps = (xp.expand_dims(part, axis=-2) for part in scales)
                x = x * scale
            mean = xp.sum(share * x, axis=-2, keepdims=True)
            centred = x - mean
            # In this order a row without weight takes no part, even if its square is infinite.
            var = xp.sum((share * centred) * centred, axis=-2, keepdims=True)
            batch = (share, total, mean / scale, var / scale / scale, noise.get("full_batch", ()))
        r = 1 / xp.sqrt(var + eps)
        h = centred * r
        y = h * xp.expand_dims(params["gain"], axis=-2) + xp.expand_dims(params["bias"], axis=-2)
        return y, (h, r * scale, batch)

    def backward(self, params: Params, cache: Cache, dy: Array, *, need_dx: bool = True) -> tuple[Array | None, Params]:
        """The formulas above; no gradient for the running statistics."""
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
        """The new ``running_mean`` and ``running_var`` after the batch of this cache; after inference, the old ones."""
        old = {name: params[name] for name in ("running_mean", "running_var")}
        _, _, batch = cache
        if batch is None:
            return old
        share, total, mean, var, full = batch
        xp = namespace(var)
        known = xp.maximum(1 - xp.sum(share * share, axis=-2, keepdims=True), 0.0)
        knows = total * known
        seen = {"running_mean": (total, mean), "running_var": (knows, var / xp.where(known > 0, known, 1.0))}
        usual = (total, knows) if isinstance(full, tuple) else (full[..., :1], full[..., 1:])
        new = {}
        for (name, (weight, value)), most in zip(seen.items(), usual, strict=True):
            rate = xp.minimum(self.momentum * (weight / xp.where(most > 0, most, 1.0)), 1.0)[..., 0, :]
            new[name] = (1 - rate) * old[name] + rate * value[..., 0, :]
        return new
