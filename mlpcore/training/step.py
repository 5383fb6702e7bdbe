"""One training step as pure functions of arrays, the same for every backend."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from mlpcore.namespace import namespace
from mlpcore.numerics import largest
from mlpcore.schedules.rate import rate_at
from mlpcore.training.gradients import Sums, value_and_grad
from mlpcore.training.rules import Rules, average, clipped, decayed, penalized
from mlpcore.trees import Layout, tree_where
from mlpcore.typing import Array, Batch, Layer, Loss, Optimizer, Params, State


@dataclass(frozen=True)
class TrainingStep:
    """The step ``(state, batch) -> (state, objective)``: gradient, penalty, clipping, decay, update, average.

    The objective of the batch is ``(sum of weighted losses + penalty) / weight``. Where that, the gradient, a running
    statistic, or the square of a (clipped) entry of the gradient that the optimizer takes (``squares``) is not finite,
    it is NaN, the state stays as it was and this is counted in ``skipped``; from then on nothing changes until
    somebody has looked and set ``skipped`` to 0. A batch of weight 0 is left out in silence.

    ``gradients`` is what `mlpcore.training.gradients.value_and_grad` gives, or a function like it.
    """

    gradients: Callable[..., Sums]
    optimizer: Optimizer
    layout: Layout
    rules: Rules

    def __call__(self, state: State, batch: Batch) -> tuple[State, Array]:
        """The proposed state where the step is to be done, else the old one with the new count in ``skipped``."""
        new, ok, objective = self.propose(state, batch)
        return tree_where(ok, new, state)._replace(skipped=new.skipped), objective

    def propose(
        self, state: State, batch: Batch, flat: Callable[[Params], Array] | None = None
    ) -> tuple[State, Array, Array]:
        """``(new state, ok, objective)``: the state after the update, and whether the step is to be done, (...).

        ``flat`` makes one vector of the tree of gradients; a backend may pass its own in place of `Layout.flat`.
        """
        xp, layout, rules = namespace(state.params), self.layout, self.rules
        value, weight, grads, observed = self.gradients(layout.view(state.params, state.statistics), *batch)
        g = (flat or layout.flat)(grads)
        if rules.l2:
            value, g = penalized(value, g, state.params, layout.decayed, rules.l2)
        total = xp.where(weight > 0, weight, 1.0)
        # The largest entry of the mean gradient: a sum would miss infinities that cancel, or come with the division.
        objective, top = value / total, largest(g) / total
        statistics = layout.running(observed)
        finite = xp.isfinite(objective) & self._gradient_finite(top)
        for leaf in statistics:
            finite = finite & xp.all(xp.isfinite(leaf), axis=tuple(range(finite.ndim, leaf.ndim)))
        failed = (weight > 0) & ~finite
        ok = (weight > 0) & finite & (state.skipped == 0)

        count = xp.astype(state.count, state.params.dtype)
        rate = rate_at(self.optimizer.learning_rate, count) * state.scale
        params = state.params
        if self.optimizer.weight_decay:
            params = decayed(params, layout.decayed, 1 - rate * self.optimizer.weight_decay)
        params, moments = self.optimizer.update(clipped(g / total, top, rules), state.optimizer, params, rate)
        new = state._replace(
            params=params,
            statistics=statistics,
            optimizer=moments,
            average=average(params, state.average, count + 1, rules.ema),
            count=state.count + 1,
            skipped=state.skipped + xp.astype(failed, state.skipped.dtype),
        )
        return new, ok, xp.where(failed, math.nan, objective)

    def _gradient_finite(self, top: Array) -> Array:
        """Whether a gradient with this largest entry is finite, and its squares too where the optimizer takes them."""
        xp = namespace(top)
        if not getattr(self.optimizer, "squares", False):
            return xp.isfinite(top)
        bounds = [clip for clip in (self.rules.clip_value, self.rules.clip_norm) if clip is not None]
        left = xp.minimum(top, min(bounds)) if bounds else top  # the most that clipping leaves
        return xp.isfinite(top) & xp.isfinite(left * left)


def make_step(net: Layer, loss: Loss, optimizer: Optimizer, layout: Layout, rules: Rules) -> TrainingStep:
    """The training step of a network with this loss."""
    return TrainingStep(value_and_grad(net, loss), optimizer, layout, rules)
