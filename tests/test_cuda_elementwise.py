"""Formulas as CUDA kernels: traced, compiled for GPUs by NVRTC, and run on the CPU from the same source.

The kernels of sums, products, quotients and roots have the very bits of their reference bodies.
"""

import importlib
import importlib.util
import re
import runpy

import numpy as np
import pytest
from cuda_emulator import Emulator, needed, nvrtc, usage
from members import LAYERS

from mlpcore import layers as nn
from mlpcore import ops
from mlpcore.kernels.cuda import elementwise
from mlpcore.kernels.cuda.closures import read
from mlpcore.kernels.cuda.fusing import PLANS, Fusing
from mlpcore.kernels.cuda.tracing import NAMESPACE, Symbol, Trace, Untraceable, literal, operand
from mlpcore.layers.activation import Activation
from mlpcore.namespace import namespace
from mlpcore.numerics import sigmoid, sign
from mlpcore.optimizers.adam import bias_correction
from mlpcore.random import Stream
from mlpcore.trees import leaves

DTYPES = ("float32", "float64")
ACTIVATIONS = {name: make(4) for name, make in LAYERS.items() if isinstance(make(4), Activation) and name != "Softmax"}


def draws(*shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def begun_at(offset: int, values: np.ndarray) -> np.ndarray:
    """A copy that begins ``offset`` elements after a boundary of 64 bytes."""
    room = np.empty(values.size + 64, values.dtype)
    start = -room.ctypes.data % 64 // values.itemsize + offset
    made = room[start : start + values.size].reshape(values.shape)
    made[...] = values
    return made


def descent(rate):
    """Gradient descent as a formula for ``ops.sweep``; ``rate`` is (...)."""
    column = rate[..., None]
    return lambda g, p: (p - column * g,)


def adam(rate):
    """Adam without its corrections, with both moments as further vectors."""
    column = rate[..., None]

    def formula(g, p, m, v):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * (g * g)
        return p - column * m / (namespace(v).sqrt(v) + 1e-8), m, v

    return formula


def lion(rate):
    """Lion, which asks for signs."""
    column = rate[..., None]
    return lambda g, p, m: (p - column * sign(0.9 * m + 0.1 * g), 0.99 * m + 0.01 * g)


SWEEPS = {"descent": (1, descent), "Adam": (3, adam), "Lion": (2, lion)}  # how many vectors are owned, and the formula


def updated(name, sweep, start, gradients, rates, offset=0):
    """The owned vectors after one sweep for every gradient."""
    count, make = SWEEPS[name]
    owned = (begun_at(offset, start), *(np.zeros_like(start) for _ in range(count - 1)))
    for g, rate in zip(gradients, rates, strict=True):
        owned = sweep(begun_at(offset, g), owned, make(np.asarray(rate)))
    return owned


@needed
@pytest.mark.parametrize("name", SWEEPS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_an_update_is_one_kernel_with_the_bits_of_the_definition(name, dtype):
    emulator = Emulator()
    for stack, size in (((), 1027), ((3,), 64)):
        gradients, rates = draws(3, *stack, size, dtype=dtype), draws(3, *stack, dtype=dtype, seed=1) ** 2
        start = draws(*stack, size, dtype=dtype, seed=2)
        expected = updated(name, ops.sweep.body, start, gradients, rates)
        emulator.launched.clear()
        found = updated(name, Fusing(emulator.device).sweep, start, gradients, rates)
        assert len(emulator.launched) == 3
        for one, other in zip(found, expected, strict=True):
            assert one.dtype == other.dtype and np.array_equal(one, other)
        assert f"V = {16 // np.dtype(dtype).itemsize};" in emulator.launched[0][0].code


@needed
@pytest.mark.parametrize("stack", [(), (3,)])
def test_the_numbers_of_an_update_are_one_kernel_too(stack):
    def numbers(rate, count):
        root = namespace(count).sqrt(bias_correction(count, 0.999))
        return rate * root / bias_correction(count, 0.9), 1e-8 * root

    emulator = Emulator()
    rate, count = draws(*stack) ** 2, np.asarray(draws(*stack, seed=1) ** 2 + 1)
    found = Fusing(emulator.device).cellwise(np.asarray(rate), (count,), numbers)
    assert len(emulator.launched) == 1
    for one, other in zip(found, numbers(rate, count), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13)  # two mathematics libraries' expm1


@needed
def test_what_begins_between_boundaries_is_taken_in_shorter_pieces():
    emulator = Emulator()
    start, gradients, rates = draws(35, dtype="float32"), draws(1, 35, dtype="float32"), draws(1, dtype="float32") ** 2
    (expected,) = updated("descent", ops.sweep.body, start, gradients, rates)
    for offset in range(5):
        (found,) = updated("descent", Fusing(emulator.device).sweep, start, gradients, rates, offset)
        np.testing.assert_array_equal(found, expected)
    assert [re.search(r"V = (\d)", one.code).group(1) for one, *_ in emulator.launched] == ["4", "1", "2", "1", "4"]


@needed
def test_a_formula_is_traced_once_whatever_its_arrays_hold():
    emulator = Emulator()
    fusing = Fusing(emulator.device)
    for _ in range(2):
        updated("Adam", fusing.sweep, draws(8), draws(3, 8), draws(3) ** 2)
        updated("Lion", fusing.sweep, draws(8), draws(3, 8), draws(3) ** 2)
    assert len(fusing.plans) == 2 and len(emulator.launched) == 12


REFUSED = {
    "a sum": lambda x: (namespace(x).sum(x) * x,),
    "a look at the numbers": lambda x: (x if x[0] > 0 else -x,),
    "an index": lambda x: (x[0] * x,),
    "a shape": lambda x: (x * x.shape[0],),
    "a default": lambda x, scale=2.0: (scale * x,),
    "a power": lambda x: (x**2,),
    "a number of another library": lambda x: (x * np.float64(2),),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_traced_goes_to_the_reference_body(name):
    emulator, x = Emulator(), draws(5)
    made = Fusing(emulator.device).cellwise(x, (), REFUSED[name])
    np.testing.assert_array_equal(made[0], REFUSED[name](x)[0])
    assert not emulator.launched


@needed
def test_operands_that_are_not_packed_or_not_in_place_go_to_the_reference_body():
    emulator, x, y = Emulator(), draws(6, 4), draws(4)
    fusing = Fusing(emulator.device)
    (made,) = fusing.cellwise(x[:, ::2], (y[::2],), lambda x, y: (x + y,))
    np.testing.assert_array_equal(made, x[:, ::2] + y[::2])
    (made,) = fusing.sweep(x, (y,), lambda x, y: (x + y,))  # the sum is larger than what it should overwrite
    np.testing.assert_array_equal(made, x + y)
    p, q = draws(3), draws(3, seed=1)
    for wrong in (lambda x, p, q: (q, p), lambda x, p, q: (x + p,) * 2, lambda x, p, q: (p, q > 0)):
        expected = wrong(x[0, :3], p, q)
        for one, other in zip(fusing.sweep(x[0, :3], (p, q), wrong), expected, strict=True):
            assert one.dtype == other.dtype and np.array_equal(one, other)
    assert not emulator.launched
    (made,) = fusing.sweep(p, (q,), lambda p, q: (p + q,))
    assert made is q and len(emulator.launched) == 1


def test_constants_that_change_in_every_step_fill_no_memory(monkeypatch):
    monkeypatch.setattr("mlpcore.kernels.cuda.fusing.PLANS", 3)
    fusing = Fusing(Emulator().device)
    monkeypatch.setattr(fusing, "_run", lambda *given: None)
    for step in range(5):
        number = float(step)
        fusing.sweep(draws(3), (draws(3),), lambda g, p: (p - number * g,))  # noqa: B023  # called at once
    assert len(fusing.plans) == 3 and PLANS > 3


def test_a_key_tells_constants_apart_but_not_arrays():
    def formula(constant, array):
        return lambda x: x * constant + array

    keys = [read(formula(1, draws(1)), np.ndarray)[0] for _ in range(2)]
    assert keys[0] == keys[1]
    others = [read(formula(constant, draws(1)), np.ndarray)[0] for constant in (2, 1.0, True)]
    assert len({keys[0], *others}) == 4
    with pytest.raises(Untraceable):
        read(formula(lambda: keys, draws(1)), np.ndarray)


# ---- the condition of a step ----


@needed
@pytest.mark.parametrize("ok", [np.array(True), np.array(False), np.array([True, False])], ids=str)
def test_choose_leaves_alone_what_is_not_ok_and_looks_at_nothing(ok):
    emulator, stack = Emulator(), ok.shape
    fusing = Fusing(emulator.device)
    p, count, plain = draws(*stack, 66), np.zeros(stack, np.int32), draws(*stack, 3, seed=1)
    old = {"p": p.copy(), "count": count, "kept": draws(*stack, 2), "plain": plain}
    g = np.where(ok[..., None], draws(*stack, 66, seed=2), np.nan)

    def new():
        (moved,) = fusing.sweep(g, (old["p"],), lambda g, p: (p - 0.5 * g,))
        return old | {"p": moved, "count": count + 1, "plain": 2 * plain}

    made = fusing.choose(ok, new, old)
    np.testing.assert_array_equal(made["p"], np.where(ok[..., None], p - 0.5 * g, p))
    np.testing.assert_array_equal(made["count"], ok.astype(np.int32))
    np.testing.assert_array_equal(made["plain"], np.where(ok[..., None], 2 * plain, plain))
    assert made["p"] is old["p"] and made["kept"] is old["kept"] and made["count"].dtype == np.int32
    assert len(emulator.launched) == 3  # the sweep, and one for each shape of what is small


@needed
def test_a_condition_within_a_condition_needs_both():
    fusing, yes, no = Fusing(Emulator().device), np.array(True), np.array(False)
    for outer in (yes, no):
        for inner in (yes, no):
            p = np.zeros(5)
            sweep = lambda p=p: fusing.sweep(p, (p,), lambda _, p: (p + 1,))  # noqa: E731
            fusing.choose(outer, lambda p=p, inner=inner, sweep=sweep: fusing.choose(inner, sweep, (p,)), (p,))
            assert np.all(p == (outer & inner))
    assert fusing.guard.get() is None


@needed
@pytest.mark.parametrize("stack", [(), (2,)])
def test_shrink_is_in_place_where_the_prefix_is_one_piece(stack):
    fusing, vector, factor = Fusing(Emulator().device), draws(*stack, 10), draws(*stack, seed=1)
    for length in (0, 4, 10):
        expected = ops.shrink.body(vector.copy(), length, factor)
        np.testing.assert_array_equal(fusing.shrink(vector.copy(), length, factor), expected)
    assert (fusing.shrink(vector, 4, factor) is vector) == (not stack)


# ---- activations ----


def both_ways(fusing, layer, x, dy):
    """``(y, cache, dx)`` of an activation."""
    y, cache = fusing.cellwise(x, (), layer.activate)
    return y, cache, fusing.cellwise(dy, (cache,), lambda dy, cache: layer.gradient(cache, dy))


@needed
@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_an_activation_is_one_kernel_each_way(name, dtype):
    emulator, layer = Emulator(), ACTIVATIONS[name]
    fusing, x, dy = Fusing(emulator.device), 3 * draws(5, 7, dtype=dtype), draws(5, 7, dtype=dtype, seed=1)
    x[0, :4] = 0, 40, -40, np.nan
    y, cache, dx = both_ways(fusing, layer, x, dy)
    assert len(emulator.launched) == 2 * (not isinstance(layer, nn.Identity))
    expected, expected_cache = layer.activate(x)
    # Two mathematics libraries differ by a few units in the last place of numbers up to 1, or of x.
    near = {"rtol": 40 * np.finfo(dtype).eps, "atol": 4 * np.finfo(dtype).eps, "equal_nan": True}
    for one, other in zip(
        leaves((y, cache, dx)), leaves((expected, expected_cache, layer.gradient(expected_cache, dy))), strict=True
    ):
        assert one.dtype == dtype
        np.testing.assert_allclose(one, other, **near)


@needed
@pytest.mark.parametrize("shapes", [((5, 8), (8,)), ((2, 5, 8), (2, 1, 8)), ((2, 5, 8), (5, 1)), ((3, 4), (3, 1)),
                                    ((2, 3, 4), (2, 1, 1)), ((3, 1), (1, 4)), ((2, 3, 4), (4,), (2, 1, 4), (1, 1, 1)),
                                    ((), ()), ((1,), (1, 1)), ((0, 3), (3,))], ids=str)  # fmt: skip
def test_operands_broadcast(shapes):
    emulator = Emulator()
    given = [draws(*shape, dtype="float32", seed=i) for i, shape in enumerate(shapes)]

    def formula(*xs):
        total = xs[0]
        for x in xs[1:]:
            total = 2 * total - x
        return (total, total > 0)

    found = Fusing(emulator.device).cellwise(given[0], tuple(given[1:]), formula)
    for one, other in zip(found, formula(*given), strict=True):
        assert one.dtype == other.dtype and np.array_equal(one, other)
    assert len(emulator.launched) == (found[0].size > 0)


@needed
@pytest.mark.parametrize("stack", [(), (3,)])
def test_a_bias_is_added_in_place(stack):
    emulator = Emulator()
    x, weight, bias = (draws(*stack, *shape, seed=i) for i, shape in enumerate(((6, 5), (5, 8), (8,))))
    made = Fusing(emulator.device).affine(x, weight, bias)
    np.testing.assert_array_equal(made, ops.affine.body(x, weight, bias))
    assert len(emulator.launched) == 1


def test_cupy_has_a_body_of_every_primitive():
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed; the extra `cuda13` brings it, no GPU needed")
    kernels = importlib.import_module("mlpcore.kernels.cupy")
    primitives = [one for one in vars(ops).values() if isinstance(one, ops.Primitive)]
    assert primitives and all(cupy.ndarray in one.kernels for one in primitives)
    assert kernels.STREAM(3, "noise").child(0) == kernels.STREAM(3, "noise.0") and issubclass(kernels.STREAM, Stream)


def test_no_kernel_is_launched_on_a_device_of_amd(monkeypatch):
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed; the extra `cuda13` brings it, no GPU needed")
    for primitive in vars(ops).values():
        if isinstance(primitive, ops.Primitive):
            monkeypatch.setattr(primitive, "kernels", {})
    monkeypatch.setattr(cupy.cuda.runtime, "is_hip", True)
    source = importlib.util.find_spec("mlpcore.kernels.cupy").origin
    made = runpy.run_path(source)  # apart from the module that others have imported
    assert made["STREAM"] is Stream
    assert [name for name, one in vars(ops).items() if getattr(one, "kernels", None)] == []


def test_formulas_on_cupy_close_over_the_namespace_that_kernels_replace(monkeypatch):
    """With another one no formula that names ``xp`` could be traced, and each would run as many kernels."""
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed; the extra `cuda13` brings it, no GPU needed")
    backend = importlib.import_module("mlpcore.backends.cupy")
    monkeypatch.setattr(backend, "_number", lambda *given: 0)
    monkeypatch.setattr(backend, "_probe", lambda number: None)
    monkeypatch.setattr(backend, "precisions", lambda *given: {})
    registered = []
    monkeypatch.setattr(backend, "register", lambda kind, xp: registered.append((kind, xp)))
    made = backend.create()
    device = importlib.import_module("mlpcore.kernels.cupy").DEVICE
    assert registered == [(cupy.ndarray, device.library)] and made.xp is device.library


def test_a_box_of_more_than_three_lengths_is_refused():
    with pytest.raises(Untraceable):
        elementwise.box([(2, 3, 4, 5), (2, 1, 4, 1)], (2, 3, 4, 5))
    assert elementwise.box([(2, 3, 4, 5), (4, 5)], (2, 3, 4, 5))[:3] == (1, 6, 20)


def test_every_element_has_one_thread_and_no_thread_two():
    for columns_, rows in ((1, 1), (7, 1), (8, 1), (8, 3), (6, 2), (1000, 1), (4, 100)):
        for itemsize in (1, 4, 8):
            for address in (0, 4, 8):
                length = elementwise.vector(columns_, rows, itemsize, address)
                assert length == 1 or (length * itemsize <= 16 and address % (length * itemsize) == 0)
                assert rows == 1 or columns_ % length == 0
                items = elementwise.threads(columns_, rows, length)
                whole = rows * (columns_ // length)
                assert whole * length + (items - whole) == rows * columns_
                (blocks,), (size,) = elementwise.grid(items)
                assert (blocks - 1) * size < items <= blocks * size and size % 32 == 0


# ---- the symbols ----


@needed
def test_the_namespace_of_symbols_does_what_numpys_does():
    """Every function, on numbers that try it, through the C compiler."""
    x = np.array([-np.inf, -2.5, -0.0, 0.0, 0.5, 3.0, np.inf, np.nan])
    y = np.array([1.0, -1.0, 0.0, -0.0, np.nan, 3.0, 2.0, 1.0])

    def formula(a, b):
        xp = namespace(a)
        ok = xp.isfinite(a) & ~(b > 1) | (a == b)
        return (
            a + b, a - b, a * b, a / b, -a, +xp.positive(a), abs(a), 2 / b, 1 - b, xp.square(a), xp.maximum(a, b),
            xp.minimum(a, 0.5), xp.sign(b), xp.where(ok, a, 2.0), xp.clip(a, -1, 1.5), xp.astype(ok, a.dtype),
            xp.isnan(a), xp.isinf(a), a <= b, a >= b, a < b, a != b, ok ^ (b < 0), xp.logical_not(ok),
            xp.logical_and(ok, a > 0), xp.logical_or(ok, a > 0), xp.reciprocal(b), xp.copysign(a, b), xp.sqrt(abs(a)),
            xp.astype(xp.astype(xp.clip(b, -9.0, 9.0) > 0, "int32") + 1, "float32"), xp.inf + b, b - xp.nan,
        )  # fmt: skip

    emulator = Emulator()
    found = Fusing(emulator.device).cellwise(x, (y,), formula)
    with np.errstate(all="ignore"):
        expected = formula(x, y)
    assert len(emulator.launched) == 1
    for i, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert one.dtype == other.dtype, i
        np.testing.assert_array_equal(one, other, err_msg=str(i))


@pytest.mark.parametrize("value", [0.1, -0.0, 1e-45, 1e-310, 3.4e38, 1e300, float("inf"), float("-inf"), float("nan")])
@pytest.mark.parametrize("dtype", DTYPES)
@needed
def test_a_literal_is_the_number_in_its_dtype(value, dtype):
    (made,) = Fusing(Emulator().device).cellwise(
        np.zeros(1, dtype), (), lambda x: (namespace(x).where(x > 1, x, value),)
    )
    with np.errstate(over="ignore"):
        expected = np.asarray(value).astype(dtype)
    assert np.array_equal(made[0], expected, equal_nan=True) and np.signbit(made[0]) == np.signbit(expected)


def test_dtypes_join_as_the_standard_says_or_not_at_all():
    single, double, count, flag = (operand(i, d) for i, d in enumerate(("float32", "float64", "int32", "bool")))
    assert (single * double).dtype == "float64" and (single * 2).dtype == "float32" and (count + 1).dtype == "int32"
    assert (count == 0).dtype == "bool" and NAMESPACE.astype(count, single.dtype).dtype == "float32"
    for wrong in (lambda: single * count, lambda: single * flag, lambda: count + 0.5, lambda: count / 2,
                  lambda: single & single, lambda: NAMESPACE.where(single, 1.0, single), lambda: NAMESPACE.sum(single),
                  lambda: flag + flag, lambda: single * True, lambda: NAMESPACE.sqrt(count),
                  lambda: NAMESPACE.where(flag, 1.0, 2.0)):  # fmt: skip
        with pytest.raises(Untraceable):
            wrong()
    with pytest.raises(Untraceable):
        operand(0, "complex64")
    assert literal(0.1, "float32") == f"({float(np.float32(0.1)).hex()}f)"


def test_functions_that_ask_for_the_namespace_take_symbols():
    trace = Trace(lambda x: sigmoid(x), ["float64"])
    assert isinstance(trace.result, Symbol) and "tanh" in trace.code()


# ---- compiled for GPUs ----


def sources(monkeypatch, dtype):
    """The kernels of all sweeps (alone and in a stack) and activations, with the names of whose they are."""
    emulator, found = Emulator(), {}
    monkeypatch.setitem(vars(emulator.device), "launch", lambda source, *rest: emulator.launched.append(source))
    fusing = Fusing(emulator.device)
    for name in (*SWEEPS, *ACTIVATIONS):
        emulator.launched.clear()
        if name in SWEEPS:
            for stack in ((), (3,)):
                start, gradients = draws(*stack, 128, dtype=dtype), draws(1, *stack, 128, dtype=dtype)
                updated(name, fusing.sweep, start, gradients, draws(1, *stack, dtype=dtype))
        else:
            both_ways(fusing, ACTIVATIONS[name], *draws(2, 4, 8, dtype=dtype))
        found[name] = list(dict.fromkeys(emulator.launched))
    return found


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_kernels_compile_for_gpus_and_sweeps_spill_nothing(dtype, architecture, monkeypatch):
    nvrtc()
    for name, some in sources(monkeypatch, dtype).items():
        for source in some:
            used = usage(source, architecture)
            assert used["stores"] == used["loads"] == used["stack"] == 0 or name in ACTIVATIONS, (name, used)
            assert used["registers"] <= 64, (name, used)  # so that half of a multiprocessor's threads run at once


@pytest.mark.parametrize("dtype", DTYPES)
def test_sweeps_access_memory_by_sixteen_bytes(dtype, monkeypatch):
    library = nvrtc()
    for name, some in sources(monkeypatch, dtype).items():
        if name not in SWEEPS:
            continue
        program = library.createProgram(some[0].code, "k.cu", [], [])
        library.compileProgram(program, ["-arch=compute_80", "--std=c++17", *some[0].options])
        text = library.getPTX(program).decode()
        wide = r"\.v4\.(f32|b32|u32)" if dtype == "float32" else r"\.v2\.(f64|b64|u64)"
        vectors = int(some[0].code.split(" results")[0].split()[-1])
        assert len(re.findall(rf"st\.global{wide}", text)) == vectors, name
        assert len(re.findall(rf"ld\.global{wide}", text)) >= vectors, name
