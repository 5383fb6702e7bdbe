"""The second law: leading axes are free. A stack of k parameter trees gives what k separate networks give."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from members import LAYERS, LOSSES, SCHEDULES, TRAINED, UPDATES, assert_close, layer_arrays, loss_arrays

from mlpcore.layers.containers import observe
from mlpcore.losses import HalfSquaredError
from mlpcore.random import Stream
from mlpcore.schedules.rate import rate_at
from mlpcore.training.gradients import InputGradient, value_and_grad
from mlpcore.trees import Layout, tree_map

SEEDS = st.integers(0, 2**32 - 1)
DTYPES = ("float32", "float64")


def pick(tree, j):
    return tree_map(lambda leaf: leaf[j], tree)


def stacked(trees):
    return tree_map(lambda *leaves: np.stack(leaves), *trees)


def run(layer, params, x, training, dy):
    y, cache = layer.forward(params, x, training)
    dx, grads = layer.backward(params, cache, dy)
    return y, dx, grads, observe(layer, params, cache), layer.forward(params, x)[0]


@pytest.mark.parametrize("case", LAYERS)
@pytest.mark.parametrize("dtype", DTYPES)
@given(k=st.integers(1, 3), rows=st.integers(1, 5), width=st.integers(1, 4), shared=st.booleans(), seed=SEEDS)
def test_layers(case, dtype, library, k, rows, width, shared, seed):
    layer = LAYERS[case](width)
    params, x, training, dy = library.put(layer_arrays(layer, width, rows, dtype, seed, members=k))
    alone = [run(layer, pick(params, j), x[0 if shared else j], pick(training, j), dy[j]) for j in range(k)]
    got = library.get(run(layer, params, x[0] if shared else x, training, dy))
    expected = stacked(map(library.get, alone))
    # Without parameters and noise nothing tells the networks apart, and what is made of a shared x stays shared.
    assert_close(tree_map(lambda a, b: np.broadcast_to(a, b.shape), got, expected), expected)


@pytest.mark.parametrize("case", TRAINED)
@pytest.mark.parametrize("shared", [True, False])
def test_input_gradients(case, shared, library):
    layer = LAYERS[case](4)
    params, x, _, _ = layer_arrays(layer, 4, 5, "float64", members=3)
    rows = np.concatenate([x, np.ones((3, 5, 1))], axis=-1)
    params, rows = library.put((params, rows))
    alone = [InputGradient(layer)(pick(params, j), rows[0 if shared else j]) for j in range(3)]
    assert_close(
        library.get(InputGradient(layer)(params, rows[0] if shared else rows)), stacked(map(library.get, alone))
    )


@pytest.mark.parametrize("case", LAYERS)
def test_noise_of_a_stack_is_the_noise_of_its_members(case):
    layer, stream = LAYERS[case](4), Stream(7, "noise")
    alone = [layer.noise(replace(stream, member=j), (6, 4), "float32") for j in range(3)]
    drawn = layer.noise(stream, (3, 6, 4), "float32")  # what is not random may be shared
    tree_map(lambda a, b: np.testing.assert_array_equal(np.broadcast_to(a, b.shape), b), drawn, stacked(alone))


@pytest.mark.parametrize("case", LOSSES)
@pytest.mark.parametrize("dtype", DTYPES)
@given(k=st.integers(1, 3), rows=st.integers(0, 5), seed=SEEDS)
def test_losses(case, dtype, library, k, rows, seed):
    loss, _ = LOSSES[case]
    _, target, weights = loss_arrays(case, rows, dtype, seed)
    z = np.stack([loss_arrays(case, rows, dtype, seed + j)[0] for j in range(k)])
    z, target, weights = library.put((z, target, weights))
    alone = [loss.value_and_grad(z[j], target, weights) for j in range(k)]
    assert_close(library.get(loss.value_and_grad(z, target, weights)), stacked(map(library.get, alone)))
    assert_close(library.get(loss.predict(z)), stacked([library.get(loss.predict(z[j])) for j in range(k)]))


@pytest.mark.parametrize("case", UPDATES)
@pytest.mark.parametrize("dtype", DTYPES)
@given(k=st.integers(1, 3), size=st.integers(1, 5), seed=SEEDS)
def test_optimizers(case, dtype, library, k, size, seed):
    """Seven updates: enough for RAdam to begin to rectify."""
    optimizer, stream = UPDATES[case], Stream(seed)
    params, grads = stream.child("params").normal((k, size)), stream.child("grads").normal((7, k, size))
    rates = 0.01 + stream.child("rates").uniform((k,))
    params, grads, rates = library.put(tree_map(lambda leaf: leaf.astype(dtype), (params, grads, rates)))

    def updates(p, gs, rate):
        state = optimizer.init(p)
        for g in gs:
            p, state = optimizer.update(g, state, p, rate)
        return p, state

    alone = [updates(params[j], grads[:, j], rates[j]) for j in range(k)]
    assert_close(library.get(updates(params, grads, rates)), stacked(map(library.get, alone)))


@pytest.mark.parametrize("case", SCHEDULES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_schedules(case, dtype, library):
    counts = library.put(np.arange(0.0, 12.0, dtype=dtype))
    alone = np.stack([library.get(rate_at(SCHEDULES[case], counts[i])) for i in range(12)])
    assert_close(library.get(rate_at(SCHEDULES[case], counts)), alone)


@pytest.mark.parametrize("case", TRAINED)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shared", [True, False])
def test_whole_networks_in_one_vector(case, shared, dtype, library):
    """Views of a (k, P) vector, the loss, the gradients and back into (k, P)."""
    net = LAYERS[case](4)
    params, x, training, _ = layer_arrays(net, 4, 6, dtype, members=3)
    layout = Layout(pick(params, 0))
    target = Stream(0, "target").normal((6, net.output_width(4))).astype(dtype)
    weights = np.linspace(0.5, 1.5, 6, dtype=dtype)
    params, x, training, target, weights = library.put((params, x, training, target, weights))
    function = value_and_grad(net, HalfSquaredError())

    def flat(params, x, training):
        vector, statistics = layout.flat(params), layout.running(params)
        value, weight, grads, observed = function(layout.view(vector, statistics), x, target, weights, training.noise)
        return value, weight + 0 * value, layout.flat(grads), layout.running(observed)

    alone = [flat(pick(params, j), x[0 if shared else j], pick(training, j)) for j in range(3)]
    assert_close(library.get(flat(params, x[0] if shared else x, training)), stacked(map(library.get, alone)))
