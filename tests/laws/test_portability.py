"""Every library gives NumPy's numbers, array-api-strict on another device and the spy without a look at the host."""

import numpy as np
import pytest
import spy
from libraries import SPY
from members import LAYERS, LOSSES, OPTIMIZERS, SCHEDULES, TRAINED, assert_close, layer_arrays, loss_arrays

from mlpcore.execution import tiled, value_and_grad
from mlpcore.layers import observe
from mlpcore.losses import HalfSquaredError
from mlpcore.random import Stream
from mlpcore.schedules import rate_at
from mlpcore.trees import Layout, tree_map


def assert_same(xp, function, arguments):
    """In the library, in float32, against NumPy in float64 from the same numbers."""
    got = xp.get(function(*xp.put(arguments)))
    wide = tree_map(lambda leaf: leaf.astype("float64") if leaf.dtype == np.float32 else np.copy(leaf), arguments)
    assert_close(got, function(*wide))


@pytest.mark.parametrize("case", LAYERS)
@pytest.mark.parametrize("stack", [None, 2])
def test_layers(case, stack, xp):
    layer = LAYERS[case](4)

    def function(params, x, noise, dy):
        y, cache = layer.forward(params, x, noise)
        dx, grads = layer.backward(params, cache, dy)
        return y, dx, grads, observe(layer, params, cache), layer.forward(params, x)[0]

    assert_same(xp, function, layer_arrays(layer, 4, 6, "float32", members=stack))


@pytest.mark.parametrize("case", LOSSES)
@pytest.mark.parametrize("stack", [False, True])
def test_losses(case, stack, xp):
    loss, _ = LOSSES[case]
    z, target, weights = loss_arrays(case, 6, "float32")

    def function(z, target, weights):
        return (*loss.value_and_grad(z, target, weights), loss.predict(z))

    assert_same(xp, function, (np.stack([z, -z]) if stack else z, target, weights))


@pytest.mark.parametrize("case", OPTIMIZERS)
@pytest.mark.parametrize("stack", [(), (2,)])
def test_optimizers(case, stack, xp):
    optimizer, stream = OPTIMIZERS[case], Stream(0)

    def function(params, grads, count):
        state = optimizer.init(params)
        for i in range(7):
            params, state = optimizer.update(grads[i, ...], state, params, rate_at(optimizer.learning_rate, count))
        return params, state

    grads = stream.child("grads").normal((7, *stack, 5)).astype("float32")
    params = stream.child("params").normal((*stack, 5)).astype("float32")
    assert_same(xp, function, (params, grads, np.full(stack, 4, dtype="float32")))


@pytest.mark.parametrize("case", SCHEDULES)
def test_schedules(case, xp):
    assert_same(xp, lambda count: (SCHEDULES[case](count),), (np.arange(12, dtype="float32"),))


@pytest.mark.parametrize("case", TRAINED)
def test_whole_networks_in_tiles(case, xp):
    net = LAYERS[case](4)
    params, x, noise, _ = layer_arrays(net, 4, 6, "float32")
    layout = Layout(params)
    function = tiled(net, value_and_grad(net, HalfSquaredError()), 4)

    def in_one_vector(vector, statistics, x, target, weights, noise):
        value, weight, grads, observed = function(layout.view(vector, statistics), x, target, weights, noise)
        return value, weight, layout.flat(grads), layout.running(observed)

    target = Stream(0, "target").normal((6, net.widths(4))).astype("float32")
    weights = np.linspace(0.5, 1.5, 6, dtype="float32")
    assert_same(xp, in_one_vector, (layout.flat(params), layout.running(params), x, target, weights, noise))


LOOKS = {
    "bool": bool,
    "float": float,
    "int": int,
    "index": lambda x: [0, 1][x],
    "item": lambda x: x.item(),
    "tolist": lambda x: x.tolist(),
    "numpy": np.asarray,
    "if": lambda x: 1 if x > 0 else 0,
    "iteration": list,
    "write": lambda x: x.__setitem__(0, 1.0),
}


@pytest.mark.parametrize("look", LOOKS)
def test_the_spy_refuses(look):
    with pytest.raises(spy.HostReadError):
        LOOKS[look](SPY.put(np.asarray(1.0)))


def test_the_spy_knows_only_the_standard():
    with pytest.raises(AttributeError):
        spy.NAMESPACE.einsum  # noqa: B018
    with pytest.raises(TypeError, match="host value"):
        SPY.put(np.ones(3)) + np.ones(3)
    with pytest.raises(TypeError, match="host value"):
        np.ones(3) + SPY.put(np.ones(3))


def test_the_spy_counts():
    xp = spy.NAMESPACE
    x = SPY.put(np.ones((2, 3)))
    with spy.watching() as seen:
        y = 1.0 - xp.sum(x @ x.mT + x[:, :1], axis=-1) ** 2
        xp.where(y > 0, y, 0.0)
    expected = "matmul matrix_transpose add getitem sum pow subtract greater where"
    assert seen.operations == dict.fromkeys(expected.split(), 1)
    np.testing.assert_array_equal(spy.host(y), [-63.0, -63.0])
