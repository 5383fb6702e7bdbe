"""One training step against its formulas: objective, clipping, decay, average, and what a failed one leaves."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab import HALF, WEIGHTS, Lab, assert_same_bits, host
from members import OPTIMIZERS, assert_close

import mlpcore as mc
from mlpcore import SGD
from mlpcore.losses.elementwise import ElementwiseLoss
from mlpcore.schedules.rate import rate_at
from mlpcore.training.rules import Rules
from mlpcore.trees import tree_map
from mlpcore.typing import Batch

NET = mc.Sequential(mc.Linear(3, 4), mc.LayerNorm(4), mc.Tanh(), mc.Linear(4, 2))
NOISY = mc.Sequential(mc.Linear(3, 4), mc.BatchNorm(4), mc.Dropout(0.25), mc.Tanh(), mc.Linear(4, 2))
EVERYTHING = Rules(l2=0.3, clip_norm=0.5, clip_value=0.2, ema=0.9)


def objective(lab: Lab, vector: np.ndarray, batch: Batch, l2: float) -> float:
    """``(sum_i w_i sum_j (z_ij - t_ij)^2 / 2 + l2 / 2 ||weights||^2) / sum_i w_i``, written anew."""
    z = lab.net.forward(lab.layout.view(vector), batch.x)[0]
    losses = batch.weights @ (0.5 * (z - batch.target) ** 2).sum(axis=1)
    squares = sum((leaf**2).sum() for name, leaf in lab.parts(vector).items() if name.endswith("weight"))
    return (losses + 0.5 * l2 * squares) / batch.weights.sum()


def slope(lab: Lab, vector: np.ndarray, batch: Batch, l2: float) -> np.ndarray:
    """Central differences of the objective, entry by entry."""
    made = np.zeros_like(vector)
    for i in range(vector.size):
        ahead, behind = vector.copy(), vector.copy()
        ahead[i] += 1e-6
        behind[i] -= 1e-6
        made[i] = (objective(lab, ahead, batch, l2) - objective(lab, behind, batch, l2)) / 2e-6
    return made


def gradient(lab: Lab, batch: Batch) -> np.ndarray:
    """What plain descent of rate 1 takes away."""
    plain = Lab(lab.net, SGD(1.0))
    before = plain.state()
    return before.params - plain.step(plain.state(), batch)[0].params


@pytest.mark.parametrize("l2", [0.0, 0.3])
@pytest.mark.parametrize("weights", [np.ones(5), WEIGHTS, 1e-3 * WEIGHTS])
def test_a_step_descends_the_weighted_mean_with_its_penalty(weights: np.ndarray, l2: float) -> None:
    lab = Lab(NET, SGD(0.7), Rules(l2=l2))
    state, batch = lab.state(), lab.batch(weights=weights)
    before = state.params.copy()
    expected = objective(lab, before, batch, l2)
    after, loss = lab.step(state, batch)
    assert loss == pytest.approx(expected, rel=1e-13)
    wanted = slope(lab, before, batch, l2)
    np.testing.assert_allclose((before - after.params) / 0.7, wanted, rtol=1e-6, atol=1e-8 * np.abs(wanted).max())
    assert after.count == 1 and after.skipped == 0


@given(box=st.floats(1e-3, 2.0), ball=st.floats(1e-3, 2.0), which=st.sampled_from(["value", "norm", "both"]))
def test_clipping_by_value_and_then_by_norm(box: float, ball: float, which: str) -> None:
    rules = Rules(clip_value=box if which != "norm" else None, clip_norm=ball if which != "value" else None)
    lab = Lab(NET, SGD(1.0), rules)
    batch = lab.batch()
    wanted = gradient(lab, batch)
    if which != "norm":
        wanted = np.minimum(np.maximum(wanted, -box), box)
    if which != "value" and (length := np.linalg.norm(wanted)) > ball:
        wanted = wanted * ball / length
    got = lab.state().params - lab.step(lab.state(), batch)[0].params
    np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-15)


def test_a_gradient_within_the_limits_keeps_its_bits() -> None:
    batch = Lab(NET, SGD(1.0)).batch()
    plain, clipped = (Lab(NET, SGD(1.0), rules) for rules in (Rules(), Rules(clip_norm=1e6, clip_value=1e6)))
    assert_same_bits(clipped.step(clipped.state(), batch), plain.step(plain.state(), batch))


def test_clipping_comes_after_the_penalty_and_before_the_decay() -> None:
    """A huge penalty is clipped; decoupled decay is not part of the gradient and is not."""
    lab = Lab(NET, SGD(0.1, weight_decay=0.5), Rules(l2=1e6, clip_norm=1e-9))
    state = lab.state()
    before = lab.parts(state.params.copy())
    for name, leaf in lab.parts(lab.step(state, lab.batch())[0].params).items():
        kept = 1 - 0.1 * 0.5 if name.endswith("weight") else 1.0
        np.testing.assert_allclose(leaf, kept * before[name], rtol=1e-8, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("case", OPTIMIZERS)
def test_decay_shrinks_weights_before_the_update_and_spares_biases_and_gains(case: str) -> None:
    """At ``learning_rate * scale``; the update itself is the same, as no rule here looks at the parameters."""
    plain, decayed = (Lab(NET, replace(OPTIMIZERS[case], weight_decay=d)) for d in (0.0, 0.5))
    states, batch = [lab.state()._replace(scale=np.asarray(0.25)) for lab in (plain, decayed)], plain.batch()
    before = plain.parts(states[0].params.copy())
    rate = 0.25 * float(rate_at(OPTIMIZERS[case].learning_rate, np.zeros(())))
    moved, shrunk = (
        lab.parts(lab.step(state, batch)[0].params) for lab, state in zip((plain, decayed), states, strict=True)
    )
    assert any(name.endswith("gain") for name in before) and any(name.endswith("bias") for name in before)
    for name, leaf in before.items():
        lost = rate * 0.5 * leaf if name.endswith("weight") else 0.0
        np.testing.assert_allclose(shrunk[name], moved[name] - lost, rtol=1e-12, atol=1e-14, err_msg=name)


@pytest.mark.parametrize("case", OPTIMIZERS)
def test_padding_stays_zero(case: str) -> None:
    lab = Lab(NET, replace(OPTIMIZERS[case], weight_decay=0.1), EVERYTHING)
    state = lab.state()
    for i in range(3):
        state, _ = lab.step(state, lab.batch(i))
    filled = np.zeros(lab.layout.size, dtype=bool)
    for slot in lab.layout.slots.values():
        filled[slot.start : slot.stop] = True
    for name in ("params", "average"):
        vector = getattr(state, name)
        assert np.all(vector[~filled] == 0), name
        assert np.all(vector[filled] != 0), name


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.9999])
def test_the_average_is_the_debiased_exponential_one(decay: float) -> None:
    """``sum_s (1 - d) d^(t - s) p_s / (1 - d^t)`` over the steps s = 1 ... t; it never sees the initial weights."""
    lab = Lab(NET, SGD(0.5), Rules(ema=decay))
    state, seen = lab.state(), []
    for t in range(1, 8):
        state, _ = lab.step(state, lab.batch(t))
        seen.append(state.params.copy())
        shares = np.array([(1 - decay) * decay ** (t - s) for s in range(1, t + 1)]) / (1 - decay**t)
        assert shares.sum() == pytest.approx(1, rel=1e-9)
        np.testing.assert_allclose(state.average, shares @ np.array(seen), rtol=1e-9, atol=1e-12)


def test_without_decay_no_average_is_kept() -> None:
    lab = Lab(NET, SGD(0.5))
    assert lab.step(lab.state(), lab.batch())[0].average == ()


def test_the_schedule_changes_the_rate_at_every_step() -> None:
    """Each step like one of a constant rate of its own; ``scale`` multiplies it."""
    schedule = mc.StepDecay(0.4, 1, 0.5)
    lab = Lab(NET, SGD(schedule, weight_decay=0.1))
    state = lab.state()._replace(scale=np.asarray(0.5))
    for i in range(4):
        constant = Lab(NET, SGD(0.5 * 0.4 * 0.5**i, weight_decay=0.1))
        fixed = tree_map(np.array, state)._replace(scale=np.ones(()))
        wanted = constant.step(fixed, lab.batch(i))[0].params
        state, _ = lab.step(state, lab.batch(i))
        np.testing.assert_allclose(state.params, wanted, rtol=1e-13)
    assert state.count == 4


def test_running_statistics_move_by_what_the_rows_of_the_batch_show() -> None:
    """Weighted as the rows are; a step of rate 0 would move nothing else."""
    net = mc.Sequential(mc.BatchNorm(3, momentum=0.25), mc.Linear(3, 2))
    lab = Lab(net, SGD(1e-3))
    state, batch = lab.state(), lab.batch()
    shares = WEIGHTS / WEIGHTS.sum()
    mean = shares @ batch.x
    var = shares @ (batch.x - mean) ** 2 / (1 - shares @ shares)
    expected = [0.75 * old + 0.25 * new for old, new in zip(state.statistics, (mean, var), strict=True)]
    after, _ = lab.step(state, batch)
    assert lab.layout.statistics == ("0.running_mean", "0.running_var")
    np.testing.assert_allclose(after.statistics, expected, rtol=1e-12)


# --- what is left out, and what failed


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("case", OPTIMIZERS)
def test_a_batch_without_weight_is_left_out_in_silence(case: str, strict: bool) -> None:
    lab = Lab(NOISY, replace(OPTIMIZERS[case], weight_decay=0.1), EVERYTHING, strict=strict)
    state, _ = lab.step(lab.state(), lab.batch())
    before = host(state)
    after, loss = lab.step(state, lab.batch(1, np.zeros(5)))
    assert_same_bits(after, before)
    assert np.isfinite(np.asarray(loss)) and int(after.skipped) == 0


class InfiniteSlope(ElementwiseLoss):
    """Like the square root: finite, with an infinite slope at 0."""

    def pointwise(self, z: Any, t: Any) -> tuple[Any, Any]:
        return z * 0, z * 0 + float("inf")


def bad_row(batch: Batch, value: float) -> Batch:
    x = np.array(batch.x)
    x[3, 1] = value
    return batch._replace(x=x)


FAILURES = {
    "NaN in a row": (HALF, float("nan")),
    "infinite loss": (HALF, 1e300),
    "infinite gradient, finite loss": (InfiniteSlope(), 1.0),
}


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("failure", FAILURES)
def test_a_failed_step_is_counted_and_changes_nothing_else(failure: str, strict: bool) -> None:
    loss, value = FAILURES[failure]
    net = mc.Sequential(mc.Linear(3, 4), mc.BatchNorm(4), mc.Linear(4, 2)) if value != 1e300 else mc.Linear(3, 2)
    good = Lab(net, mc.AdamW(0.1), EVERYTHING, strict=strict)
    bad = Lab(net, mc.AdamW(0.1), EVERYTHING, loss=loss, strict=strict)
    state, _ = good.step(good.state(), good.batch())
    before = state._replace(**{name: tree_map(lambda leaf: leaf + 0, part) for name, part in state._asdict().items()})
    with np.errstate(all="ignore"):
        batch = bad.put(bad_row(good.batch(1), value))
        after, told = bad.step(state, batch)
    assert np.isnan(np.asarray(told)) and int(after.skipped) == 1
    assert_same_bits(after._replace(skipped=before.skipped), before)
    # Frozen until somebody has looked, and good batches are no failures.
    frozen, told = good.step(after, good.batch(2))
    assert_same_bits(frozen, after)
    assert np.isfinite(np.asarray(told))
    resumed, _ = good.step(frozen._replace(skipped=frozen.skipped * 0), good.batch(2))
    assert_same_bits(resumed, good.step(before, good.batch(2))[0])


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("signs", [[1, 1], [-1, -1], [1, -1]])
def test_a_mean_gradient_that_overflows_is_a_failure_though_its_sum_is_finite(signs: list, strict: bool) -> None:
    """Tiny weights keep the sums small: loss 1e300 and gradient 1e350 of a row of weight 1; they may even cancel."""
    lab = Lab(mc.Linear(3, 2), SGD(1e-3), strict=strict)
    batch, state = lab.batch(weights=np.full(5, 1e-100)), lab.state()
    x, tree = np.zeros((5, 3)), {"weight": np.zeros((3, 2)), "bias": 1e150 * np.array(signs)}
    x[:, 0] = 1e200
    state = state._replace(params=lab.put(lab.layout.flat(tree)))
    before = host(state._replace(skipped=()))
    with np.errstate(all="ignore"):
        after, loss = lab.step(state, batch._replace(x=lab.put(x), target=lab.put(np.zeros((5, 2)))))
    assert int(after.skipped) == 1 and np.isnan(np.asarray(loss))
    assert_same_bits(after._replace(skipped=()), before)


def test_a_row_of_weight_zero_may_hold_anything_finite() -> None:
    """Its score, loss and gradient overflow, and take no part."""
    lab = Lab(mc.Linear(3, 2), SGD(0.1))
    batch, x = lab.batch(), lab.batch().x
    x[1] = 1e308  # weight 0
    with np.errstate(over="ignore", invalid="ignore"):
        far, near = (
            lab.step(lab.state()._replace(params=100 * lab.state().params), one) for one in (batch._replace(x=x), batch)
        )
    assert_same_bits(far, near)


# --- stacks


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("case", OPTIMIZERS)
def test_a_stack_steps_like_its_members_and_one_that_fails_disturbs_no_other(case: str, strict: bool) -> None:
    lab = Lab(NOISY, replace(OPTIMIZERS[case], weight_decay=0.1), EVERYTHING, strict=strict)
    stack, alone = lab.state(members=3), [lab.state(j) for j in range(3)]
    broken = np.array(stack.params)
    broken[1, 0] = np.nan  # from the start the second network's loss is NaN
    stack = stack._replace(params=lab.put(broken))
    scale = np.array([1.0, 1.0, 0.5])
    stack = stack._replace(scale=lab.put(scale))
    alone = [state._replace(scale=lab.put(scale[j])) for j, state in enumerate(alone)]
    first = host(stack)
    for i in range(4):
        stack, losses = lab.step(stack, lab.batch(i))
        stepped = [lab.step(alone[j], lab.batch(i)) for j in (0, 2)]
        alone[0], alone[2] = (state for state, _ in stepped)
        assert np.isnan(np.asarray(losses)[1])
        assert_close(np.asarray(losses)[[0, 2]], np.array([float(loss) for _, loss in stepped]))
    assert np.asarray(stack.skipped).tolist() == [0, 4, 0]
    assert np.asarray(stack.count).tolist() == [4, 0, 4]
    got = host(stack._replace(skipped=()))
    for j in (0, 2):
        for name, leaf in host(alone[j]._replace(skipped=())).items():
            assert_close(got[name][j], leaf)
    for name, leaf in got.items():
        np.testing.assert_array_equal(leaf[1], first[name][1], err_msg=name)


def test_a_stack_of_zero_weight_stays() -> None:
    lab = Lab(NOISY, mc.Adam(0.1), EVERYTHING)
    state = lab.state(members=2)
    before = host(state)
    assert_same_bits(lab.step(state, lab.batch(0, np.zeros(5)))[0], before)
