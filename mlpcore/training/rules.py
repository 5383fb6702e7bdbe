"""What a training step does to the gradient and the parameters besides the optimizer's own rule."""

from typing import NamedTuple

from mlpcore.namespace import namespace
from mlpcore.numerics import square_scaling
from mlpcore.optimizers.adam import bias_correction
from mlpcore.typing import Array


class Rules(NamedTuple):
    """What a step does to the gradient besides the optimizer's own rule.

    ``l2`` adds ``l2 / 2 * ||weight||^2`` to the summed loss of every step, so that its share in the mean is divided by
    the weight of the batch, as scikit-learn's alpha is; ``clip_value`` cuts every entry of the mean gradient to
    [-c, c]; ``clip_norm`` then shortens it to Euclidean length c; ``ema`` keeps a moving average of the parameters.
    """

    l2: float = 0.0
    clip_norm: float | None = None
    clip_value: float | None = None
    ema: float | None = None


def penalized(value: Array, g: Array, params: Array, length: int, l2: float) -> tuple[Array, Array]:
    """``value + l2/2 ||w||^2`` and ``g + l2 w`` for the prefix w of ``length`` entries, the weights."""
    xp = namespace(params)
    weights = params[..., :length]
    pull = l2 * weights
    slope = xp.concat([pull, xp.zeros_like(params[..., length:])], axis=-1)
    return value + 0.5 * xp.sum(pull * weights, axis=-1), g + slope


def clipped(g: Array, top: Array, rules: Rules) -> Array:
    """The gradient cut to a box, then to a ball; ``top`` is the size of its largest entry.

    The length is that of the gradient times a power of two, as its squares may overflow, and so may the length itself.
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
    return (g * first[..., None]) * second[..., None]  # the product of both factors might underflow


def decayed(params: Array, length: int, factor: Array) -> Array:
    """The parameters with their prefix of ``length`` entries, the weights, multiplied by ``factor`` (...)."""
    return namespace(params).concat([factor[..., None] * params[..., :length], params[..., length:]], axis=-1)


def average(params: Array, before: Array, count: Array, decay: float | None) -> Array:
    """``a + (1 - d) / (1 - d^t) (p - a)``: the exponential average whose weights sum to one from the first step on.

    ``before`` is a, and is kept where there is no decay.
    """
    if decay is None:
        return before
    share = ((1 - decay) / bias_correction(count, decay))[..., None]
    return before + share * (params - before)
