"""A traced function as a compiled library, with the memory that it works in."""

import ctypes
import threading
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from mlpcore.compiler import pool
from mlpcore.compiler.arrays import TracedArray
from mlpcore.compiler.blas import Blas
from mlpcore.compiler.build import build
from mlpcore.compiler.c import Printer
from mlpcore.compiler.chunk import Steps, StepStruct, chunk
from mlpcore.compiler.graph import Node, known
from mlpcore.compiler.phases import work
from mlpcore.compiler.places import size
from mlpcore.compiler.schedule import Schedule
from mlpcore.compiler.tiling import DEFAULT, Tiling
from mlpcore.compiler.trace import Tracer
from mlpcore.compiler.workspace import Workspace

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
        tiling: Tiling = DEFAULT,
    ) -> None:
        self.tracer, self.tiling = tracer, tiling
        pairs = apart(tracer, replaced)
        tracer.graph.outputs = [one.node for one in (*outputs, *(new for new, _ in pairs))]
        self.schedule = Schedule(tracer.graph)
        self.replaced = [(new.node, old.node) for new, old in pairs]
        self._printing, self._text = threading.Lock(), ""
        self._printer = Printer(self.schedule, self.replaced, tiling)
        self.storage = self._printer.storage
        self.work = work(self.schedule, self.storage.phases)

    @property
    def source(self) -> str:
        """The C, printed when it is first asked for; its arrays, numbers and sums are known from then on."""
        with self._printing:  # once: models in other threads may share the program
            if not self._text:
                self._text = self._printer.text()
            return self._text

    @property
    def sums(self) -> list[int]:
        """The bytes of the partial results of every phase."""
        return self._printer.sums

    def largest_product(self, rows: int) -> int:
        """The multiplications of its largest product of matrices, for so many rows."""
        products = [node for node in self.schedule.nodes if node.kind == "matmul"]
        return max((size((*node.shape, node.inputs[0].shape[-1])).at(rows) for node in products), default=0)

    def __str__(self) -> str:
        return str(self.schedule)


class Bound:
    """A program with memory for batches of ``rows`` rows; ``given`` are the arrays of its inputs.

    With ``fewer`` it can be called for fewer rows too. ``threads`` run the tiles of its phases, by default as many as
    `pool.threads` says; the results are the same.
    """

    def __init__(
        self,
        program: Program,
        rows: int,
        given: dict[Node, np.ndarray],
        blas: Blas,
        threads: int | None = None,
        fewer: bool = False,
    ) -> None:
        source, storage, tiling = program.source, program.storage, program.tiling
        self.program, self.rows, data = program, rows, program.tracer.data
        each = tiling.largest(rows, program.work) if fewer else tiling.of_rows(rows, program.work.at(rows))
        tiles = min(tiling.most, rows) if fewer else -(-rows // each) if each else 1
        own = [one for one in storage.arrays if one not in given and one not in data and one.name != "number"]
        memory = Workspace(storage, program.sums, own, rows, each, tiles)
        self.bytes = memory.length
        self.arrays = dict(given)
        for whole, piece in memory.pieces.items():
            self.arrays[whole] = piece.reshape(known(whole.shape, each if whole in storage.local else rows))
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
        self._once.argtypes, self._chunk.argtypes = [ctypes.c_void_p], [ctypes.c_void_p] * 2
        threads = min(pool.threads() if threads is None else threads, tiling.most)
        self._outputs: dict[tuple[Node, int], np.ndarray] = {}
        self._memory = memory
        arrays = (self.addresses, self.numbers, memory.strides, memory.sums)
        p, c, strides, sums = (one.ctypes.data for one in arrays)
        self._step = StepStruct(p, c, 0, 0, 0, threads, strides, sums, blas.sgemm, blas.dgemm, None)
        self._set_rows(rows)

    def _set_rows(self, rows: int) -> None:
        """Cut so many rows into their tiles."""
        each = self.program.tiling.of_rows(rows, self.program.work.at(rows))
        tiles = -(-rows // each) if each else 1
        cut = [phase for phase in self.program.storage.phases if phase.tiles(tiles) > 1]
        # Whether products run in tiles, on threads of this library: BLAS should have one thread meanwhile.
        self.in_tiles = any(item.kind == "matmul" for phase in cut for item in phase.items if isinstance(item, Node))
        self._step.rows, self._step.each, self._step.tiles = rows, each, tiles
        self._step.run = pool.address() if cut and self._step.threads > 1 else None

    def call(self, rows: int | None = None) -> None:
        """Compute the outputs from the inputs as they stand in their arrays, of which the first ``rows`` rows count."""
        if rows is not None and rows != self._step.rows:
            self._set_rows(rows)
        self._once(ctypes.addressof(self._step))

    def walk(self, steps: Steps) -> np.ndarray:
        """The losses of the steps, fewer than asked for where the time was up before."""
        arrays, before = self.program.storage.arrays, self.addresses.copy()
        at = {arrays.index(node): drawn for node, drawn in steps.draws.items() if node in arrays}
        losses = np.empty(len(steps.order), steps.loss.dtype)
        batch = [self.arrays[node] for node in steps.inputs]
        struct, kept = chunk(steps.order, steps.data, batch, at, losses, self.output(steps.loss), steps.seconds)
        done = self._chunk(ctypes.addressof(self._step), ctypes.addressof(struct))
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
        made = self._outputs[node, rows] = np.lib.stride_tricks.as_strided(base, known(node.shape, rows), strides)
        return made


def apart(tracer: Tracer, replaced: Sequence[tuple[TracedArray, TracedArray]]) -> list[tuple[TracedArray, TracedArray]]:
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
