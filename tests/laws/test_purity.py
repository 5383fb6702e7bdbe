"""Members are pure functions: arguments stay as they are, any number of rows will do, and `jax.jit` changes nothing."""

import numpy as np
import pytest
from libraries import NUMPY
from members import LAYERS, LOSSES, SCHEDULES, TRAINED, UPDATES, assert_close, layer_arrays, loss_arrays
from optional import optional

from mlpcore.layers.containers import observe
from mlpcore.losses import HalfSquaredError
from mlpcore.optimizers import AdamW
from mlpcore.random import Stream
from mlpcore.schedules.rate import rate_at
from mlpcore.training.rules import Rules
from mlpcore.training.step import make_step
from mlpcore.trees import Layout, named_leaves, tree_map
from mlpcore.typing import Batch, State

DTYPES = ("float32", "float64")


def run(layer, params, x, training, dy):
    y, cache = layer.forward(params, x, training)
    dx, grads = layer.backward(params, cache, dy)
    return y, dx, grads, observe(layer, params, cache), layer.forward(params, x)[0]


def copied(tree):
    return tree_map(np.copy, tree)


@pytest.mark.parametrize("case", LAYERS)
def test_layers_leave_their_arguments_alone(case, library):
    """All is compared, and the cache used twice; NumPy's arrays are read-only, and raise when written to."""
    layer = LAYERS[case](4)
    arrays = layer_arrays(layer, 4, 6, "float64")
    params, x, training, dy = library.put(arrays)
    y, cache = layer.forward(params, x, training)
    kept = tree_map(lambda leaf: np.array(library.get(leaf)), (y, cache))
    first = library.get(layer.backward(params, cache, dy))
    tree_map(np.testing.assert_array_equal, library.get((y, cache)), kept)
    tree_map(np.testing.assert_array_equal, library.get(layer.backward(params, cache, dy)), first)
    observe(layer, params, cache)
    tree_map(np.testing.assert_array_equal, library.get((y, cache)), kept)
    tree_map(np.testing.assert_array_equal, library.get((params, x, training, dy)), arrays)


@pytest.mark.parametrize("case", LAYERS)
def test_layers_say_the_same_without_dx(case):
    layer = LAYERS[case](4)
    params, x, training, dy = layer_arrays(layer, 4, 6, "float64")
    _, cache = layer.forward(params, x, training)
    dx, grads = layer.backward(params, cache, dy, need_dx=False)
    assert dx is None
    tree_map(np.testing.assert_array_equal, grads, layer.backward(params, cache, dy)[1])


@pytest.mark.parametrize("case", LOSSES)
def test_losses_leave_their_arguments_alone(case):
    loss, _ = LOSSES[case]
    z, target, weights = NUMPY.put(loss_arrays(case, 6, "float64"))
    loss.value_and_grad(z, target, weights)
    loss.predict(z)


@pytest.mark.parametrize("case", UPDATES)
def test_optimizers_leave_their_arguments_alone(case):
    optimizer = UPDATES[case]
    grads, rate, params = NUMPY.put((Stream(0).normal((4,)), np.asarray(0.1), np.ones(4)))
    state = NUMPY.put(optimizer.init(params))
    params, state = NUMPY.put(optimizer.update(grads, state, params, rate))
    optimizer.update(grads, state, params, rate)


@pytest.mark.parametrize("case", TRAINED)
def test_steps_leave_their_arguments_alone(case):
    """Both where the step is done and where it is not."""
    net = LAYERS[case](4)
    params, x, training, dy = layer_arrays(net, 4, 6, "float64")
    layout = Layout(params)
    optimizer, vector, zero = AdamW(0.1), layout.flat(params), np.zeros((), np.int32)
    state = State(vector, layout.running(params), optimizer.init(vector), vector + 0, zero, np.ones(()), zero)
    state, batch = NUMPY.put((state, Batch(x, dy, np.ones(6), training.noise)))
    step = make_step(net, HalfSquaredError(), optimizer, layout, Rules(0.1, 0.5, 0.2, 0.9))
    kept = copied(state)
    for weights in (np.ones(6), np.zeros(6)):
        new, _ = step(state, batch._replace(weights=weights))
        assert new.count == np.max(weights)
        tree_map(np.testing.assert_array_equal, state, kept)


