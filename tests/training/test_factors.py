"""Factors of rate and decay for single leaves, and weight decay by a schedule."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from lab import Lab, assert_same_bits
from members import OPTIMIZERS

import mlpcore as mc
from mlpcore.random import Stream
from mlpcore.schedules.rate import rate_at
from mlpcore.training.factors import USUAL, factors_of
from mlpcore.trees import Layout

RATES = {"0.0.weight": 0.5, "0.0.bias": 0.5, "1.scale": 1.0, "3.0.0.weight": 4.0, "3.0.0.bias": 1.0}
DECAYS = {"0.0.weight": 1.0, "0.0.bias": 0.0, "1.scale": 0.0, "3.0.0.weight": 3.0, "3.0.0.bias": 3.0}


def net(first: float = 0.5, second: float = 4.0, bias: float = 0.25, decay: float | None = 3.0) -> mc.Sequential:
    """Rates around one layer, and Rates inside Rates."""
    last = mc.Rates(mc.Rates(mc.Linear(4, 2), bias, leaves=("bias",)), second, decay)
    return mc.Sequential(mc.Rates(mc.Linear(3, 4), first), mc.Scale(4), mc.Tanh(), last)


PLAIN = net(1.0, 1.0, 1.0, None)


@pytest.mark.parametrize("case", OPTIMIZERS)
def test_the_step_of_a_leaf_is_multiplied_by_its_rate_after_its_decay(case: str) -> None:
    optimizer, stages = OPTIMIZERS[case], []
    for layers, decay in ((PLAIN, 0.0), (net(), 0.0), (net(), 0.5)):
        lab = Lab(layers, replace(optimizer, weight_decay=decay))
        state = lab.state()._replace(scale=np.asarray(0.25))
        before = lab.parts(state.params.copy())
        stages.append(lab.parts(lab.step(state, lab.batch())[0].params))
    plain, rates, decays = stages
    rate = 0.25 * float(rate_at(optimizer.learning_rate, np.zeros(())))
    for name, leaf in before.items():
        np.testing.assert_allclose(rates[name] - leaf, RATES[name] * (plain[name] - leaf), rtol=1e-9, atol=1e-14)
        lost = rate * RATES[name] * 0.5 * DECAYS[name] * leaf
        np.testing.assert_allclose(decays[name], rates[name] - lost, rtol=1e-9, atol=1e-13)


def test_factors_of_one_are_no_factors() -> None:
    assert factors_of(PLAIN, Layout(PLAIN.init(Stream(0), "float64"))) == USUAL
    factors = factors_of(net(), layout := Layout(net().init(Stream(0), "float64")))
    assert dict(zip(layout.slots, factors.rates, strict=True)) == RATES
    assert dict(zip(layout.slots, factors.decays, strict=True)) == {name: RATES[name] * DECAYS[name] for name in RATES}
    only_decay = factors_of(net(1.0, 1.0, 1.0), layout)
    assert only_decay.rates == () and len(only_decay.decays) == 5


def test_a_rate_of_zero_freezes_a_layer() -> None:
    lab = Lab(net(first=0.0), mc.AdamW(0.1))
    state = lab.state()
    before = lab.parts(state.params.copy())
    after = lab.parts(lab.step(state, lab.batch())[0].params)
    np.testing.assert_array_equal(after["0.0.weight"], before["0.0.weight"])
    assert np.all(after["3.0.0.weight"] != before["3.0.0.weight"])


@pytest.mark.parametrize("layers", [PLAIN, net()], ids=["usual", "with factors"])
def test_weight_decay_may_be_a_schedule(layers: Any) -> None:
    """Each step like one of a constant decay of its own."""
    lab = Lab(layers, mc.SGD(0.1, weight_decay=mc.StepDecay(0.4, 1, 0.5)))
    state = lab.state()
    for i in range(3):
        constant = Lab(layers, mc.SGD(0.1, weight_decay=0.4 * 0.5**i))
        wanted = constant.step(state, lab.batch(i))[0].params
        state, _ = lab.step(state, lab.batch(i))
        np.testing.assert_allclose(state.params, wanted, rtol=1e-13)


def test_a_stack_has_the_factors_of_its_network() -> None:
    lab = Lab(net(), mc.AdamW(0.1, weight_decay=0.5))
    stacked, _ = lab.step(lab.state(members=2)._replace(scale=np.ones(2)), lab.batch())
    for j in range(2):
        alone, _ = lab.step(lab.state(seed=j), lab.batch())
        np.testing.assert_allclose(stacked.params[j], alone.params, rtol=1e-12, atol=1e-14)


def test_a_failed_step_leaves_the_state() -> None:
    lab = Lab(net(), mc.AdamW(0.1))
    batch = lab.batch()
    with np.errstate(invalid="ignore"):
        state, _ = lab.step(lab.state(), batch._replace(x=batch.x * np.inf))
    assert_same_bits(state.params, lab.state().params)


@pytest.mark.parametrize("wrong", [-1.0, "much", None, mc.StepDecay])
def test_decays_that_are_none(wrong: Any) -> None:
    with pytest.raises(mc.ConfigurationError, match=r"weight_decay is .*, expected a (finite )?number"):
        mc.AdamW(weight_decay=wrong)
