"""A traced function as a compiled library, with the memory that it works in."""

import ctypes
from collections.abc import Sequence
from functools import cached_property, lru_cache

import numpy as np

from mlpcore.compiler.arrays import TracedArray
from mlpcore.compiler.blas import Blas
from mlpcore.compiler.build import build
from mlpcore.compiler.c import Printer
from mlpcore.compiler.chunk import Steps, chunk
from mlpcore.compiler.graph import Node
from mlpcore.compiler.memory import aligned, arena
from mlpcore.compiler.places import size
from mlpcore.compiler.schedule import Item, Schedule, nodes_of
from mlpcore.compiler.storage import Storage
from mlpcore.compiler.trace import Tracer

OUTPUTS = 64  # views of outputs that are kept, as making one takes longer than a small function


@lru_cache(maxsize=256)
def library(text: str) -> ctypes.CDLL:
    """The library of a text, compiled once in a process."""
    return build(text)


class Program:
    """The C of a traced function; ``replaced`` are pairs of an output and the input over which it is written."""

    def __init__(
        self,
        tracer: Tracer,
        outputs: Sequence[TracedArray],
        replaced: Sequence[tuple[TracedArray, TracedArray]] = (),
    ) -> None:
        self.tracer = tracer
        pairs = _apart(tracer, replaced)
        tracer.graph.outputs = [one.node for one in (*outputs, *(new for new, _ in pairs))]
        self.schedule = Schedule(tracer.graph)
        self.replaced = [(new.node, old.node) for new, old in pairs]
        self._printer = Printer(self.schedule, self.replaced)
        self.storage = self._printer.storage

    @cached_property
    def source(self) -> str:
        """The C, printed when it is asked for; its arrays and numbers are those of ``storage`` from then on."""
        return self._printer.text()

    def largest_product(self, rows: int) -> int:
        """The multiplications of its largest product of matrices, for so many rows."""
        products = [node for node in self.schedule.nodes if node.kind == "matmul"]
        return max((size((*node.shape, node.inputs[0].shape[-1])).at(rows) for node in products), default=0)

    def __str__(self) -> str:
        return str(self.schedule)


class Bound:
    """A program with memory for batches of up to ``rows`` rows; ``given`` are the arrays of its inputs."""

    def __init__(self, program: Program, rows: int, given: dict[Node, np.ndarray], blas: Blas) -> None:
        source, storage, schedule = program.source, program.storage, program.schedule
        self.program, self.rows = program, rows
        data = program.tracer.data
        kept = {schedule.places[one].root for one in program.tracer.graph.outputs}
        own = [one for one in storage.arrays if one not in given and one not in data and one.name != "number"]
        spans = []
        for whole in own:
            items = [n for n, item in enumerate(schedule.items) if _touches(storage, schedule, item, whole)]
            first, last = (0, len(schedule.items)) if whole in kept else (min(items), max(items))
            spans.append((first, last, size(whole.shape).at(rows) * whole.dtype.itemsize))
        offsets, length = arena(spans)
        memory = aligned(length)
        self.arrays = dict(given)
        for whole, offset, (_, _, count) in zip(own, offsets, spans, strict=True):
            piece = memory[offset : offset + count].view(whole.dtype)
            self.arrays[whole] = piece.reshape(_shape(whole, rows))
        for whole in storage.arrays:
            if whole in data:
                self.arrays[whole] = np.ascontiguousarray(data[whole])
            elif whole.name == "number":
                self.arrays[whole] = np.full((), dict(whole.attributes)["value"], whole.dtype)
        self.addresses = np.array([self.arrays[one].ctypes.data for one in storage.arrays], dtype=np.uintp)
        self.numbers = np.array([dict(one.attributes)["value"] for one in storage.numbers], dtype=np.float64)
        loaded = library(source)
        self._once, self._chunk = loaded.mlpcore_call, loaded.mlpcore_run
        self._once.restype, self._chunk.restype = None, ctypes.c_int64
        pointer, whole_number = ctypes.c_void_p, ctypes.c_int64
        self._once.argtypes = [pointer, pointer, whole_number, pointer, pointer]
        self._chunk.argtypes = [*self._once.argtypes, pointer]
        self._before = (self.addresses.ctypes.data, self.numbers.ctypes.data)
        self._after = (blas.sgemm, blas.dgemm)
        self._outputs: dict[tuple[Node, int], np.ndarray] = {}

    def call(self, rows: int | None = None) -> None:
        """Compute the outputs from the inputs as they stand in their arrays, of which the first ``rows`` rows count."""
        self._once(*self._before, self.rows if rows is None else rows, *self._after)

    def walk(self, steps: Steps) -> np.ndarray:
        """The losses of the steps, fewer than asked for where the time was up before."""
        arrays, before = self.program.storage.arrays, self.addresses.copy()
        at = {arrays.index(node): drawn for node, drawn in steps.draws.items() if node in arrays}
        losses = np.empty(len(steps.order), steps.loss.dtype)
        batch = [self.arrays[node] for node in steps.inputs]
        struct, kept = chunk(steps.order, steps.data, batch, at, losses, self.output(steps.loss), steps.seconds)
        done = self._chunk(*self._before, self.rows, *self._after, ctypes.addressof(struct))
        del kept  # the struct points into these
        self.addresses[:] = before  # where the draws were read
        return losses[:done]

    def output(self, node: Node, rows: int | None = None) -> np.ndarray:
        """The array of an output, as it lies after a call for as many rows."""
        rows = self.rows if rows is None else rows
        if (node, rows) in self._outputs:
            return self._outputs[node, rows]
        place = self.program.schedule.places[node]
        whole, begin = self.program.storage.whole(place.root)
        offset = begin.plus(place.offset)
        base = self.arrays[whole].reshape(-1)[offset.at(rows) :]
        strides = tuple(one.at(rows) * base.itemsize for one in place.strides)
        if len(self._outputs) >= OUTPUTS:
            self._outputs.clear()
        made = self._outputs[node, rows] = np.lib.stride_tricks.as_strided(base, _shape(node, rows), strides)
        return made


def _shape(node: Node, rows: int) -> tuple[int, ...]:
    return tuple(dim if isinstance(dim, int) else rows for dim in node.shape)


def _touches(storage: Storage, schedule: Schedule, item: Item, whole: Node) -> bool:
    """Whether an item reads or writes an array."""
    nodes = list(nodes_of(item))
    roots = [*nodes, *(schedule.source(node, one).root for node in nodes for one in node.inputs)]
    return any(storage.whole(root)[0] is whole for root in roots)


def _apart(
    tracer: Tracer, replaced: Sequence[tuple[TracedArray, TracedArray]]
) -> list[tuple[TracedArray, TracedArray]]:
    """The pairs that change anything; a new value that is no result of its own, such as another old one, is copied."""
    pairs, seen = [], set()
    for number, (new, old) in enumerate(replaced):
        if new.node is old.node:
            continue
        if new.node.kind in ("input", "constant", "view") or new.node in seen:
            words = {"output": number}  # so that every output has a copy of its own
            node = tracer.graph.add("copy", "elementwise", (new.node,), new.shape, new.dtype, "", **words)
            new = tracer.wrap(node)
        seen.add(new.node)
        pairs.append((new, old))
    return pairs
