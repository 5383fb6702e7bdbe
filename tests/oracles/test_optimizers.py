"""The optimizers against torch.optim, scikit-learn's own, and for Lion the algorithm of its paper in plain NumPy."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from optional import optional

from mlpcore.optimizers import OPTIMIZERS, SGD, Adagrad, Adam, AdamW, Lion, NAdam, RAdam, RMSprop
from mlpcore.schedules import CosineDecay
from mlpcore.schedules.rate import rate_at

# Entries, those of them that decay (the leaves named weight), updates; the horizon of the schedule lies beyond them.
SIZE, DECAYED, STEPS, HORIZON = 64, 40, 30, 50
FINAL = 0.01
RATES = {"constant": 0.1, "cosine": CosineDecay(0.1, HORIZON, FINAL)}


def draws(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Parameters, and for every update gradients of sizes from 1e-4 to 1; three entries never have one."""
    rng = np.random.default_rng(7)
    gradients = rng.standard_normal((STEPS, SIZE)) * np.logspace(-4, 0, SIZE)
    gradients[:, ::25] = 0
    return rng.standard_normal(SIZE).astype(dtype), gradients.astype(dtype)


def ours(optimizer: Any, dtype: str) -> np.ndarray:
    """The parameters after every update; the decay comes first, as in the training step."""
    params, gradients = draws(dtype)
    state, seen = optimizer.init(params), []
    for i, g in enumerate(gradients):
        rate = rate_at(optimizer.learning_rate, np.asarray(i, dtype=dtype))
        params[:DECAYED] *= 1 - rate * optimizer.weight_decay
        params, state = optimizer.update(g, state, params, rate)
        seen.append(params.copy())
    return np.stack(seen)


def assert_close(got: np.ndarray, expected: np.ndarray) -> None:
    """To `ROUNDING` units in the last place of the largest parameter, after every single update."""
    assert got.dtype == expected.dtype and got.shape == expected.shape
    assert np.max(np.abs(expected[-1] - expected[0])) > 0.1  # a small error of a step shows only where steps are long
    error = np.max(np.abs(got - expected)) / np.max(np.abs(expected)) / np.finfo(got.dtype).eps
    assert error <= ROUNDING, f"off by {error:.1f} units in the last place, expected {ROUNDING} at most"


# In units of the last place after 30 updates: half of one for each. Beside its own rounding torch brings the error of
# 1 - beta2^t as it stands, 1 / (1 - beta2) = 1000 units at t = 1 of a step that is a tenth of a parameter, and fewer
# in each later one. RAdam's rho multiplies that error by 2 / (1 - beta2), which is why beta2 is smaller there; that
# ours is exact for every beta2 is tested beside it, against 60 digits.
ROUNDING = 15
TORCH = (
    SGD(0.1),
    SGD(0.1, momentum=0.9),
    SGD(0.1, momentum=0.9, nesterov=True),
    Adam(0.1),
    Adam(0.1, beta1=0.0, beta2=0.9, eps=1e-3),
    AdamW(0.1),
    NAdam(0.1),
    NAdam(0.1, beta1=0.8, beta2=0.9, momentum_decay=0.1),
    RAdam(0.1, beta2=0.99),
    RAdam(0.1, beta1=0.8, beta2=0.9, eps=1e-3),
    RMSprop(0.1),
    RMSprop(0.1, alpha=0.9, momentum=0.9, eps=1e-3),
    Adagrad(0.1),
    Adagrad(0.1, initial_accumulator=0.1, eps=1e-3),
)


@pytest.fixture
def torch() -> Iterator[Any]:
    """torch with float64 as its default: that is where NAdam keeps its product, whatever the parameters are."""
    torch = optional("torch")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield torch
    torch.set_default_dtype(before)


