"""The kernels on a CUDA device against the definitions, run with CuPy's own operations: what no CPU can show.

Skipped is not passed: without a device nothing here says anything about CuPy.
"""

import math
from contextlib import nullcontext

import numpy as np
import pytest
from test_cuda_elementwise import ACTIVATIONS, SWEEPS
from test_cuda_reductions import MATRICES, SCORES, arrays, defined

import mlpcore as mc
from mlpcore import ops
from mlpcore.backends import get_backend
from mlpcore.kernels.cuda import columns
from mlpcore.layers import Dropout
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
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed: no kernel was run on a GPU")
    if not cupy.cuda.is_available():
        pytest.skip("CuPy finds no CUDA device: no kernel was run on a GPU, so none of them is proved there")
    get_backend("cupy")
    return cupy


def draws(*shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def near(found, expected, eps, name=""):
    for one, other in zip(leaves(found), leaves(expected), strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape, name
        np.testing.assert_allclose(one.get(), other.get(), rtol=eps, atol=eps, err_msg=name)


@pytest.mark.parametrize("name", SWEEPS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_sweep_is_that_of_the_definition(cupy, name, dtype):
    """Sums, products, quotients and roots round alike in one kernel and in many, so the bits are the same."""
    for stack, size in (((), 100_003), ((3,), 6400), ((), 1)):
        made = []
        for sweep in (ops.sweep, ops.sweep.body):
            count, make = SWEEPS[name]
            owned = tuple(cupy.asarray(draws(*stack, size, dtype=dtype, seed=2 + i) ** 2) for i in range(count))
            for g, rate in zip(
                draws(3, *stack, size, dtype=dtype), draws(3, *stack, dtype=dtype, seed=1) ** 2, strict=True
            ):
                owned = sweep(cupy.asarray(g), owned, make(cupy.asarray(rate)))
            made.append(owned)
        for one, other in zip(*made, strict=True):
            np.testing.assert_array_equal(one.get(), other.get())


@pytest.mark.parametrize("case", [*SCORES, ((), 16384, 10, True, 0.0), ((), 513, 1000, True, 0.1),
                                  ((), 2100, 5000, True, 0.0), ((), 9, 100_000, False, 0.0)], ids=str)  # fmt: skip
@pytest.mark.parametrize("dtype", DTYPES)
def test_cross_entropy_is_that_of_the_definition(cupy, case, dtype):
    stack, n, c, labels, smoothing = case
    given = [cupy.asarray(x) for x in arrays(stack, n, c, labels, dtype)]
    found = ops.softmax_cross_entropy(*given, smoothing)
    wide = [x.astype("float64") if x.dtype.kind == "f" else x for x in given]
    expected = tuple(x.astype(dtype) for x in defined(*wide, smoothing))
    near(found, expected, 64 * np.finfo(dtype).eps)
    again = ops.softmax_cross_entropy(*given, smoothing)
    assert all(bool((one == other).all()) for one, other in zip(found, again, strict=True))


@pytest.mark.parametrize("shape", [*MATRICES, (16384, 4096), (10**6, 10), (256, 512)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_column_sums_are_those_of_the_definition(cupy, shape, dtype):
    from mlpcore.kernels.cupy import DEVICE

    x = cupy.asarray(draws(*shape, dtype=dtype))
    exact, bound = x.astype("float64").sum(axis=-2), 64 * np.finfo(dtype).eps * abs(x).sum(axis=-2)
    for made in (columns.by_kernel(DEVICE, x), columns.by_product(DEVICE, x)):
        assert made.dtype == dtype and bool((abs(made - exact) <= bound).all())
    assert bool((ops.column_sum(x) == ops.column_sum(x)).all())


@pytest.mark.parametrize("shape", [(5,), (16385,), (3, 100_003), (10**7,)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_largest_is_that_of_the_definition(cupy, shape, dtype):
    x = cupy.asarray(draws(*shape, dtype=dtype))
    for value in (0.0, np.inf, -np.inf, np.nan):
        x[..., -2] = value
        np.testing.assert_array_equal(ops.largest(x).get(), ops.largest.body(x).get())


@pytest.mark.parametrize("dtype", DTYPES)
def test_dropout_draws_the_bits_of_the_host(cupy, dtype):
    from mlpcore.kernels.cupy import STREAM

    for shape in ((300, 17), (4, 100, 33), (1, 1), (1000, 1000)):
        made = Dropout(0.3).noise(STREAM(5, "noise", step=2**40), shape, dtype)
        assert isinstance(made, cupy.ndarray)
        np.testing.assert_array_equal(made.get(), Dropout(0.3).noise(Stream(5, "noise", step=2**40), shape, dtype))


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_an_activation_is_that_of_the_definition(cupy, name, dtype):
    layer, x, dy = (
        ACTIVATIONS[name],
        cupy.asarray(draws(50, 33, dtype=dtype)),
        cupy.asarray(draws(50, 33, dtype=dtype, seed=1)),
    )
    y, cache = ops.cellwise(x, (), layer.activate)
    dx = ops.cellwise(dy, (cache,), lambda dy, cache: layer.gradient(cache, dy))
    expected, expected_cache = layer.activate(x)
    near((y, cache, dx), (expected, expected_cache, layer.gradient(expected_cache, dy)), 16 * np.finfo(dtype).eps, name)


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


def test_the_bias_is_added_in_place(cupy):
    for stack in ((), (3,)):
        x, w, b = (cupy.asarray(draws(*stack, *shape, seed=i)) for i, shape in enumerate(((6, 5), (5, 8), (8,))))
        near(ops.affine(x, w, b), ops.affine.body(x, w, b), 1e-14)


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


def test_kernels_follow_the_current_stream_and_device(cupy):
    for number in range(cupy.cuda.runtime.getDeviceCount()):
        with cupy.cuda.Device(number):
            for stream in (nullcontext(), cupy.cuda.Stream(non_blocking=True)):
                with stream:
                    g, p = cupy.ones(1000), cupy.zeros(1000)
                    (made,) = ops.sweep(g, (p,), lambda g, p: (p - 0.5 * g,))
                    assert made.device.id == number and bool((made == -0.5).all())
