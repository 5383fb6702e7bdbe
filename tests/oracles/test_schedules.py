"""The schedules against torch.optim.lr_scheduler, and inverse scaling against scikit-learn's."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from optional import optional

from mlpcore.schedules import (
    SCHEDULES,
    CosineDecay,
    CosLog,
    ExponentialDecay,
    FlatCosine,
    InverseScaling,
    OneCycle,
    PolynomialDecay,
    StepDecay,
    WarmUp,
)

STEPS = 40


def warm_cosine(lr: Any, optimizer: Any) -> Any:
    """A warm-up of 10 updates, then a cosine of 30: in torch two schedules, one after the other."""
    warm, then = lr.LinearLR(optimizer, 0.1, 1.0, 10), lr.CosineAnnealingLR(optimizer, 30)
    return lr.SequentialLR(optimizer, [warm, then], [10])


def short_cycle(lr: Any, optimizer: Any) -> Any:
    return lr.OneCycleLR(optimizer, 0.1, 33, pct_start=0.25, div_factor=10.0, final_div_factor=50.0)


def flat_cosine(count: int) -> float:
    """As the paper writes it: 1 up to the half, then half a cosine."""
    t = count / 32
    return 1.0 if t <= 0.5 else 0.5 * (1 + math.cos(math.pi * (2 * t - 1)))


def coslog(count: int) -> float:
    """As the paper writes it."""
    return 0.5 * (1 - math.cos(2 * math.pi * math.log2(1 + 15 * count / 30)))


# Ours, torch's, and the updates that torch defines (it goes up again after a
# cosine's horizon, and refuses to go past the end of a cycle).
TORCH: tuple[tuple[Any, Callable[[Any, Any], Any], int], ...] = (
    (StepDecay(0.1, 7, 0.3), lambda lr, o: lr.StepLR(o, 7, 0.3), STEPS),
    (ExponentialDecay(0.1, 1, 0.9), lambda lr, o: lr.ExponentialLR(o, 0.9), STEPS),
    (CosineDecay(0.1, 30, 0.01), lambda lr, o: lr.CosineAnnealingLR(o, 30, 0.01), 31),
    (FlatCosine(0.1, 32), lambda lr, o: lr.LambdaLR(o, flat_cosine), 33),
    (CosLog(0.1, 30), lambda lr, o: lr.LambdaLR(o, coslog), 31),
    (PolynomialDecay(0.1, 30), lambda lr, o: lr.PolynomialLR(o, 30), STEPS),
    (PolynomialDecay(0.1, 30, power=2.5), lambda lr, o: lr.PolynomialLR(o, 30, 2.5), STEPS),
    (PolynomialDecay(0.1, 30, final=0.02), lambda lr, o: lr.LinearLR(o, 1.0, 0.2, 30), STEPS),
    (WarmUp(0.1, 10, start=0.02), lambda lr, o: lr.LinearLR(o, 0.2, 1.0, 10), STEPS),
    (WarmUp(CosineDecay(0.1, 30), 10, start=0.01), warm_cosine, STEPS),
    (OneCycle(0.1, STEPS), lambda lr, o: lr.OneCycleLR(o, 0.1, STEPS), STEPS),
    (OneCycle(0.1, 33, 0.25, 10.0, 50.0), short_cycle, 33),
)


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step")  # SequentialLR passes it itself
@pytest.mark.parametrize(("ours", "theirs", "steps"), TORCH, ids=[repr(case[0]) for case in TORCH])
def test_torch_gives_the_same_rates(ours, theirs, steps):
    torch = optional("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1, momentum=0.9)
    scheduler, expected = theirs(torch.optim.lr_scheduler, optimizer), []
    for _ in range(steps):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    counts = np.arange(steps, dtype="float64")
    # Torch multiplies its way from rate to rate, with half a unit in the last place for each update.
    np.testing.assert_allclose(ours(counts), expected, rtol=STEPS * np.finfo("float64").eps, atol=1e-17)
    single = ours(counts.astype("float32"))
    np.testing.assert_allclose(single, expected, rtol=8 * np.finfo("float32").eps, atol=1e-9)


def test_scikit_learn_scales_inversely_the_same_way():
    private = optional("sklearn.neural_network._stochastic_optimizers")
    other = private.SGDOptimizer([], 0.1, lr_schedule="invscaling", power_t=0.7)
    expected = []
    for count in range(STEPS):
        other.iteration_ends(count)
        expected.append(other.learning_rate)
    np.testing.assert_allclose(InverseScaling(0.1, 0.7)(np.arange(float(STEPS))), expected, rtol=1e-15)


def test_every_schedule_has_an_original():
    assert {type(case[0]) for case in TORCH} | {InverseScaling} == set(SCHEDULES)
