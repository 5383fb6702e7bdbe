"""Elementwise CUDA kernels whose threads have several entries: any beginning, any length, any layout, the same bits."""

import importlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import array_api_compat.numpy as host
import numpy as np
import pytest
from compiled import ON_DEVICES
from cuda_host import device
from devices import open_place

from mlpcore.backends.cupy.device import printed_device
from mlpcore.compiler.cuda.bound import BoundDeviceProgram
from mlpcore.compiler.cuda.program import DeviceProgram
from mlpcore.compiler.graph import N
from mlpcore.compiler.memory import aligned_bytes
from mlpcore.compiler.trace import Tracer

WIDTHS = {"float32": 4, "float64": 2}
EDGE = 77.0  # around every array: whoever writes there is seen


def formula(xp: Any, x: Any, y: Any) -> Any:
    """Some function of every entry, without rounding that could differ."""
    return xp.where(x > y, 2.5 * x - y, x * y)


def run(
    printer: str, function: Callable, arrays: list[np.ndarray], shapes: list[tuple], rows: int, offsets: list[int]
) -> tuple[DeviceProgram, list[np.ndarray]]:
    """The program of ``function(xp, *arrays)``, its first result written over the first array; and its results, where
    array i begins ``offsets[i]`` entries behind an aligned address."""
    tracer = Tracer()
    inputs = [tracer.input(shape, array.dtype) for shape, array in zip(shapes, arrays, strict=True)]
    first, *others = function(tracer, *inputs)
    program = DeviceProgram(tracer, others, [(first, inputs[0])])
    cupy = importlib.import_module("cupy") if printer.endswith("GPU") and open_place("cupy") else None
    there = device() if cupy is None else printed_device(cupy)
    begins, padded = [16 + offset for offset in offsets], []
    for array, begin in zip(arrays, begins, strict=True):
        # Behind the first array, which is written over, is room; the others end where their memory ends.
        count = begin + array.size + 16 * (not padded)
        whole = aligned_bytes(count * array.itemsize).view(array.dtype)
        whole[:] = EDGE
        whole[begin : begin + array.size] = array.reshape(-1)
        padded.append(whole)
    held = padded if cupy is None else [cupy.asarray(whole) for whole in padded]
    given = {one.node: whole[begin : begin + array.size]
             for one, whole, begin, array in zip(inputs, held, begins, arrays, strict=True)}  # fmt: skip
    bound = BoundDeviceProgram(program, rows, given, there)
    bound.call()
    after = held if cupy is None else [whole.get() for whole in held]
    made = [bound.output(one.node) for one in others]
    for i, (now, begin, array) in enumerate(zip(after, begins, arrays, strict=True)):
        end = begin + array.size
        assert (now[:begin] == EDGE).all() and (now[end:] == EDGE).all(), f"written around array {i}"
        assert i == 0 or (now[begin:end] == array.reshape(-1)).all(), f"array {i} was written over"
    over = after[0][begins[0] : begins[0] + arrays[0].size].reshape(arrays[0].shape)
    return program, [over, *(one if cupy is None else one.get() for one in made)]


def draws(*shape: int, dtype: str, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


@pytest.mark.parametrize("printer", ON_DEVICES)
@pytest.mark.parametrize("dtype", WIDTHS)
def test_any_beginning_and_any_length(dtype: str, printer: str) -> None:
    for length in (1, 2, 3, 4, 5, 7, 8, 9, 1023, 1024, 1025, 2051):
        for offsets in ([0, 0], [1, 0], [0, 3], [2, 2], [3, 1]):
            x, y = draws(length, dtype=dtype), draws(length, dtype=dtype, seed=1)
            # Known to be so long, and as many rows.
            for shape in ((length,), (N,)):
                program, found = run(
                    printer, lambda xp, x, y: [formula(xp, x, y), x + y], [x, y], [shape] * 2, length, offsets
                )
                wide = 2 * (shape[0] is N or length > 1)
                assert program.source.count(f"read_entries<{WIDTHS[dtype]}>(u") == wide
                assert program.source.count(f"write_entries<{WIDTHS[dtype]}>(&") == wide
                np.testing.assert_array_equal(found[0], formula(host, x, y))
                np.testing.assert_array_equal(found[1], x + y)


# Of x (n, c), a row (c,), a column (n, 1), and orders of rows and columns.
LAYOUTS: dict[str, Callable] = {
    "row": lambda xp, x, row, column, rows, columns: formula(xp, x, row),
    "column": lambda xp, x, row, column, rows, columns: formula(xp, x, column),
    "reversed": lambda xp, x, row, column, rows, columns: formula(xp, xp.flip(x, axis=1), x),
    "rows picked": lambda xp, x, row, column, rows, columns: xp.take(x, rows, axis=0) * row,
    "columns picked": lambda xp, x, row, column, rows, columns: xp.take(x, columns, axis=1) + x,
    "truths": lambda xp, x, row, column, rows, columns: xp.where(xp.logical_xor(x > row, x > column), x, 0.0),
    "a column beside": lambda xp, x, row, column, rows, columns: (column * 2.0 - 1.0) * x,
}


@pytest.mark.parametrize("printer", ON_DEVICES)
@pytest.mark.parametrize("dtype", WIDTHS)
def test_any_layout(dtype: str, printer: str) -> None:
    """Rows that are so many groups of entries, and others."""
    for columns in (1, 3, 4, 6, 8):
        x, row = draws(9, columns, dtype=dtype), draws(columns, dtype=dtype, seed=1)
        column, orders = draws(9, 1, dtype=dtype, seed=2), map(np.random.default_rng(3).permutation, (9, columns))
        arrays = [np.ones_like(x), x, row, column, *orders]
        shapes = [(N, columns), (N, columns), (columns,), (N, 1), (N,), (columns,)]

        def function(xp: Any, over: Any, *given: Any) -> list[Any]:
            made = [layout(xp, *given) for layout in LAYOUTS.values()]
            return [made[0] - over, *made, *(xp.where(one > 0, one, -one) for one in made)]

        for offsets in ([0] * 6, [1, 2, 3, 1, 1, 1]):
            _, found = run(printer, function, arrays, shapes, 9, offsets)
            for name, one, right in zip(["over", *LAYOUTS, *LAYOUTS], found, function(host, *arrays), strict=True):
                np.testing.assert_array_equal(one, right, err_msg=f"{name}, {columns} columns")


@pytest.mark.parametrize("dtype", WIDTHS)
def test_as_few_threads_as_there_are_groups_of_entries(dtype: str) -> None:
    blocks = []
    there = replace(device(), kernel=lambda code, name, shared: lambda count, *_: blocks.append(count))
    for length in (1, 1024, 1025, 4096, 4097):
        tracer = Tracer()
        x = tracer.input((N,), dtype)
        BoundDeviceProgram(DeviceProgram(tracer, [x * 2.0]), length, {x.node: draws(length, dtype=dtype)}, there).call()
    assert blocks == ([1, 1, 2, 4, 5] if dtype == "float32" else [1, 2, 3, 8, 9])


@pytest.mark.parametrize("dtype", WIDTHS)
def test_entries_with_gaps_are_read_one_by_one(dtype: str) -> None:
    tracer = Tracer()
    x = tracer.input((N, 12), dtype)
    source = DeviceProgram(tracer, [x[:, ::2] + 1.0, tracer.flip(x, axis=1) * 2.0]).source
    assert source.count("read_entries<") == 0 and source.count("write_entries<") == 2
