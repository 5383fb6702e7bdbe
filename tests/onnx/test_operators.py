"""Whatever can be traced is printed as ONNX or refused by name; onnxruntime computes what NumPy does."""

import random
import re
import warnings

import array_api_compat.numpy as host
import numpy as np
import pytest
from graphs import exported, random_graph
from instructions import PAIRS
from onnx_models import call, onnx
from rounding import EXACT, differences

from mlpcore.compiler import trace
from mlpcore.compiler.graph import N, Untraceable
from mlpcore.compiler.trace import Tracer
from mlpcore.errors import ConfigurationError
from mlpcore.onnx import formulas, nodes, printer, rewriting

WHOLE = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
DTYPES = ("bool", *WHOLE, "float32", "float64")
ARITHMETIC = (*trace.ARITHMETIC, "maximum", "minimum")
TWO = (*ARITHMETIC, *trace.COMPARISONS, *trace.LOGICAL[:3], *trace.BITWISE[:3], *trace.BITWISE[4:], *PAIRS)
ONE = tuple(name for name in (*trace.FLOATING, *trace.NUMERIC, *trace.PREDICATES) if name not in TWO)
ONE += ("logical_not", "bitwise_invert")
REDUCTIONS = ("sum", "prod", "max", "min", "mean", "var", "std", "any", "all", "argmax", "sort")
# What ONNX lacks, by the dtypes of the operands.
REFUSED = {
    **dict.fromkeys(("bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_invert"), WHOLE),
    **dict.fromkeys(("bitwise_left_shift", "bitwise_right_shift", "pow", "reciprocal"), WHOLE),
    **dict.fromkeys(("isfinite", "isinf", "isnan", "signbit", "prod"), ("bool", *WHOLE)),
    **dict.fromkeys(("abs", "sign", "remainder", "floor_divide", "maximum", "minimum"), ("uint64",)),
    **dict.fromkeys(("less", "less_equal", "greater", "greater_equal", "max", "min", "argmax", "sort"), ("uint64",)),
    "sum": WHOLE[4:],  # which the standard adds up in uint64
    "nextafter": ("float32", "float64"),
}
# Left open: the sign of what is no number, and that of zero behind a choice, which onnxruntime loses.
LOOSE = {name for name in EXACT if name not in ("where", "clip", "divide", "sqrt")}


def numpy_blas(name):
    """NumPy's function, some of which array_api_compat lacks."""
    return getattr(host, name, None) or {"rsqrt": lambda x: 1 / np.sqrt(x)}[name]


def applied(name, arrays, **words):
    """A function by onnxruntime and by NumPy; None for the first where it is refused."""
    with np.errstate(all="ignore"):
        right = np.asarray(numpy_blas(name)(*arrays, **words))
    shapes = [(N, *array.shape[1:]) for array in arrays]
    try:
        (found,) = call(lambda xp, *given: [getattr(xp, name)(*given, **words)], arrays, shapes)
    except ConfigurationError as error:
        dtype = "uint64" if name == "sum" else "u?int64" if name == "prod" else arrays[0].dtype
        asked = "less" if name == "sort" else name
        assert re.search(f"uses {asked} of {dtype}, for which ONNX has no operator", str(error))
        return None, right
    return found, right


def small(dtype, count):
    """Numbers that every function takes: no zeros to divide by."""
    values = np.tile(np.asarray([[1, 3, 2, 5], [2, 1, 1, 3], [4, 2, 3, 1]]), (count, 1, 1))
    return [(one if dtype == "bool" else np.roll(one, i, axis=1)).astype(dtype) for i, one in enumerate(values)]


def traceable(name, arrays, **words):
    """Whether the tracer takes it, and so does NumPy, with a result of the same dtype."""
    tracer = Tracer()
    try:
        made = getattr(tracer, name)(*[tracer.input(one.shape, one.dtype) for one in arrays], **words)
        with np.errstate(all="ignore"):
            return numpy_blas(name)(*arrays, **words).dtype == made.dtype
    except (Untraceable, TypeError):
        return False


