"""Plain operations and a step on a CUDA device, against the host: what no CPU can show.

Skipped is not passed: without a device nothing here says anything about CuPy.
"""

import math
from contextlib import nullcontext

import numpy as np
import pytest
from optional import optional

import mlpcore as mc
from mlpcore.backends import get_backend
from mlpcore.numerics import erf
from mlpcore.random import Stream
from mlpcore.training.rules import Rules
from mlpcore.training.step import make_step
from mlpcore.trees import Layout, leaves, tree_map
from mlpcore.typing import Batch, State

pytestmark = pytest.mark.gpu
DTYPES = ("float32", "float64")


@pytest.fixture(scope="module")
def cupy():
    cupy = optional("cupy")
    if not cupy.cuda.is_available():
        pytest.skip("CuPy finds no CUDA device: no kernel was run on a GPU, so none of them is proved there")
    get_backend("cupy")
    return cupy


def draws(*shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def test_erf_is_right_and_keeps_the_dtype(cupy):
    x = np.linspace(-7, 7, 10_001)
    for dtype in DTYPES:
        made = erf(cupy.asarray(x.astype(dtype)))
        assert made.dtype == dtype
        exact = np.array([math.erf(number) for number in x.astype(dtype)])
        assert np.max(np.abs(made.get() - exact) / np.spacing(np.abs(exact).astype(dtype))) <= 5
    edges = cupy.asarray([0.0, -0.0, np.inf, -np.inf, np.nan])
    np.testing.assert_array_equal(erf(edges).get(), [0, 0, 1, -1, np.nan])
    assert list(np.signbit(erf(edges).get()[:2])) == [False, True]


def a_step(put, rules, dtype, bad):
    """The state after four batches, whose arrays are made by ``put``; with ``bad`` the third holds a NaN."""
    net, optimizer = mc.Sequential(mc.Linear(5, 6), mc.ReLU(), mc.Linear(6, 3)), mc.AdamW(1e-2)
    layout = Layout(net.init(Stream(0, "init"), dtype))
    vector = layout.flat(net.init(Stream(0, "init"), dtype))
    zero = np.zeros((), np.int32)
    state = State(vector, (), optimizer.init(vector), np.zeros_like(vector), zero, np.ones((), dtype), zero)
    state = tree_map(put, state)
    step = make_step(net, mc.SoftmaxCrossEntropy(), optimizer, layout, rules)
    x, y = draws(4, 9, 5, dtype=dtype), np.random.default_rng(3).integers(0, 3, (4, 9)).astype(np.int32)
    if bad:
        x[2, 4, 1] = np.nan
    for rows, labels in zip(x, y, strict=True):
        noise = net.noise(Stream(0), rows.shape, dtype)
        state, _ = step(state, Batch(*map(put, (rows, labels, np.ones(9, dtype))), noise))
    return state


@pytest.mark.parametrize("bad", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_step_on_the_device_is_the_step(cupy, bad, dtype):
    """AdamW with all rules; after a NaN nothing moves, and nothing is read on the host meanwhile."""
    rules = Rules(1e-3, 1.0, 0.5, 0.9)
    expected, state = (a_step(put, rules, dtype, bad) for put in (np.array, cupy.array))
    for one, other in zip(leaves(state), leaves(expected), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one.get(), other, rtol=0, atol=10 * np.finfo(dtype).eps)


def test_work_on_a_stream_follows_earlier_work_on_another(cupy):
    """Predictions work in memory that the model keeps. The emulated device says so where nothing orders them."""
    model = mc.Model(mc.Sequential(mc.Linear(3, 40), mc.Tanh(), mc.Linear(40, 2)), mc.SquaredError(), backend="cupy")
    x = [cupy.asarray(draws(64, 3, dtype="float32", seed=i)) for i in range(6)]
    expected = [model.predict(rows).get() for rows in x]
    streams = [cupy.cuda.Stream(non_blocking=True) for _ in range(2)]
    cupy.cuda.Device().synchronize()
    made = []
    for i, rows in enumerate(x):
        with streams[i % 2]:
            made.append(model.predict(rows))
    for stream in streams:
        stream.synchronize()
    for one, other in zip(made, expected, strict=True):
        np.testing.assert_array_equal(one.get(), other)


def test_programs_follow_the_current_stream_and_device(cupy):
    model = mc.Model(mc.Linear(3, 2), mc.SquaredError(), backend="cupy")
    expected = model.predict(np.ones((7, 3)))
    for number in range(cupy.cuda.runtime.getDeviceCount()):
        model = mc.Model(mc.Linear(3, 2), mc.SquaredError(), backend="cupy", device=number)
        for stream in (nullcontext(), cupy.cuda.Stream(non_blocking=True)):
            with stream:
                made = model.predict(np.ones((7, 3)))
            np.testing.assert_array_equal(made, expected)
