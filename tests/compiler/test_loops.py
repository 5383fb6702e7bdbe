"""Loops over rows of every width, printed as C, against NumPy: lanes, the rows after the last whole lanes, buffers."""

from typing import Any

import array_api_compat.numpy as host
import numpy as np
import pytest
from compiled import needs_compiler

from mlpcore.compiler import blas
from mlpcore.compiler.chunk import Steps
from mlpcore.compiler.graph import N
from mlpcore.compiler.program import BoundProgram, Program
from mlpcore.compiler.trace import Tracer

pytestmark = needs_compiler
ROWS = (0, 1, 2, 15, 16, 17, 33, 70)
ROUNDINGS = {"float32": 2e-5, "float64": 1e-13}


def along_rows(xp: Any, x: Any) -> list[Any]:
    """All that a loop can make of every row by itself."""
    last = {"axis": -1, "keepdims": True}
    scores = xp.exp(x - xp.max(x, **last))
    centred = (x - xp.mean(x, **last)) / (xp.std(x, **last) + 1.0)
    reduced = [xp.sum(x, **last), xp.min(x, **last), xp.prod(x, **last), xp.argmax(x, **last)]
    truths = [xp.any(x > 0.3, **last), xp.all(x > -0.3, **last)]
    return [scores / xp.sum(scores, **last), centred, *reduced, *truths, xp.sum(centred * x, axis=-1)]


def down_columns(xp: Any, x: Any) -> list[Any]:
    """All that it can make of all rows together, of the rows and of what became of them."""
    share = xp.exp(x) / xp.sum(xp.exp(x), axis=-1, keepdims=True)
    totals = [xp.sum(share, axis=0), xp.max(share, axis=0), xp.sum(share), xp.min(x), xp.mean(x, axis=0)]
    return [*totals, xp.any(x > 1.5, axis=0), xp.prod(xp.sum(x * x, axis=-1) + 0.5), xp.sum(xp.sum(x, axis=-1))]


def program(function: Any, shapes: list[tuple], dtype: str) -> tuple[Program, list[Any], list[Any]]:
    """One program for arrays of all these shapes, with its inputs and outputs."""
    tracer = Tracer()
    inputs = [tracer.input(shape, dtype) for shape in shapes]
    outputs = [one for x in inputs for one in function(tracer, x)]
    return Program(tracer, outputs), inputs, outputs


def run(made: tuple[Program, list[Any], list[Any]], arrays: list[np.ndarray], rows: int) -> list[np.ndarray]:
    """The outputs for arrays of so many rows."""
    printed, inputs, outputs = made
    given = {one.node: np.array(array) for one, array in zip(inputs, arrays, strict=True)}
    bound = BoundProgram(printed, rows, given, blas.find())
    bound.call()
    return [bound.output(one.node).copy() for one in outputs]


def tables(widths: Any, rows: int, dtype: str) -> list[np.ndarray]:
    """Normal numbers; from the fourth row on, some rows hold NaN and infinities."""
    made = [np.random.default_rng(width).normal(size=(70, width)).astype(dtype)[:rows] for width in widths]
    for table in made:
        table[3::7, 0], table[4::11, -1] = np.nan, np.inf
    return made


WIDTHS = [(range(first, first + 8), dtype) for first in range(1, 41, 8) for dtype in ROUNDINGS]
FEW = [(range(1, 9), "float32"), (range(9, 17), "float64"), (range(33, 41), "float32")]
every_width = pytest.mark.parametrize(
    ("widths", "dtype"),
    [
        pytest.param(
            *case, marks=[] if case in FEW else [pytest.mark.long], id=f"{case[0][0]} to {case[0][-1]} {case[1]}"
        )
        for case in WIDTHS
    ],
)


@every_width
def test_rows_of_every_width_are_what_numpy_makes_of_them(widths: range, dtype: str) -> None:
    made = program(along_rows, [(N, width) for width in widths], dtype)
    whole = run(made, tables(widths, 70, dtype), 70)
    for rows in ROWS:
        given = tables(widths, rows, dtype)
        with np.errstate(all="ignore"):
            expected = [one for x in given for one in along_rows(host, x)]
        for got, right, all_rows in zip(run(made, given, rows), expected, whole, strict=True):
            assert got.shape == right.shape and got.dtype == right.dtype
            np.testing.assert_allclose(got, right, rtol=ROUNDINGS[dtype], atol=ROUNDINGS[dtype])
            np.testing.assert_array_equal(got, all_rows[:rows])  # bits: whatever rows are beside a row


