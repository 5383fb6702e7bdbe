"""Every member can be traced for any number of rows, and every library gives NumPy's numbers.

What is traced looks at no number and takes no function besides those of the standard; array-api-strict on a device of
its own refuses the same while it computes.
"""

import numpy as np
import pytest
from libraries import STRICT, HostReadError, refusing
from members import LAYERS, TRAINED, assert_close, layer_arrays
from runs import RUNS, STEPS, trace

from mlpcore.losses import HalfSquaredError
from mlpcore.random import Stream
from mlpcore.training.gradients import value_and_grad
from mlpcore.trees import Layout, tree_map


def assert_same(xp, function, arguments, dtype="float32"):
    """In the library against NumPy in float64 from the same numbers."""
    with xp.scope(dtype):
        got = xp.get(function(*xp.put(arguments)))
    wide = tree_map(lambda leaf: leaf.astype("float64") if leaf.dtype == np.float32 else np.copy(leaf), arguments)
    assert_close(got, function(*wide))


@pytest.mark.parametrize("member", RUNS)
@pytest.mark.parametrize(("stack", "dtype"), [(None, "float32"), (2, "float32"), (2, "float64")])
def test_every_library_gives_the_numbers_of_numpy(member, stack, dtype, xp):
    assert_same(xp, *RUNS[member](dtype, stack), dtype)


@pytest.mark.parametrize("member", RUNS)
@pytest.mark.parametrize("stack", [None, 2])
def test_every_member_can_be_traced(member, stack):
    trace(member, *RUNS[member]("float32", stack))


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_step_can_be_traced(step, dtype):
    trace(step, *STEPS[step](dtype))


@pytest.mark.parametrize("step", STEPS)
def test_the_step_runs_on_a_device_that_refuses_every_look(step):
    function, arguments = STEPS[step]("float32")
    assert_close(STRICT.get(function(*STRICT.put(arguments))), function(*arguments))


@pytest.mark.parametrize("case", TRAINED)
def test_whole_networks_in_tiles(case, xp):
    net = LAYERS[case](4)
    params, x, training, _ = layer_arrays(net, 4, 6, "float32")
    layout = Layout(params)
    function = value_and_grad(net, HalfSquaredError())

    def in_one_vector(vector, statistics, x, target, weights, noise):
        value, weight, grads, observed = function(layout.view(vector, statistics), x, target, weights, noise)
        return value, weight, layout.flat(grads), layout.running(observed)

    target = Stream(0, "target").normal((6, net.output_width(4))).astype("float32")
    weights = np.linspace(0.5, 1.5, 6, dtype="float32")
    assert_same(xp, in_one_vector, (layout.flat(params), layout.running(params), x, target, weights, training.noise))


LOOKS = {
    "bool": bool,
    "float": float,
    "int": lambda x: int(x > 0),
    "complex": complex,
    "index": lambda x: [0, 1][x > 0],
    "item": lambda x: x.item(),
    "tolist": lambda x: x.tolist(),
    "numpy": np.asarray,
    "dlpack": np.from_dlpack,
    "if": lambda x: 1 if x > 0 else 0,
    "len": len,
    "iteration": list,
    "membership": lambda x: 1.0 in x,
    "write": lambda x: x.__setitem__(0, 1.0),
    "host array on the left": lambda x: np.ones(3) + x,
    "host array on the right": lambda x: x + np.ones(3),
}


@pytest.mark.parametrize("look", LOOKS)
def test_the_device_refuses(look):
    # array-api-strict leaves out what the standard does not have, and refuses to make a NumPy array.
    with refusing(), pytest.raises((HostReadError, AttributeError, TypeError, RuntimeError)):
        LOOKS[look](STRICT.put(np.asarray(1.0)))
