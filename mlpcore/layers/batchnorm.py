"""Normalisation of every column over the rows of the batch: the one layer whose rows depend on each other."""

from typing import Any

import numpy as np

from mlpcore.configuration import check_count, check_number, configuration
from mlpcore.layers.normalization import check_columns
from mlpcore.namespace import namespace
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

    ``observe`` gives ``running = (1 - momentum) * running + momentum * batch`` with the unbiased variance
    ``var * W / (W - 1)`` as torch has it, and var itself where W is 1 or less.

    Shapes: x, y (..., n, features); ``gain`` (ones at first), ``bias`` (zeros) and the statistics ``running_mean``
    (zeros) and ``running_var`` (ones) (..., features). ``row_independent`` is False: parts of a batch do not add up
    to the whole. One row gives h = 0, so ``y = bias`` and ``dx = 0`` (torch refuses it). Where all weights are zero
    there is nothing to average: mean and var count as 0, and the running statistics stay.

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
        return {"row_weights": np.ones((shape[-2], 1), dtype=dtype)}

    def forward(self, params: Params, x: Array, noise: Noise | None = None) -> tuple[Array, Cache]:
        """``gain * h + bias``; h, r and what the batch showed (None in inference) for the way back and `observe`."""
        xp = namespace(x)
        batch = None
        if noise is None:
            mean = xp.expand_dims(params["running_mean"], axis=-2)
            var = xp.expand_dims(params["running_var"], axis=-2)
            centred = x - mean
        else:
            total = xp.sum(noise["row_weights"], axis=-2, keepdims=True)
            share = noise["row_weights"] / xp.where(total > 0, total, 1.0)
            mean = xp.sum(share * x, axis=-2, keepdims=True)
            centred = x - mean
            var = xp.sum(share * (centred * centred), axis=-2, keepdims=True)
            batch = (share, total, mean, var)
        r = 1 / xp.sqrt(var + self.eps)
        h = centred * r
        y = h * xp.expand_dims(params["gain"], axis=-2) + xp.expand_dims(params["bias"], axis=-2)
        return y, (h, r, batch)

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
        _, total, mean, var = batch
        xp = namespace(var)
        unbiased = xp.where(total > 1, total / xp.where(total > 1, total - 1, 1.0), 1.0) * var
        seen = {"running_mean": mean[..., 0, :], "running_var": unbiased[..., 0, :]}
        momentum = xp.where(total > 0, xp.full_like(total, self.momentum), 0.0)[..., 0, :]
        return {name: (1 - momentum) * old[name] + momentum * seen[name] for name in old}
