"""A traced function as a compiled library, with the memory that it works in."""

import ctypes
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from mlpcore.compiler.blas import Blas
from mlpcore.compiler.build import build
from mlpcore.compiler.c import Printer
from mlpcore.compiler.graph import Node
from mlpcore.compiler.memory import ALIGNMENT, arena
from mlpcore.compiler.places import size
from mlpcore.compiler.schedule import Schedule
from mlpcore.compiler.trace import TracedArray, Tracer


@lru_cache(maxsize=256)
def library(text: str) -> ctypes.CDLL:
    """The library of a text, compiled once in a process."""
    return build(text)


class Program:
    """The C of a traced function; ``replaced`` are pairs of an output and the input over which it is written."""

    def __init__(
        self,
        tracer: Tracer,
        inputs: Sequence[TracedArray],
        outputs: Sequence[TracedArray],
        replaced: Sequence[tuple[TracedArray, TracedArray]] = (),
    ) -> None:
        self.tracer = tracer
        tracer.graph.outputs = [one.node for one in (*outputs, *(new for new, _ in replaced))]
        self.inputs = [one.node for one in inputs]
        self.schedule = Schedule(tracer.graph)
        self.printer = Printer(self.schedule, [(new.node, old.node) for new, old in replaced])
        self.source = self.printer.text()

    def __str__(self) -> str:
        return str(self.schedule)


class Bound:
    """A program with memory for batches of ``rows`` rows; ``given`` are the arrays of its inputs."""

    def __init__(self, program: Program, rows: int, given: dict[Node, np.ndarray], blas: Blas) -> None:
        printer, schedule = program.printer, program.schedule
        self.program, self.rows, self.blas = program, rows, blas
        data = program.tracer.data
        kept = {schedule.places[one].root for one in program.tracer.graph.outputs}
        own = [one for one in printer.arrays if one not in given and one not in data and one.name != "number"]
        spans = []
        for whole in own:
            items = [n for n, item in enumerate(schedule.items) if _touches(printer, item, whole)]
            first, last = (0, len(schedule.items)) if whole in kept else (min(items), max(items))
            spans.append((first, last, size(whole.shape).at(rows) * whole.dtype.itemsize))
        offsets, length = arena(spans)
        memory = np.zeros(length + ALIGNMENT, np.uint8)
        begin = -memory.ctypes.data % ALIGNMENT
        self.arrays = dict(given)
        for whole, offset, (_, _, count) in zip(own, offsets, spans, strict=True):
            piece = memory[begin + offset : begin + offset + count].view(whole.dtype)
            self.arrays[whole] = piece.reshape(_shape(whole, rows))
        for whole in printer.arrays:
            if whole in data:
                self.arrays[whole] = np.ascontiguousarray(data[whole])
            elif whole.name == "number":
                self.arrays[whole] = np.full((), dict(whole.attributes)["value"], whole.dtype)
        self.addresses = np.array([self.arrays[one].ctypes.data for one in printer.arrays], dtype=np.uintp)
        self.numbers = np.array([dict(one.attributes)["value"] for one in printer.numbers], dtype=np.float64)
        loaded = library(program.source)
        self.run, self.step = loaded.mlpcore_run, loaded.mlpcore_call
        self.run.restype, self.step.restype = ctypes.c_int64, None
        pointer, whole_number = ctypes.c_void_p, ctypes.c_int64
        self.step.argtypes = [pointer, pointer, whole_number, pointer, pointer]
        self.run.argtypes = [*self.step.argtypes, pointer]
        self.words = (self.addresses.ctypes.data, self.numbers.ctypes.data, rows, blas.sgemm, blas.dgemm)

    def output(self, node: Node) -> np.ndarray:
        """The array of an output, as it lies."""
        place = self.program.schedule.places[node]
        whole, offset = place.root, place.offset
        while whole in self.program.printer.home:
            whole, more = self.program.printer.home[whole]
            offset = offset.plus(more)
        base = self.arrays[whole].reshape(-1)[offset.at(self.rows) :]
        strides = tuple(one.at(self.rows) * base.itemsize for one in place.strides)
        return np.lib.stride_tricks.as_strided(base, _shape(node, self.rows), strides)


def _shape(node: Node, rows: int) -> tuple[int, ...]:
    return tuple(dim if isinstance(dim, int) else rows for dim in node.shape)


def _touches(printer: Printer, item: Any, whole: Node) -> bool:
    schedule = printer.schedule
    for node in [item] if isinstance(item, Node) else item.members:
        for root in (node, *(schedule.source(node, one).root for one in node.inputs)):
            while root in printer.home:
                root = printer.home[root][0]
            if root is whole:
                return True
    return False
