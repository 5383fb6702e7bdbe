"""Penalty, clipping, weight decay and averaging: the parts of a training step besides the optimizer's update."""

from typing import NamedTuple

from mlpcore.namespace import namespace
from mlpcore.numerics import square_scaling
from mlpcore.optimizers.adam import bias_correction
from mlpcore.typing import Array


class Rules(NamedTuple):
    """The settings of a training step besides the optimizer's.

    ``l2`` adds ``l2 / 2 * ||w||^2``, w being all leaves named ``weight``, to the summed loss of every step. The mean
    objective divides this by the weight of the batch, as scikit-learn does with alpha. ``clip_value`` clips every entry
    of the mean gradient to [-c, c]; ``clip_norm`` then scales the gradient to Euclidean length c if it is longer.
    ``ema`` is the decay d of a moving average of the parameters (see ``average``); None keeps no average.
    """

    l2: float = 0.0
    clip_norm: float | None = None
    clip_value: float | None = None
    ema: float | None = None


def penalized(value: Array, g: Array, params: Array, length: int, l2: float) -> tuple[Array, Array]:
    """``value + l2/2 ||w||^2`` and ``g + l2 w`` for the prefix w of ``length`` entries, the weights."""
    xp = namespace(params)
    weights = params[..., :length]
    penalty_gradient = l2 * weights
    padded = xp.concat([penalty_gradient, xp.zeros_like(params[..., length:])], axis=-1)
    return value + 0.5 * xp.sum(penalty_gradient * weights, axis=-1), g + padded


def clipped(g: Array, top: Array, rules: Rules) -> Array:
    """The gradient (..., P) clipped by value, then by norm; ``top`` (...) is its largest absolute entry.

    The norm is computed from the gradient times a power of two, as its squares and the norm itself may overflow.
    """
    xp = namespace(g)
    if rules.clip_value is not None:
        g, top = xp.clip(g, -rules.clip_value, rules.clip_value), xp.minimum(top, rules.clip_value)
    if rules.clip_norm is None:
        return g
    scale, _ = square_scaling(top, g.shape[-1])
    scaled = g * scale[..., None]
    length = xp.sqrt(xp.sum(scaled * scaled, axis=-1))
    one = xp.full_like(length, 1.0)
    long = length > rules.clip_norm * scale
    first, second = xp.where(long, scale, one), xp.where(long, rules.clip_norm / xp.where(long, length, one), one)
    return (g * first[..., None]) * second[..., None]  # one factor after the other, as their product might underflow


def decayed(params: Array, length: int, factor: Array) -> Array:
    """The parameters with their prefix of ``length`` entries, the weights, multiplied by ``factor`` (...)."""
    return namespace(params).concat([factor[..., None] * params[..., :length], params[..., length:]], axis=-1)


def average(params: Array, before: Array, count: Array, decay: float | None) -> Array:
    """``a + (1 - d) / (1 - d^t) (p - a)``: the exponential moving average with bias correction.

    ``before`` is a, p are the parameters, d is ``decay`` and t is ``count``. Its weights of all parameters so far sum
    to one. With ``decay=None`` there is no average, and ``before`` is returned.
    """
    if decay is None:
        return before
    share = ((1 - decay) / bias_correction(count, decay))[..., None]
    return before + share * (params - before)