def theirs(torch: Any, optimizer: Any, dtype: str) -> np.ndarray:
    """The same run with the class of torch.optim that has the same name."""
    name = type(optimizer).__name__
    words = {"alpha": "alpha", "eps": "eps", "momentum": "momentum", "nesterov": "nesterov"}
    words |= {"momentum_decay": "momentum_decay", "initial_accumulator": "initial_accumulator_value"}
    options = {torchs: getattr(optimizer, word) for word, torchs in words.items() if hasattr(optimizer, word)}
    if hasattr(optimizer, "beta1"):
        options["betas"] = (optimizer.beta1, optimizer.beta2)
    if name in ("Adam", "NAdam", "RAdam"):
        options["decoupled_weight_decay"] = True
    by_hand = not hasattr(optimizer, "beta1")  # the others of torch know only the penalty

    start, gradients = draws(dtype)
    parts = [torch.tensor(part, requires_grad=True) for part in (start[:DECAYED], start[DECAYED:])]
    decays = [0.0 if by_hand else optimizer.weight_decay, 0.0]
    groups = [{"params": [part], "weight_decay": decay} for part, decay in zip(parts, decays, strict=True)]
    other = getattr(torch.optim, name)(groups, lr=0.1, **options)
    final = FINAL if callable(optimizer.learning_rate) else 0.1
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(other, HORIZON, final)
    seen = []
    for g in gradients:
        for part, piece in zip(parts, np.split(g, [DECAYED]), strict=True):
            part.grad = torch.tensor(piece)
        if by_hand:
            with torch.no_grad():
                parts[0] *= 1 - other.param_groups[0]["lr"] * optimizer.weight_decay
        other.step()
        schedule.step()
        seen.append(np.concatenate([part.detach().numpy().copy() for part in parts]))
    return np.stack(seen)


@pytest.mark.oracle
@pytest.mark.parametrize("optimizer", TORCH, ids=repr)
@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_torch_takes_the_same_steps(torch, optimizer, decay, rate, dtype):
    case = replace(optimizer, learning_rate=RATES[rate], weight_decay=decay)
    assert_close(ours(case, dtype), theirs(torch, case, dtype))


def test_every_optimizer_has_an_original():
    assert {type(case) for case in TORCH} | {Lion} == set(OPTIMIZERS)


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_lion_is_algorithm_2_of_its_paper(decay, rate, dtype):
    beta1, beta2, theta, momentum = 0.9, 0.99, draws(dtype)[0], 0.0
    lam = np.where(np.arange(SIZE) < DECAYED, decay, 0.0).astype(dtype)
    seen = []
    for i, g in enumerate(draws(dtype)[1]):
        eta = float(rate_at(RATES[rate], np.asarray(float(i))))
        update = np.sign(beta1 * momentum + (1 - beta1) * g)
        theta = theta - eta * (update + lam * theta)
        momentum = beta2 * momentum + (1 - beta2) * g
        seen.append(theta)
    assert_close(ours(Lion(RATES[rate], beta1, beta2, weight_decay=decay), dtype), np.stack(seen))


def scikit_learns(name: str, rates: list[float], dtype: str, **options: Any) -> np.ndarray:
    """The same run, without decay, by a private class of scikit-learn's MLP."""
    private = optional("sklearn.neural_network._stochastic_optimizers")
    params, gradients = draws(dtype)
    other, seen = getattr(private, name)([params], **options), []
    for g, rate in zip(gradients, rates, strict=True):
        other.learning_rate = rate
        other.update_params([params], [g])
        seen.append(params.copy())
    return np.stack(seen)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("rate", RATES)
def test_scikit_learn_puts_the_rate_on_the_gradient(nesterov, rate):
    case = SGD(RATES[rate], momentum=0.9, nesterov=nesterov, rate_on="gradient")
    rates = [float(rate_at(RATES[rate], np.asarray(float(i)))) for i in range(STEPS)]
    expected = scikit_learns("SGDOptimizer", rates, "float64", momentum=0.9, nesterov=nesterov)
    assert np.array_equal(ours(case, "float64"), expected)  # the very bits: v has the opposite sign there, no more


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scikit_learn_adds_eps_to_the_uncorrected_root(dtype):
    expected = scikit_learns("AdamOptimizer", [0.0] * STEPS, dtype, learning_rate_init=0.1, epsilon=1e-3)
    case = Adam(0.1, eps_on="uncorrected", eps=1e-3)
    assert_close(ours(case, dtype), expected)