@pytest.mark.parametrize("name", [*ONE, *TWO, *REDUCTIONS])
def test_every_operation_of_every_dtype_is_exported_or_refused(name):
    words = {"axis": 1} if name in REDUCTIONS else {}
    done, refused = set(), set()
    for dtype in DTYPES:
        arrays = small(dtype, 2 if name in TWO else 1)
        if not traceable(name, arrays, **words):
            continue
        found, right = applied(name, arrays, **words)
        (refused if found is None else done).add(dtype)
        if found is not None:
            assert found.dtype == right.dtype and found.shape == right.shape
            near = 16 * float(np.finfo(right.dtype).eps) if right.dtype.kind == "f" else 0
            np.testing.assert_allclose(found, right, rtol=near, atol=0, err_msg=dtype)
    assert refused == set(REFUSED.get(name, ())) & (done | refused)
    assert done | refused


@pytest.mark.parametrize("source", DTYPES)
def test_dtypes_are_cast_and_chosen(source):
    (x,) = small(source, 1)
    for dtype in DTYPES:
        (found,) = call(lambda xp, x, dtype=dtype: [xp.astype(x, dtype)], [x], [(N, 4)])
        np.testing.assert_array_equal(found, x.astype(dtype), strict=True)
    (found,) = call(lambda xp, x: [xp.where(x == x[:, :1], x, xp.flip(x, axis=1))], [x], [(N, 4)])
    np.testing.assert_array_equal(found, np.where(x == x[:, :1], x, x[:, ::-1]), strict=True)


@pytest.mark.parametrize("size", [(), (1, 1)])
@pytest.mark.parametrize("constant", [1e-50, -3e-143, 0.0, 1 + 1e-9, 1 - 1e-12, 1.0, 1.5])
def test_constants_that_are_only_nearly_0_or_1_count(constant, size):
    """onnxruntime compares with 0 and 1 in float32, and leaves out what it believes to change nothing."""
    x = np.array([[0.0, 1e-50, 2e-143, -5.0, 1.0, 1e300, -1e300]])

    def arithmetic(xp, x):
        y, c = xp.abs(x), xp.asarray(np.full(size, constant)) if size else constant
        return [y + c, c + y, y - c, c - y, y * c, c * y, y / c if constant else y, c / (y + 1.0)]

    found = call(arithmetic, [x], [(N, 7)])
    with np.errstate(over="ignore"):
        expected = arithmetic(np, x)
    for one, right in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, right)


SPECIAL = (0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 0.5, 2.0)
SIZES = {"float32": 30, "float64": 290}  # powers of ten
FLOATS = [*rewriting.FLOATS, *rewriting.FLOAT64, "exp", "log", "sqrt", "tanh", "sin", "cos", "reciprocal", "sign"]
FLOATS += ["round", "floor", "ceil", "abs", "negative", "maximum", "minimum", "divide", "isnan", "isinf"]
BOUNDED = {"sin": 3, "cos": 3, "tan": 3}  # of angles beyond 1000 libraries have digits of their own
CANCELLING = ("sin", "cos", "tan", "logaddexp")  # where the result is near zero for arguments that are not


@pytest.mark.parametrize("dtype", SIZES)
@pytest.mark.parametrize("name", FLOATS)
def test_functions_of_all_sizes_of_numbers(name, dtype):
    """To a few roundings of the result itself, also where it is very small; NaN and infinities where NumPy has them."""
    draws, most = np.random.default_rng(0), BOUNDED.get(name, SIZES[dtype])
    sizes = np.concatenate([draws.uniform(-SIZES[dtype], most, 150), draws.uniform(-3, min(most, 3), 150)])
    x = np.concatenate([draws.choice((-1, 1), 300) * 10**sizes, draws.uniform(-1, 1, 100), SPECIAL]).astype(dtype)
    arrays = [x[:, None]]
    if name in TWO:
        other = np.concatenate([np.roll(x[:200], 7), x[200:300], -x[300:350], np.resize(SPECIAL, len(x) - 350)])
        arrays = [one.reshape(-1, 1).astype(dtype) for one in (np.repeat(x, 2), np.append(other, np.roll(x, 3)))]
    if name in ("copysign", "signbit"):
        arrays[-1] = np.where(np.isnan(arrays[-1]), 1, arrays[-1])  # what sign NaN has is left open
    if name in ("remainder", "floor_divide"):
        with np.errstate(all="ignore"):  # of larger quotients nothing is left but rounding
            kept = ~(np.abs(arrays[0] / arrays[1]) > 1e6)
        arrays = [np.where(kept, one, 1).astype(dtype) for one in arrays]
    found, right = applied(name, arrays)
    assert found.dtype == right.dtype
    near = float(np.finfo(dtype).eps) * (500 if name == "tan" else 16)  # which divides by a small cosine
    if right.dtype.kind == "f":
        least = near if name in CANCELLING else float(np.finfo(dtype).tiny)
        np.testing.assert_allclose(found, right, rtol=near, atol=least)
    else:
        np.testing.assert_array_equal(found, right)


