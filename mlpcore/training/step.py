"""One training step as pure functions of arrays, the same for every backend."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from mlpcore.namespace import namespace
from mlpcore.numerics import largest
from mlpcore.schedules.rate import rate_at
from mlpcore.training.factors import USUAL, Factors, factors_of, of_entries
from mlpcore.training.gradients import Sums, value_and_grad
from mlpcore.training.rules import Rules, average, clipped, decayed, penalized
from mlpcore.trees import Layout, tree_where
from mlpcore.typing import Array, Batch, Layer, Loss, Optimizer, Params, State


class BatchSums(NamedTuple):
    """Sums over the rows of a batch: those of the parts of a batch add up to those of the whole.

    The weighted losses (...), the weights (), and the flat gradient (..., P); and the running statistics after it.
    """

    value: Array
    weight: Array
    gradient: Array
    statistics: tuple[Array, ...]


@dataclass(frozen=True)
class TrainingStep:
    """The step ``(state, batch) -> (state, objective)``: gradient, penalty, clipping, decay, update, average.

    It consists of `sums`, the gradient of the batch, and `update`. Between the two, several processes may add up the
    sums of their rows.

    The objective of the batch is ``(sum of weighted losses + penalty) / weight``. A step fails if the objective, the
    gradient or a running statistic is not finite, or the square of a (clipped) entry of the gradient if the optimizer
    takes squares. Then the objective is NaN, the state stays as it was, and ``skipped`` is increased by 1. While
    ``skipped`` is not 0, steps do not change the rest of the state; the host reads it after a chunk and resets it.
    A batch of weight 0 changes nothing, and is no failure.

    ``gradients`` is `mlpcore.training.gradients.ValueAndGrad` or a function with the same arguments and results.
    """

    gradients: Callable[..., Sums]
    optimizer: Optimizer
    layout: Layout
    rules: Rules
    factors: Factors = USUAL

    def __call__(self, state: State, batch: Batch) -> tuple[State, Array]:
        """``(state, objective)``: the proposed state where ``ok``, else the old one with the new ``skipped``."""
        return guarded(state, self.propose(state, batch))

    def propose(
        self, state: State, batch: Batch, flat: Callable[[Params], Array] | None = None
    ) -> tuple[State, Array, Array]:
        """``(new state, ok, objective)``: ``ok`` (...) says whether the new state replaces the old one.

        ``flat`` makes one vector of the tree of gradients; a backend may pass its own in place of `Layout.flat`.
        """
        return self.update(state, self.sums(state, batch, flat))

    def sums(self, state: State, batch: Batch, flat: Callable[[Params], Array] | None = None) -> BatchSums:
        """One pass forward and one backward."""
        layout = self.layout
        value, weight, grads, observed = self.gradients(layout.view(state.params, state.statistics), *batch)
        return BatchSums(value, weight, (flat or layout.flat)(grads), layout.running(observed))

    def update(self, state: State, sums: BatchSums) -> tuple[State, Array, Array]:
        """``(new state, ok, objective)`` for the sums over the rows of a batch."""
        xp, layout, rules = namespace(state.params), self.layout, self.rules
        value, weight, g, statistics = sums
        if rules.l2:
            value, g = penalized(value, g, state.params, layout.decayed, rules.l2)
        total = xp.where(weight > 0, weight, 1.0)
        # Tested by its largest entry. A sum could cancel infinities, and miss those that the division by total causes.
        objective, top = value / total, largest(g) / total
        finite = xp.isfinite(objective) & self._gradient_finite(top)
        for leaf in statistics:
            finite = finite & xp.all(xp.isfinite(leaf), axis=tuple(range(finite.ndim, leaf.ndim)))
        failed = (weight > 0) & ~finite
        ok = (weight > 0) & finite & (state.skipped == 0)

        count = xp.astype(state.count, state.params.dtype)
        rate = rate_at(self.optimizer.learning_rate, count) * state.scale
        before = self._decayed(state.params, rate, count)
        params, moments = self.optimizer.update(clipped(g / total, top, rules), state.optimizer, before, rate)
        if self.factors.rates:
            params = before + of_entries(self.factors.rates, layout, params) * (params - before)
        new = state._replace(
            params=params,
            statistics=statistics,
            optimizer=moments,
            average=average(params, state.average, count + 1, rules.ema),
            count=state.count + 1,
            skipped=state.skipped + xp.astype(failed, state.skipped.dtype),
        )
        return new, ok, xp.where(failed, math.nan, objective)

    def _decayed(self, params: Array, rate: Array, count: Array) -> Array:
        """The parameters after weight decay: ``p *= 1 - rate * weight_decay``, with the factors of the leaves."""
        decay = self.optimizer.weight_decay
        if not decay:
            return params
        share = rate * (decay(count) if callable(decay) else decay)
        if not self.factors.decays:
            return decayed(params, self.layout.decayed, 1 - share)
        return params * (1 - share[..., None] * of_entries(self.factors.decays, self.layout, params))

    def _gradient_finite(self, top: Array) -> Array:
        """Whether a gradient with the largest entry ``top`` is finite, and its squares if the optimizer takes them."""
        xp = namespace(top)
        if not getattr(self.optimizer, "squares", False):
            return xp.isfinite(top)
        bounds = [clip for clip in (self.rules.clip_value, self.rules.clip_norm) if clip is not None]
        largest_clipped = xp.minimum(top, min(bounds)) if bounds else top  # a bound after clipping
        return xp.isfinite(top) & xp.isfinite(largest_clipped * largest_clipped)


def guarded(state: State, proposal: tuple[State, Array, Array]) -> tuple[State, Array]:
    """``(state, objective)`` of a proposal ``(new state, ok, objective)``: the old state, where that is not ok."""
    new, ok, objective = proposal
    return tree_where(ok, new, state)._replace(skipped=new.skipped), objective


def make_step(net: Layer, loss: Loss, optimizer: Optimizer, layout: Layout, rules: Rules) -> TrainingStep:
    """The training step of a network with this loss."""
    return TrainingStep(value_and_grad(net, loss), optimizer, layout, rules, factors_of(net, layout))
