"""One training step as a pure function ``(state, batch) -> (state, loss)``, the same for every backend."""

import math
from collections.abc import Callable
from typing import NamedTuple

from mlpcore import ops
from mlpcore.execution.gradients import value_and_grad
from mlpcore.namespace import namespace
from mlpcore.numerics import square_scaling
from mlpcore.optimizers.adam import bias_correction
from mlpcore.schedules import rate_at
from mlpcore.trees import Layout
from mlpcore.typing import Array, Batch, Layer, Loss, Optimizer, State, Step


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


def make_step(net: Layer, loss: Loss, optimizer: Optimizer, layout: Layout, rules: Rules) -> Step:
    """The step: gradient, penalty, clipping, decay, update, average.

    It returns the objective of the batch, ``(sum of weighted losses + penalty) / weight``. Where that, the gradient, a
    running statistic, or the square of a (clipped) entry of the gradient that the optimizer takes (``squares``) is not
    finite, it returns NaN, leaves the state as it was and counts this in ``skipped``; from then on nothing changes
    until somebody has looked and set ``skipped`` to 0. A batch of weight 0 is left out in silence.

    A backend may pass its own ways to make a vector of the gradients, and to choose between the new state and the old.
    """
    gradients = value_and_grad(net, loss)
    verdict = _verdict(getattr(optimizer, "squares", False), rules)

    def step(
        state: State, batch: Batch, flat: Callable = layout.flat, choose: Callable = ops.choose
    ) -> tuple[State, Array]:
        xp = namespace(state.params)
        value, weight, grads, observed = gradients(layout.view(state.params, state.statistics), *batch)
        g = flat(grads)
        if rules.l2:
            value, g = _penalize(value, g, state.params, layout.decayed, rules.l2)
        statistics = layout.running(observed)
        held = tuple(_all_finite(leaf, state.skipped.ndim) for leaf in statistics)
        # The largest entry of the mean gradient: a sum would miss infinities that cancel, or come with the division.
        total, top, objective, ok, skipped = ops.cellwise(value, (weight, ops.largest(g), state.skipped, held), verdict)

        def updated() -> State:
            learning_rate, dtype = optimizer.learning_rate, state.params.dtype

            def now(count: Array, scale: Array) -> tuple[Array, Array]:
                count = xp.astype(count, dtype)
                return count, rate_at(learning_rate, count) * scale

            count, rate = ops.cellwise(state.count, (state.scale,), now)
            # Made before the first write into params: what takes much memory may fail, and leaves the last whole step.
            mean, params = _clip(g / total, top, rules), state.params
            if optimizer.weight_decay:
                params = ops.shrink(params, layout.decayed, 1 - rate * optimizer.weight_decay)
            params, moments = optimizer.update(mean, state.optimizer, params, rate)
            return state._replace(
                params=params,
                statistics=statistics,
                optimizer=moments,
                average=_average(params, state.average, count + 1, rules.ema),
                count=state.count + 1,
            )

        return choose(ok, updated, state)._replace(skipped=skipped), objective

    return step


def _all_finite(leaf: Array, stack: int) -> Array:
    """Whether all numbers of a leaf are finite, for each network of a stack with so many axes."""
    xp = namespace(leaf)
    return xp.all(xp.isfinite(leaf), axis=tuple(range(stack, leaf.ndim)))


def _verdict(squares: bool, rules: Rules) -> Callable[..., tuple[Array, ...]]:
    """A formula for what to divide by, the largest entry of the mean gradient, the objective or NaN, whether the step
    counts, and how many did not."""
    bound = min(math.inf if clip is None else clip for clip in (rules.clip_value, rules.clip_norm))

    def formula(value: Array, weight: Array, largest: Array, skipped: Array, held: tuple) -> tuple[Array, ...]:
        xp = namespace(value)
        total = xp.where(weight > 0, weight, 1.0)
        objective, top = value / total, largest / total
        finite = xp.isfinite(objective) & xp.isfinite(top)
        if squares:
            left = top if bound == math.inf else xp.minimum(top, bound)  # the most that clipping leaves
            finite = finite & xp.isfinite(left * left)
        for one in held:
            finite = finite & one
        failed = (weight > 0) & ~finite
        ok = (weight > 0) & finite & (skipped == 0)
        return total, top, xp.where(failed, float("nan"), objective), ok, skipped + xp.astype(failed, skipped.dtype)

    return formula


def _penalize(value: Array, g: Array, params: Array, decayed: int, l2: float) -> tuple[Array, Array]:
    """``value + l2/2 ||w||^2`` and ``g + l2 w`` for the prefix w of the weights."""
    xp = namespace(params)
    weights = params[..., :decayed]
    pull = l2 * weights
    shrink = xp.concat([pull, xp.zeros_like(params[..., decayed:])], axis=-1)
    return value + 0.5 * xp.sum(pull * weights, axis=-1), g + shrink


def _clip(g: Array, top: Array, rules: Rules) -> Array:
    """The gradient cut to a box, then to a ball; ``top`` is the size of its largest entry.

    The length is that of the gradient times a power of two, as its squares may overflow, and so may the length itself.
    """
    xp = namespace(g)
    if rules.clip_value is not None:
        g, top = xp.clip(g, -rules.clip_value, rules.clip_value), xp.minimum(top, rules.clip_value)
    if rules.clip_norm is None:
        return g
    limit = rules.clip_norm
    scale, _ = ops.cellwise(top, (), square_scaling(top, g.shape[-1]))

    def factors(square: Array, scale: Array) -> tuple[Array, Array]:
        xp = namespace(square)
        norm, one = xp.sqrt(square), xp.full_like(square, 1.0)
        long = norm > limit * scale
        return xp.where(long, scale, one), xp.where(long, limit / xp.where(long, norm, one), one)

    squares = ops.cellwise(g, (scale[..., None],), _scaled_square)
    first, second = ops.cellwise(xp.sum(squares, axis=-1), (scale,), factors)
    return ops.cellwise(g, (first[..., None], second[..., None]), _twice_scaled)


def _scaled_square(g: Array, scale: Array) -> Array:
    """``(g s)^2``."""
    return (g * scale) * (g * scale)


def _twice_scaled(g: Array, first: Array, second: Array) -> Array:
    """``(g s) f``: the product of both factors might underflow."""
    return (g * first) * second


def _average(params: Array, average: Array, count: Array, decay: float | None) -> Array:
    """``a + (1 - d) / (1 - d^t) (p - a)``: the exponential average whose weights sum to one from the first step on."""
    if decay is None:
        return average
    share = ((1 - decay) / bias_correction(count, decay))[..., None]
    (moved,) = ops.sweep(params, (average,), lambda p, a: (a + share * (p - a),))
    return moved
