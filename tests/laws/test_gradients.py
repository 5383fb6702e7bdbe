"""Every backward pass against central differences of its forward pass, by the public `check_gradients`."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from members import LAYERS, LOSSES, TRAINED, layer_arrays, loss_arrays

from mlpcore.gradient_check import check_gradients
from mlpcore.losses import HalfSquaredError
from mlpcore.random import Stream
from mlpcore.training.gradients import value_and_grad
from mlpcore.trees import Layout, named_leaves

SEEDS = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("case", LAYERS)
@given(width=st.integers(1, 6), seed=SEEDS)
def test_layers(case, library, width, seed):
    layer = LAYERS[case](width)
    x = library.put(2 * Stream(seed, "x").normal((5, width)))
    report = check_gradients(layer, x=x, seed=seed)
    params, *_ = layer_arrays(layer, width, 5, "float64")
    assert set(report) == {"x", *(f"params.{name}" for name, _ in named_leaves(params) if "running_" not in name)}


@pytest.mark.parametrize("case", LAYERS)
def test_layers_with_everything_made_up(case):
    check_gradients(LAYERS[case](4))


@pytest.mark.parametrize("case", ["Dropout", "nested", "nested with BatchNorm"])
def test_dropout_is_trained_through_its_noise(case):
    """The check would also pass on a Dropout that does nothing."""
    layer = LAYERS[case](5)
    params, x, training, _ = layer_arrays(layer, 5, 8, "float64")
    assert not np.array_equal(layer.forward(params, x, training)[0], layer.forward(params, x)[0])


@dataclass(frozen=True)
class Inference:
    """A layer as it is after training, with its backward pass: for input gradients of a finished network."""

    layer: Any
    row_independent = True

    def output_width(self, n_in):
        return self.layer.output_width(n_in)

    def init(self, rng, dtype):
        return self.layer.init(rng, dtype)

    def noise(self, stream, shape, dtype):
        return ()

    def forward(self, params, x, training=None):
        return self.layer.forward(params, x)

    def backward(self, params, cache, dy, *, need_dx=True):
        return self.layer.backward(params, cache, dy, need_dx=need_dx)


@pytest.mark.parametrize("case", LAYERS)
def test_layers_in_inference(case, library):
    check_gradients(Inference(LAYERS[case](4)), x=library.put(Stream(0, "x").normal((6, 4))))


@pytest.mark.parametrize("case", LOSSES)
@given(seed=SEEDS, columns=st.integers(1, 4), scale=st.sampled_from([0.1, 2.0, 6.0]))
def test_losses(case, library, seed, columns, scale):
    loss, _ = LOSSES[case]
    z, target, _ = library.put(loss_arrays(case, 6, "float64", seed, columns, scale))
    assert set(check_gradients(loss, x=z, target=target, seed=seed)) == {"z"}


@pytest.mark.parametrize("case", LOSSES)
def test_losses_with_everything_made_up(case):
    check_gradients(LOSSES[case][0])


@pytest.mark.parametrize("case", TRAINED)
def test_network_and_loss_with_row_weights(case):
    """`value_and_grad` of the whole, along one direction through all parameters; BatchNorm's means are weighted too."""
    net = LAYERS[case](4)
    params, x, training, _ = layer_arrays(net, 4, 7, "float64", seed=5)
    layout = Layout(params)
    target = Stream(0, "target").normal((7, net.output_width(4)))
    weights = np.asarray([0.5, 2.0, 0.0, 1.0, 0.25, 3.0, 1.0])
    function = value_and_grad(net, HalfSquaredError())
    vector, statistics = layout.flat(params), layout.running(params)
    direction = Stream(0, "direction").normal(vector.shape)
    direction /= np.linalg.norm(direction)

    def value(t):
        return function(layout.view(vector + t * direction, statistics), x, target, weights, training.noise)[0]

    _, weight, grads, _ = function(params, x, target, weights, training.noise)
    h = 1e-4
    central = (8 * (value(h / 2) - value(-h / 2)) - (value(h) - value(-h))) / (6 * h)
    assert weight == np.sum(weights)
    assert np.sum(layout.flat(grads) * direction) == pytest.approx(central, rel=1e-6)
