"""Initial parameters from data: spread 1 in every unit, zeros inside the data, all else as it was."""

import numpy as np
import pytest

import mlpcore as mc
from mlpcore.random import Stream
from mlpcore.trees import named_leaves

NET = mc.Sequential(
    mc.Scale(6),
    mc.Rates(
        mc.Sequential(mc.NTKLinear(6, 40), mc.Parametric(mc.SELU(), 40), mc.Dropout(0.5), mc.NTKLinear(40, 30)), 0.1
    ),
    mc.Tanh(),
    mc.Linear(30, 4),
)
X = np.exp(Stream(1, "x").normal((400, 6)))  # skewed, and far from zero


def before_each_activation(params):
    """The outputs of the three Linear layers on X."""
    outer, hidden = NET.layers, NET.layers[1].layer.layers
    x, outputs = X, []
    for layer, leaves in zip((outer[0], *hidden, *outer[2:]), (params[0], *params[1][0], *params[2:]), strict=True):
        x, _ = layer.forward(leaves, x)
        if isinstance(layer, mc.Linear):
            outputs.append((x, leaves["bias"]))
    return outputs


def test_every_unit_has_spread_one_and_is_zero_inside_the_data():
    params = mc.data_driven_init(NET, NET.init(Stream(2), "float64"), X, Stream(3))
    for z, bias in before_each_activation(params):
        np.testing.assert_allclose(np.std(z, axis=0), 1, rtol=1e-12)
        assert np.all((np.min(z, axis=0) < 0) & (np.max(z, axis=0) > 0))
        assert np.std(bias) > 0.2  # not the same place for all units


def test_a_bias_is_minus_a_mean_of_five_rows():
    """With one row there is one value; with two, biases lie between, more often near the middle than at an end."""
    net = mc.Linear(1, 2000, weight_init=mc.Constant(1.0))
    params = mc.data_driven_init(net, net.init(Stream(0), "float64"), [[0.0], [2.0]], Stream(3))
    np.testing.assert_array_equal(params["weight"], 1)
    shares = -params["bias"] / 2
    assert np.min(shares) >= 0 and np.max(shares) <= 1
    # Of five shares, uniform over the simplex, those of the rows that are 2 (each with probability 1/2) are summed.
    assert abs(np.mean(shares) - 0.5) < 5 * np.std(shares) / np.sqrt(2000)
    variance = 5 * (1 / 4) * (2 / 30)  # 5 Var(coin) E(a^2), as the sum of the a is 1: E a^2 = 2 / (5 6)
    assert abs(np.var(shares) / variance - 1) < 0.15


def test_other_parameters_and_dtypes_stay():
    start = NET.init(Stream(2), "float32")
    fitted = mc.data_driven_init(NET, start, X, Stream(3))
    changed = {
        name for (name, a), (_, b) in zip(named_leaves(start), named_leaves(fitted), strict=True) if np.any(a != b)
    }
    assert changed == {f"{place}.{leaf}" for place in ("1.0.0", "1.0.3", "3") for leaf in ("weight", "bias")}
    assert all(leaf.dtype == np.float32 for _, leaf in named_leaves(fitted))
    again = mc.data_driven_init(NET, start, X, Stream(3))
    for (_, a), (_, b) in zip(named_leaves(fitted), named_leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("bias", [True, False])
def test_a_unit_that_is_constant_keeps_its_weights(bias):
    net = mc.Linear(2, 3, bias=bias)
    start = net.init(Stream(1), "float64")
    fitted = mc.data_driven_init(net, start, np.ones((5, 2)), Stream(3))
    np.testing.assert_allclose(fitted["weight"], start["weight"], rtol=1e-12)
    assert set(fitted) == set(start)