@pytest.mark.parametrize("name", ["max", "min", "argmax", "sum", "sort"])
def test_no_number_among_others(name):
    x = np.asarray([[1, np.nan, 3, 2], [np.nan, np.inf, 1, 1], [3, np.inf, -np.inf, np.nan], [1, 4, 2, 4]])
    for dtype in SIZES:
        found, right = applied(name, [x.astype(dtype)], axis=1)
        np.testing.assert_array_equal(found, right, strict=True)


def test_whole_numbers_divided_by_zero_and_by_minus_one():
    x, y = (one.ravel()[:, None] for one in np.meshgrid([7, -7, 0, np.iinfo("int64").min], [0, -1, 2, -2]))
    for name in ("remainder", "floor_divide"):
        found, right = applied(name, [x, y])
        np.testing.assert_array_equal(found, right)


def test_shapes_without_entries():
    x = np.ones((3, 4))
    for shape in ((N, 4), (3, 4)):
        rows = shape[0]
        wanted = [(0, rows), (rows, 2, 0), (rows, 0)]
        found = call(lambda xp, x, wanted=wanted: [xp.reshape(x[:, :0], one) for one in wanted], [x], [shape])
        assert [one.shape for one in found] == [(0, 3), (3, 2, 0), (3, 0)]


# ---- random graphs

ROWS = (1, 2, 3, 5, 17, 40)  # onnxruntime repeats an array once where it should no time


@pytest.mark.parametrize("first", range(0, 600, 100))
def test_random_graphs_are_what_numpy_makes_of_them(first):
    wrong, refused, count = [], set(), 0
    with warnings.catch_warnings():  # NumPy, of the mean of nothing
        warnings.simplefilter("ignore", RuntimeWarning)
        for seed in range(first, first + 100):
            graph = random_graph(seed, random.Random(seed).choice(ROWS))
            if not graph.outputs and not graph.replaced:
                continue
            try:
                found = exported(graph)
            except ConfigurationError as error:
                refused.add(str(error).split(" uses ")[1].split(" of ")[0])
                continue
            count += 1
            wrong += [f"graph {seed}: {line}" for line in differences(found, graph, LOOSE)[0]]
    assert wrong == []
    assert refused <= set(REFUSED)
    assert count > 60


def test_all_operators_and_formulas_are_used(monkeypatch):
    seen = set()

    class Watched(dict):
        def __getitem__(self, name):
            seen.add(name)
            return super().__getitem__(name)

    monkeypatch.setattr(printer, "OPERATORS", Watched(printer.OPERATORS))
    for name in (*rewriting.FLOATS, *rewriting.FLOAT64):
        formula = getattr(formulas, name)
        monkeypatch.setattr(formulas, name, lambda *given, f=formula: seen.add(f.__name__) or f(*given))
    call(lambda xp, x: [x ^ x], [np.ones((1, 1), bool)], [(N, 1)])  # rare among random graphs
    for seed in range(1000):
        graph = random_graph(seed, 3)
        tracer = Tracer()
        inputs = [tracer.input(shape, array.dtype) for shape, array in zip(graph.shapes, graph.arrays, strict=True)]
        values = graph.run(tracer, inputs)
        try:
            names = {one.node: f"x{i}" for i, one in enumerate(inputs)}
            printer.OnnxPrinter(nodes.Nodes(onnx), tracer, [values[i].node for i in graph.outputs], names)
        except ConfigurationError:
            continue
    everything = {*printer.OPERATORS, *rewriting.FLOATS, *rewriting.FLOAT64}
    assert everything - seen == {"softmax"}  # which no random graph is
