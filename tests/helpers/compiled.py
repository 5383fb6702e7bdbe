"""Functions compiled by `mlpcore.compiler`, for tests: trace, build, call."""

import importlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
from cuda_host import device, needed
from devices import gpu, open_place

from mlpcore.backends import get_backend
from mlpcore.backends.cupy.device import printed_device
from mlpcore.compiler import blas
from mlpcore.compiler.build import find_compiler
from mlpcore.compiler.cuda.bound import BoundDeviceProgram
from mlpcore.compiler.cuda.program import DeviceProgram
from mlpcore.compiler.graph import N, Node, RowsNeeded
from mlpcore.compiler.numpy_calls import NumpyCalls, layout
from mlpcore.compiler.program import BoundProgram, Program
from mlpcore.compiler.tiling import DEFAULT, Tiling
from mlpcore.compiler.trace import Tracer
from mlpcore.random import Stream
from mlpcore.training.parameters import fresh_state
from mlpcore.training.rules import Rules
from mlpcore.training.step import make_step
from mlpcore.trees import Layout, leaves, tree_map
from mlpcore.typing import Batch, State

needs_compiler = pytest.mark.skipif(
    find_compiler() is None or blas.find() is None, reason="no C compiler, or no BLAS that could be found"
)
# Models with ``compile=way``.
WAYS = pytest.mark.parametrize(
    "way", [pytest.param(True, marks=needs_compiler, id="C"), pytest.param(False, id="NumPy calls")]
)
ON_DEVICES = [pytest.param("CUDA", marks=needed), gpu("CUDA on a GPU")]  # the first on the CPU, by g++
PRINTERS = [pytest.param("C", marks=needs_compiler), "NumPy", "NumPy in tiles", *ON_DEVICES]
# Tiles of a row, of an entry and of a column, three of them; sums over rows in both ways.
FORCED = [Tiling(3, rows=1, many=1, work=1, entries=1, sum=most, columns=1) for most in (1, 1 << 30)]
IN_TILES = "C in tiles"  # on three threads
TILED = [*PRINTERS, pytest.param(IN_TILES, marks=needs_compiler)]


def program_of(printer: str, tiling: Tiling = DEFAULT) -> Callable[..., Any]:
    """What a printer makes of a graph."""
    if printer.startswith("CUDA"):
        return DeviceProgram
    return partial(Program, tiling=FORCED[0] if printer == IN_TILES and tiling is DEFAULT else tiling)


class OnGpu:
    """A program on a CUDA device: every call sends the arrays ``given`` there and brings back what became of them."""

    def __init__(self, program: DeviceProgram, rows: int, given: dict[Node, np.ndarray]) -> None:
        self.backend, self.given = open_place("cupy"), given
        with self.backend.scope("float64"):
            cupy = importlib.import_module("cupy")
            self.there = {node: cupy.asarray(array.reshape(-1)) for node, array in given.items()}
            self.bound = BoundDeviceProgram(program, rows, self.there, printed_device(cupy))

    def call(self) -> None:
        """As `BoundDeviceProgram.call`."""
        for node, array in self.given.items():
            self.there[node].set(array.reshape(-1))
        self.bound.call()
        for node, array in self.given.items():
            array[...] = self.there[node].get().reshape(array.shape)

    def output(self, node: Node) -> np.ndarray:
        """As `BoundDeviceProgram.output`."""
        return self.bound.output(node).get()


def bind(
    program: Any, rows: int, given: dict[Node, np.ndarray], printer: str, threads: int = 1
) -> BoundProgram | NumpyCalls | BoundDeviceProgram | OnGpu:
    """A program of `program_of` with its memory; NumPy calls in tiles so small that all loops have some."""
    if printer == "CUDA":
        return BoundDeviceProgram(
            program, rows, {node: array.reshape(-1) for node, array in given.items()}, device(backwards=True)
        )
    if printer == "CUDA on a GPU":
        return OnGpu(program, rows, given)
    if printer in ("C", IN_TILES):
        return BoundProgram(program, rows, given, blas.find(), 3 if printer == IN_TILES else threads)
    with pytest.MonkeyPatch.context() as patch:
        if printer == "NumPy in tiles":
            patch.setattr(layout, "TILE", 8)
            patch.setattr(layout, "TALL", 2)
        return NumpyCalls(program, rows, given)


def call(
    function: Callable,
    arrays: Sequence[np.ndarray],
    shapes: Sequence[tuple],
    rows: int,
    printer: str = "C",
    tiling: Tiling = DEFAULT,
    threads: int = 1,
) -> list[np.ndarray]:
    """``function(xp, *arrays)`` compiled; ``N`` in the shapes stands for the number of rows."""
    tracer = Tracer()
    inputs = [tracer.input(shape, array.dtype) for shape, array in zip(shapes, arrays, strict=True)]
    outputs = function(tracer, *inputs)
    program = program_of(printer, tiling)(tracer, outputs)
    given = {one.node: np.array(array, order="C") for one, array in zip(inputs, arrays, strict=True)}
    bound = bind(program, rows, given, printer, threads)
    bound.call()
    return [bound.output(one.node).copy() for one in outputs]


def network_step(net: Any, loss: Any, optimizer: Any, dtype: str, rules: Rules) -> tuple[Callable, State]:
    """A step, and the state before the first one."""
    params = net.init(Stream(0, "init"), dtype)
    layout = Layout(params)
    state = fresh_state(params, layout, optimizer, get_backend("numpy"), bool(rules.ema))
    return make_step(net, loss, optimizer, layout, rules), state


class CompiledStep(NamedTuple):
    """A step bound to the arrays ``state``, which it writes over, and ``batch``; their nodes, and that of the loss."""

    bound: BoundProgram | NumpyCalls | BoundDeviceProgram | OnGpu
    state: State
    batch: Batch
    inputs: Batch
    loss: Node


def compiled_step(
    step: Callable,
    state: State,
    batch: Batch,
    printer: str,
    rows: Any = N,
    tiling: Tiling = DEFAULT,
    threads: int = 1,
) -> CompiledStep:
    """The step compiled for batches like this one; ``state`` is held by it."""
    tracer = Tracer()
    old = tree_map(lambda leaf: tracer.input(np.shape(leaf), np.asarray(leaf).dtype), state)
    inputs = tree_map(lambda leaf: tracer.input((rows, *leaf.shape[1:]), leaf.dtype), batch._replace(noise=()))
    # The rows are the axis -2 of noise; before it there may be others, such as that of `Members`.
    noise = tree_map(lambda leaf: tracer.input((*leaf.shape[:-2], rows, leaf.shape[-1]), leaf.dtype), batch.noise)
    inputs = inputs._replace(noise=noise)
    try:
        new, loss = step(old, inputs)
    except RowsNeeded:
        return compiled_step(step, state, batch, printer, batch.x.shape[0], tiling, threads)
    program = program_of(printer, tiling)(tracer, [loss], list(zip(leaves(new), leaves(old), strict=True)))
    places = tree_map(np.array, batch)
    nodes = [one.node for one in (*leaves(old), *leaves(inputs))]
    given = dict(zip(nodes, [*leaves(state), *leaves(places)], strict=True))
    bound = bind(program, batch.x.shape[0], given, printer, threads)
    return CompiledStep(bound, state, places, tree_map(lambda one: one.node, inputs), loss.node)
