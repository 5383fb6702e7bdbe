"""Arrays in all their layouts, in both printers: tiles, views, constants, none at all."""

from collections.abc import Callable
from typing import Any

import array_api_compat.numpy as host
import numpy as np
import pytest
from compiled import PRINTERS, bind, call, program_of

from mlpcore.compiler.graph import N
from mlpcore.compiler.program import Program
from mlpcore.compiler.trace import Tracer


@pytest.fixture(params=PRINTERS)
def printer(request: Any) -> str:
    """What a program is printed as."""
    return request.param


def test_arrays_of_many_tiles(printer: str) -> None:
    """Reductions along rows, down columns and over all, and what reads them, for more than a cache holds."""
    x = np.random.default_rng(0).normal(size=(3000, 50))

    def function(xp: Any, x: Any) -> list[Any]:
        y = xp.exp(0.1 * x) - 1.5
        z = xp.where(xp.isfinite(y), y, 0.0) / xp.sum(y * y, axis=1, keepdims=True)
        return [z, xp.max(z), xp.sum(z, axis=0), xp.any(z > 1.0, axis=0), xp.min(xp.sum(z, axis=1)), xp.maximum(z, 0.1)]

    for got, right in zip(call(function, [x], [(N, 50)], 3000, printer), function(host, x), strict=True):
        np.testing.assert_allclose(got, right, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_that_many_threads_share(dtype: str, printer: str) -> None:
    """A row of thousands of entries, which takes a block of threads on a device, reduced in three steps that wait."""
    x = np.random.default_rng(0).normal(size=(7, 3001)).astype(dtype)
    x[3, [11, 2999]] = 9.0

    def function(xp: Any, x: Any) -> list[Any]:
        largest = xp.max(x, axis=1, keepdims=True)
        y = xp.exp(x - largest)
        z = y / xp.sum(y, axis=1, keepdims=True)
        return [z, xp.sum(z * x, axis=1), xp.argmax(x, axis=1), xp.any(x > 3.0, axis=1)]

    eps = np.finfo(dtype).eps
    for got, right in zip(call(function, [x], [(N, 3001)], 7, printer), function(host, x), strict=True):
        np.testing.assert_allclose(got, right, rtol=200 * eps, atol=20 * eps)


def test_parts_of_stacks_of_rows(printer: str) -> None:
    """Entries whose place depends on the number of rows and is no multiple of it."""
    x = np.random.default_rng(0).normal(size=(3, 5, 4))

    def function(xp: Any, x: Any) -> list[Any]:
        parts = [x[1:, :, 1:], x[1, :, ::-1], x[::-1, :, 2], x[2, :, 3], x[-2:, :, 1:3]]
        return [*(2.0 * part for part in parts), x[1:, :, 1:] + x[:2, :, :3], xp.sum(x[1:, :, 1:], axis=-1)]

    for got, right in zip(call(function, [x], [(3, N, 4)], 5, printer), function(host, x), strict=True):
        np.testing.assert_allclose(got, right, rtol=1e-14)


VIEWS: dict[str, Callable] = {
    "flat": lambda xp, y: xp.reshape(y, (-1,)),
    "in parts": lambda xp, y: xp.reshape(y, (-1, 2, 3))[:, 1, :],
    "reversed": lambda xp, y: y[:, ::-1],
    "transposed": lambda xp, y: y.T,
    "columns": lambda xp, y: y[:, 1:3],
}


@pytest.mark.parametrize("view", VIEWS)
def test_views_of_an_array_whose_rows_are_reduced(view: str, printer: str) -> None:
    x = np.random.default_rng(0).normal(size=(40, 6))

    def function(xp: Any, x: Any) -> list[Any]:
        y = xp.exp(x)
        z = y / xp.sum(y, axis=1, keepdims=True)
        return [3.0 * VIEWS[view](xp, z), VIEWS[view](xp, y)]

    for got, right in zip(call(function, [x], [(40, 6)], 40, printer), function(host, x), strict=True):
        np.testing.assert_allclose(got, right, rtol=1e-12)


def test_constants_in_a_concatenation_outlast_a_call(printer: str) -> None:
    tracer = Tracer()
    x = tracer.input((3,), "float64")
    result = 2.0 * tracer.concat([x + 1.0, tracer.ones(4), x], axis=0) + 1.0
    bound = bind(program_of(printer)(tracer, [result]), 0, {x.node: np.arange(3.0)}, printer)
    for _ in range(3):
        bound.call()
        np.testing.assert_array_equal(bound.output(result.node), [3, 5, 7, 3, 3, 3, 3, 1, 3, 5])


def test_the_largest_of_no_entries_is_below_all(printer: str) -> None:
    """Eager NumPy refuses; a compiled step does not look."""
    largest, smallest = call(lambda xp, x: [xp.max(x, axis=0), xp.min(x)], [np.ones((0, 4))], [(0, 4)], 0, printer)
    assert largest.tolist() == [-np.inf] * 4 and smallest == np.inf


def test_arrays_without_entries(printer: str) -> None:
    def function(xp: Any, x: Any, w: Any) -> list[Any]:
        y = xp.tanh(x @ w) + 1.0
        return [y, xp.sum(y), xp.sum(y, axis=0), xp.all(y > 0, axis=0), xp.sum(y, axis=1), xp.argmax(y, axis=1)]

    arrays = [np.ones((0, 4)), np.ones((4, 3))]
    for got, right in zip(call(function, arrays, [(0, 4), (4, 3)], 0, printer), function(host, *arrays), strict=True):
        assert got.shape == right.shape and got.dtype == right.dtype
        np.testing.assert_array_equal(got, right)


@pytest.mark.parametrize("name", ["isfinite", "isinf", "isnan", "signbit"])
def test_questions_of_an_array_that_lies_another_way(name: str, printer: str) -> None:
    """NumPy 2.4 writes wrong answers into an array with gaps; here the answers go column by column."""
    x = np.random.default_rng(0).normal(size=(40, 33))
    x[::3], x[1::3] = np.inf, np.nan

    def function(xp: Any, x: Any) -> list[Any]:
        answer = getattr(xp, name)(x)
        return [answer, xp.max(xp.astype(answer, xp.float64), axis=1)]

    for got, right in zip(call(function, [x], [(N, 33)], 40, printer), function(host, x), strict=True):
        np.testing.assert_array_equal(got, right)


def test_programs_tell_how_large_their_largest_product_is() -> None:
    tracer = Tracer()
    x, w = tracer.input((N, 5), "float32"), tracer.input((5, 7), "float32")
    program = Program(tracer, [tracer.sum((x @ w) @ w.mT)])
    assert program.largest_product(11) == 11 * 5 * 7


@pytest.mark.parametrize("rows", [1, 300, 20_000])
def test_single_numbers_made_of_one_sum(rows: int, printer: str) -> None:
    """A device computes them where the sum is known, which for many entries is a kernel of its own."""

    def function(xp: Any, x: Any, count: Any) -> list[Any]:
        largest = xp.max(xp.abs(x))
        good = xp.isfinite(largest)
        new = xp.where(good, count + 1.0, count)
        return [largest / 3.0, new, x / xp.where(largest > 0, largest * new, 1.0)]

    tracer = Tracer()
    arrays = [np.random.default_rng(0).normal(size=rows), np.array(5.0)]
    x, count = tracer.input((N,), "float64"), tracer.input((), "float64")
    scaled, new, divided = function(tracer, x, count)
    given = {x.node: arrays[0], count.node: np.array(5.0)}
    program = program_of(printer)(tracer, [scaled, divided], [(new, count)])
    bound = bind(program, rows, given, printer)
    for _ in range(2):
        bound.call()
        right = function(host, *arrays)
        np.testing.assert_allclose(bound.output(scaled.node), right[0], rtol=1e-14)
        np.testing.assert_allclose(given[count.node], right[1])
        np.testing.assert_allclose(bound.output(divided.node), right[2], rtol=1e-14)
        arrays[1] = right[1]
    if printer.startswith("CUDA"):
        assert len(bound.launches if printer == "CUDA" else bound.bound.launches) == 2