@pytest.mark.parametrize("case", LAYERS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [0, 1])
@pytest.mark.parametrize("width", [1, 4])
def test_layers_on_few_rows_and_columns(case, rows, width, dtype, library):
    layer = LAYERS[case](width)
    params, x, training, dy = layer_arrays(layer, width, rows, dtype)
    y, dx, grads, observed, inferred = library.get(run(layer, *library.put((params, x, training, dy))))
    assert y.shape == inferred.shape == dy.shape
    assert dx.shape == x.shape
    leaves = dict(named_leaves(params))
    for name, leaf in named_leaves((y, dx, grads, observed, inferred)):
        assert np.all(np.isfinite(leaf)), name
    for name, grad in named_leaves(grads):
        assert grad.shape == leaves[name].shape, name
        assert rows or not np.any(grad), f"{name}: a sum over no rows is zero"
    if not rows:
        tree_map(
            np.testing.assert_array_equal,
            dict(named_leaves(observed)),
            {name: leaf for name, leaf in leaves.items() if "running_" in name},
        )


@pytest.mark.parametrize("case", LOSSES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [0, 1])
@pytest.mark.parametrize("columns", [1, 3])
def test_losses_on_few_rows_and_columns(case, rows, columns, dtype, library):
    loss, _ = LOSSES[case]
    z, target, weights = library.put(loss_arrays(case, rows, dtype, columns=columns))
    value, dz = library.get(loss.value_and_grad(z, target, weights))
    assert value.shape == ()
    assert dz.shape == z.shape
    assert np.isfinite(value)
    assert np.all(np.isfinite(dz))
    assert rows or value == 0
    tree_map(lambda leaf: np.testing.assert_equal(leaf.shape[0], rows), loss.predict(z))


@pytest.fixture(scope="module")
def jax():
    return optional("jax")


def assert_same_under_jit(jax, function, arguments):
    """Compiled by JAX in float32, against plain NumPy in float64 from the same numbers."""
    compiled = jax.jit(function)(*tree_map(jax.numpy.asarray, arguments))
    wide = tree_map(lambda leaf: leaf.astype("float64") if leaf.dtype == np.float32 else np.copy(leaf), arguments)
    assert_close(tree_map(np.asarray, compiled), function(*wide))


@pytest.mark.parametrize("case", LAYERS)
def test_layers_under_jit(case, jax):
    layer = LAYERS[case](4)
    assert_same_under_jit(jax, lambda *arguments: run(layer, *arguments), layer_arrays(layer, 4, 6, "float32"))


@pytest.mark.parametrize("case", LOSSES)
def test_losses_under_jit(case, jax):
    loss, _ = LOSSES[case]

    def function(z, target, weights):
        return (*loss.value_and_grad(z, target, weights), loss.predict(z))

    assert_same_under_jit(jax, function, loss_arrays(case, 6, "float32"))


@pytest.mark.parametrize("case", UPDATES)
def test_optimizers_under_jit(case, jax):
    optimizer = UPDATES[case]

    def function(params, grads, rate):
        state = optimizer.init(params)
        for i in range(7):
            params, state = optimizer.update(grads[i, ...], state, params, rate_at(optimizer.learning_rate, rate))
        return params, state

    stream = Stream(0)
    grads = stream.child("grads").normal((7, 5)).astype("float32")
    params = stream.child("params").normal((5,)).astype("float32")
    assert_same_under_jit(jax, function, (params, grads, np.asarray(4, dtype="float32")))


@pytest.mark.parametrize("case", SCHEDULES)
def test_schedules_under_jit(case, jax):
    assert_same_under_jit(jax, SCHEDULES[case], (np.arange(12, dtype="float32"),))