@every_width
def test_all_rows_together_are_what_numpy_makes_of_them(widths: range, dtype: str) -> None:
    made = program(down_columns, [(N, width) for width in widths], dtype)
    for rows in ROWS[1:]:
        given = [np.abs(x) if rows < 33 else np.nan_to_num(x, posinf=1.0) for x in tables(widths, rows, dtype)]
        with np.errstate(all="ignore"):
            expected = [one for x in given for one in down_columns(host, x)]
        for got, right in zip(run(made, given, rows), map(np.asarray, expected), strict=True):
            assert got.shape == right.shape and got.dtype == right.dtype
            np.testing.assert_allclose(got, right, rtol=10 * ROUNDINGS[dtype], atol=10 * ROUNDINGS[dtype])


@pytest.mark.parametrize("shape", [(3, N, 4), (N, 2, 6), (N, 3, 20), (2, N, 3, 5), (3, 40, 4)])
@pytest.mark.parametrize("axis", [-1, -2, 0, 1, (0, -1), (1, -1), None], ids=str)
def test_more_axes_than_two(shape: tuple, axis: Any) -> None:
    def function(xp: Any, x: Any) -> list[Any]:
        kept = xp.sum(x, axis=axis, keepdims=True)
        spread = xp.max(xp.abs(x - kept), axis=axis, keepdims=True)
        return [kept, (x - kept) / spread, xp.sum(xp.exp(-(x * x)), axis=-1), xp.min(x, axis=axis)]

    made = program(function, [shape], "float64")
    for rows in (1, 18, 35):
        x = np.random.default_rng(rows).normal(size=tuple(rows if dim is N else dim for dim in shape))
        with np.errstate(invalid="ignore"):  # a sum over one row less that row, over itself
            expected = function(host, x)
        for got, right in zip(run(made, [x], rows), expected, strict=True):
            np.testing.assert_allclose(got, right, rtol=1e-12, atol=1e-12)


def test_rows_of_every_length_in_bytes_are_gathered() -> None:
    """Step by step the rows of tables whose rows take 1 to 80, 4 and 8 bytes."""
    tracer = Tracer()
    data = [np.random.default_rng(i).integers(0, 9, (50, i)).astype("uint8") for i in (1, 3, 4, 8, 63, 64, 65, 80)]
    data += [np.arange(50, dtype="float64"), np.arange(50, dtype="int32")]
    inputs = [tracer.input((N, *part.shape[1:]), part.dtype) for part in data]
    loss = sum(tracer.sum(tracer.astype(one, "float64") * (3.0 + i)) for i, one in enumerate(inputs))
    made = Program(tracer, [loss])
    places = [np.zeros((6, *part.shape[1:]), part.dtype) for part in data]
    bound = BoundProgram(made, 6, {one.node: place for one, place in zip(inputs, places, strict=True)}, blas.find())
    order = np.random.default_rng(0).integers(0, 50, (7, 6))
    found, done = np.zeros(7), np.zeros(1, np.int64)
    bound.run_steps(Steps(data, [one.node for one in inputs], order, {}, loss.node, found, done))
    assert done[0] == 7
    for rows, got in zip(order, found, strict=True):
        assert got == sum(float(part[rows].astype(float).sum()) * (3.0 + i) for i, part in enumerate(data))
    for place, part in zip(places, data, strict=True):
        np.testing.assert_array_equal(place, part[order[-1]])


@pytest.mark.parametrize("axis", [0, 1])
def test_a_factor_of_a_product_may_lie_in_reverse(axis: int) -> None:
    def function(xp: Any, x: Any) -> list[Any]:
        row, turned = x[:1, ::-1], xp.flip(x, axis=axis)
        return [x[:1, :].mT @ row, row @ x.mT, turned @ x.mT, x.mT @ turned]

    x = np.random.default_rng(0).normal(size=(4, 5))
    for got, right in zip(run(program(function, [(4, 5)], "float64"), [x], 0), function(host, x), strict=True):
        np.testing.assert_allclose(got, right, rtol=1e-12, atol=1e-12)
