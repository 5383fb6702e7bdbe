"""Every elementwise layer: its formula, its tails, NaN, and that it is elementwise."""

import math

import numpy as np
import pytest
from single_layer import ALPHA, EPS, SCALE, normal, run

from mlpcore.layers import (
    ELU,
    GELU,
    LAYERS,
    SELU,
    Identity,
    LeakyReLU,
    Mish,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from mlpcore.layers.activation import Activation


def softplus(x):
    return math.log1p(math.exp(x))


def logistic(x):
    return 1 / (1 + math.exp(-x))


# Every elementwise layer, and its formula in the words of `math`.
ACTIVATIONS = [
    (Identity(), lambda x: x),
    (ReLU(), lambda x: max(x, 0.0)),
    (LeakyReLU(), lambda x: x if x > 0 else 0.01 * x),
    (LeakyReLU(0.3), lambda x: x if x > 0 else 0.3 * x),
    (ELU(), lambda x: x if x > 0 else math.expm1(x)),
    (ELU(0.5), lambda x: x if x > 0 else 0.5 * math.expm1(x)),
    (SELU(), lambda x: SCALE * (x if x > 0 else ALPHA * math.expm1(x))),
    (GELU(), lambda x: x * 0.5 * (1 + math.erf(x / math.sqrt(2)))),
    (GELU("tanh"), lambda x: 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
    (SiLU(), lambda x: x * logistic(x)),
    (Mish(), lambda x: x * math.tanh(softplus(x))),
    (Softplus(), softplus),
    (Sigmoid(), logistic),
    (Tanh(), math.tanh),
]
NAMES = [repr(layer) for layer, _ in ACTIVATIONS]


@pytest.mark.parametrize(("layer", "formula"), ACTIVATIONS, ids=NAMES)
def test_activation_is_its_formula(layer, formula):
    x = np.linspace(-30, 30, 401)
    expected = np.array([formula(number) for number in x])
    # A few roundings of numbers of the size of 1 and x.
    np.testing.assert_allclose(run(layer, x)[0], expected, rtol=8 * EPS, atol=32 * EPS)


# The slopes far below and far above zero.
TAILS = {
    Identity(): (1, 1),
    LeakyReLU(): (0.01, 1),
    LeakyReLU(0.3): (0.3, 1),
    SELU(): (0, SCALE),
    Sigmoid(): (0, 0),
    Tanh(): (0, 0),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layer", [layer for layer, _ in ACTIVATIONS], ids=NAMES)
def test_activation_far_out(layer, dtype):
    x = np.asarray([-1e4, -800, -120, 120, 800, 1e4], dtype=dtype)
    with np.errstate(all="raise", under="ignore"):
        y, dx, _, _ = run(layer, x)
    assert np.all(np.isfinite(y))
    below, above = TAILS.get(layer, (0, 1))
    unit = np.finfo(dtype).eps
    np.testing.assert_allclose(dx, [below] * 3 + [above] * 3, rtol=4 * unit, atol=unit)
    if above:  # the line that y joins goes through the origin
        np.testing.assert_allclose(y[3:], above * x[3:], rtol=4 * unit)


@pytest.mark.parametrize("layer", [kind for kind in LAYERS if issubclass(kind, Activation)])
def test_activations_are_elementwise(layer):
    """Another number in one entry changes y and dx there alone."""
    x, dy = normal(3, 4), 1 + normal(3, 4) ** 2
    x[1, 2] = 0.5
    other = x.copy()
    other[1, 2] = 1.0
    changed = [one != two for one, two in zip(run(layer(), x, dy)[:2], run(layer(), other, dy)[:2], strict=True)]
    elsewhere = np.ones(x.shape, bool)
    elsewhere[1, 2] = False
    assert changed[0][1, 2] and not any(np.any(part[elsewhere]) for part in changed)


@pytest.mark.parametrize("layer", [layer for layer, _ in ACTIVATIONS] + [Softmax()], ids=repr)
def test_nan_stays_nan(layer):
    assert np.isnan(run(layer, np.asarray([[np.nan]]))[0][0, 0])
