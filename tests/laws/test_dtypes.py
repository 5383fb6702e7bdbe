"""What goes in as float32 comes out as float32, and float64 never sneaks in on the way; in every library."""

import numpy as np
import pytest
import spy
from libraries import SPY
from members import INITIALIZERS, LAYERS, LOSSES, OPTIMIZERS, SCHEDULES, layer_arrays, loss_arrays

from mlpcore.layers import observe
from mlpcore.random import Stream
from mlpcore.schedules import rate_at
from mlpcore.trees import named_leaves


def run_layer(library, case, dtype):
    layer = LAYERS[case](4)
    params, x, noise, dy = library.put(layer_arrays(layer, 4, 6, dtype))
    y, cache = layer.forward(params, x, noise)
    dx, grads = layer.backward(params, cache, dy)
    return y, dx, grads, observe(layer, params, cache), layer.forward(params, x)[0]


def run_loss(library, case, dtype):
    loss, _ = LOSSES[case]
    z, target, weights = library.put(loss_arrays(case, 6, dtype))
    return (*loss.value_and_grad(z, target, weights), loss.predict(z))


def run_optimizer(library, case, dtype):
    optimizer = OPTIMIZERS[case]
    normal = Stream(1).normal((8, 5)).astype(dtype)
    params, rate = np.array(normal[0]), np.asarray(0.01, dtype=dtype)
    if library.name == "numpy":
        state, grads = optimizer.init(params), normal  # both are given up, so they must not be read-only
    else:
        params, rate, grads = library.put((params, rate, tuple(normal)))
        state = optimizer.init(params)
    for i in range(1, 8):
        params, state = optimizer.update(grads[i], state, params, rate)
    return params, state


def run_schedule(library, case, dtype):
    return rate_at(SCHEDULES[case], library.put(np.arange(6, dtype=dtype)))


RUNS = {
    **{f"layer {case}": (run_layer, case) for case in LAYERS},
    **{f"loss {case}": (run_loss, case) for case in LOSSES},
    **{f"optimizer {case}": (run_optimizer, case) for case in OPTIMIZERS},
    **{f"schedule {case}": (run_schedule, case) for case in SCHEDULES},
}


@pytest.mark.parametrize("member", RUNS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kept(member, dtype, xp):
    run, case = RUNS[member]
    with xp.scope(dtype):
        result = xp.get(run(xp, case, dtype))
    found = {name: np.asarray(leaf).dtype for name, leaf in named_leaves(result)}
    assert found and all(kind == dtype for kind in found.values()), found


@pytest.mark.parametrize("member", RUNS)
def test_float64_never_sneaks_in(member):
    """Not in an intermediate result either: the spy sees every array that is made."""
    run, case = RUNS[member]
    with spy.watching() as seen:
        run(SPY, case, "float32")
    assert "float32" in seen.dtypes
    assert not seen.dtypes & {"float64", "complex64", "complex128"}


@pytest.mark.parametrize("case", LAYERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_draws_have_the_dtype_that_was_asked_for(case, dtype):
    layer = LAYERS[case](4)
    drawn = (layer.init(Stream(0), dtype), layer.noise(Stream(0), (6, 4), dtype))
    for name, leaf in named_leaves(drawn):
        assert isinstance(leaf, np.ndarray), name
        assert leaf.dtype == dtype, name


@pytest.mark.parametrize("case", INITIALIZERS)
def test_initializers_draw_float64_of_the_shape(case):
    drawn = INITIALIZERS[case](Stream(0), (3, 5), (3, 5))
    assert drawn.dtype == np.float64
    assert drawn.shape == (3, 5)
