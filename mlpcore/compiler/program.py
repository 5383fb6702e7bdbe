"""A traced function as a compiled C library, and its memory."""

import ctypes
import math
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np

from mlpcore.compiler import pool
from mlpcore.compiler.arrays import TracedArray
from mlpcore.compiler.blas import Blas
from mlpcore.compiler.build import build
from mlpcore.compiler.c import CPrinter
from mlpcore.compiler.chunk import Steps, StepStruct, chunk_struct
from mlpcore.compiler.graph import Node, concrete
from mlpcore.compiler.once import Once, tracing
from mlpcore.compiler.phases import work
from mlpcore.compiler.places import size
from mlpcore.compiler.schedule import Schedule
from mlpcore.compiler.tiling import DEFAULT, Tiling
from mlpcore.compiler.trace import Tracer
from mlpcore.compiler.workspace import Workspace

LIBRARIES = 64  # loaded at a time beside those of programs in use; each takes some 30 kB
OUTPUTS = 64  # cached views of outputs; making one takes longer than a small function


@partial(Once, kept=LIBRARIES)
def library(text: str) -> ctypes.CDLL:
    """The library of a C text, compiled once per process; it is unloaded when this cache and all programs drop it.

    Take functions as ``library[name]``: an attribute would be kept by the library, which would keep itself.
    """
    loaded = build(text)
    # Not at the end of the process, where other threads may still run its functions.
    weakref.finalize(loaded, _unload, loaded._handle).atexit = False
    return loaded


def _unload(handle: int) -> None:
    ctypes.CDLL(None).dlclose(ctypes.c_void_p(handle))


class Program:
    """The C text of a traced function. ``replaced`` are pairs (output, input): the output is written over the input."""

    def __init__(
        self,
        tracer: Tracer,
        outputs: Sequence[TracedArray],
        replaced: Sequence[tuple[TracedArray, TracedArray]] = (),
        tiling: Tiling = DEFAULT,
    ) -> None:
        self.tracer, self.tiling = tracer, tiling
        pairs = distinct_updates(tracer, replaced)
        tracer.graph.outputs = [output.node for output in (*outputs, *(new for new, _ in pairs))]
        self.schedule = Schedule(tracer.graph)
        self.replaced = [(new.node, old.node) for new, old in pairs]
        self._text = ""
        self._printer = CPrinter(self.schedule, self.replaced, tiling)
        self.storage = self._printer.storage
        self.work = work(self.schedule, self.storage.phases)

    @property
    def source(self) -> str:
        """The C text, printed at first access; this also sets ``storage.arrays``, ``storage.numbers`` and ``sums``."""
        if not self._text:
            with tracing:  # models in other threads may share the program
                self._text = self._text or self._printer.text()
        return self._text

    @property
    def sums(self) -> list[int]:
        """The bytes of the partial results of a tile, for every phase."""
        return self._printer.sums

    def largest_product(self, rows: int) -> int:
        """The multiplications of the largest matrix product, for a number of rows."""
        products = [node for node in self.schedule.nodes if node.kind == "matmul"]
        return max((size((*node.shape, node.inputs[0].shape[-1])).at(rows) for node in products), default=0)

    def __str__(self) -> str:
        return str(self.schedule)


class BoundProgram:
    """A compiled program with memory for batches of ``rows`` rows; ``inputs`` are the arrays of its inputs.

    With ``fewer`` it can be called for fewer rows too. ``threads`` threads run the tiles of its phases, by default
    `pool.threads()`; their number does not change the results.
    """

    def __init__(
        self,
        program: Program,
        rows: int,
        inputs: dict[Node, np.ndarray],
        blas: Blas,
        threads: int | None = None,
        fewer: bool = False,
    ) -> None:
        source, storage, tiling = program.source, program.storage, program.tiling
        self.program, self.rows, data = program, rows, program.tracer.data
        tile_rows = tiling.largest(rows, program.work) if fewer else tiling.of_rows(rows, program.work.at(rows))
        tiles = min(tiling.most, rows) if fewer else -(-rows // tile_rows) if tile_rows else 1
        temporary = [
            node for node in storage.arrays if node not in inputs and node not in data and node.name != "number"
        ]
        memory = Workspace(storage, program.sums, temporary, rows, tile_rows, tiles, fewer)
        self.bytes = memory.length
        self.arrays = dict(inputs)
        for node, piece in memory.arrays.items():
            self.arrays[node] = piece.reshape(concrete(node.shape, tile_rows if node in storage.local else rows))
        for node in storage.arrays:
            if node in data:
                self.arrays[node] = np.ascontiguousarray(data[node])
            elif node.name == "number":
                self.arrays[node] = np.full((), dict(node.attributes)["value"], node.dtype)
        self.addresses = np.array([self.arrays[node].ctypes.data for node in storage.arrays], dtype=np.uintp)
        self.numbers = np.array([dict(node.attributes)["value"] for node in storage.numbers], dtype=np.float64)
        loaded = library(source)
        self._once, self._chunk = loaded["mlpcore_call"], loaded["mlpcore_run"]
        self._once.restype = self._chunk.restype = None
        self._once.argtypes, self._chunk.argtypes = [ctypes.c_void_p], [*[ctypes.c_void_p] * 2, ctypes.c_double]
        self._run_address = ctypes.cast(self._chunk, ctypes.c_void_p).value or 0
        threads = min(pool.threads() if threads is None else threads, tiling.most)
        self._outputs: dict[tuple[Node, int], np.ndarray] = {}
        self._memory = memory
        arrays = (self.addresses, self.numbers, memory.strides, memory.sums)
        p, c, strides, sums = (array.ctypes.data for array in arrays)
        self._step = StepStruct(p, c, 0, 0, 0, threads, strides, sums, blas.sgemm, blas.dgemm, None)
        self._set_rows(rows)

    def _set_rows(self, rows: int) -> None:
        """Set the number of rows, and cut them into tiles."""
        tile_rows = self.program.tiling.of_rows(rows, self.program.work.at(rows))
        tiles = -(-rows // tile_rows) if tile_rows else 1
        cut = [phase for phase in self.program.storage.phases if phase.tiles(tiles) > 1]
        # Whether products run in tiles, on this library's threads; BLAS should then use one thread.
        self.in_tiles = any(item.kind == "matmul" for phase in cut for item in phase.items if isinstance(item, Node))
        self._step.rows, self._step.each, self._step.tiles = rows, tile_rows, tiles
        self._step.run = pool.address() if cut and self._step.threads > 1 else None

    def call(self, rows: int | None = None) -> None:
        """Compute the outputs from the first ``rows`` rows of the input arrays."""
        if rows is not None and rows != self._step.rows:
            self._set_rows(rows)
        self._once(ctypes.addressof(self._step))

    def run_steps(self, steps: Steps, until: float = math.inf) -> None:
        """Run the steps; after the first that ends later than ``until`` (`time.monotonic`), no other begins."""
        with self.job(steps) as job:
            self._chunk(job.first, job.second, until)

    @contextmanager
    def job(self, steps: Steps) -> Iterator[pool.Job]:
        """The steps as a job for `pool.run_jobs`; what it points to exists only within the context."""
        arrays, addresses = self.program.storage.arrays, self.addresses.copy()
        draws = {arrays.index(node): drawn for node, drawn in steps.draws.items() if node in arrays}
        batch = [self.arrays[node] for node in steps.inputs]
        struct, chunk_arrays = chunk_struct(
            *(steps.order, steps.data, batch, draws, steps.losses, self.output(steps.loss), steps.done)
        )
        try:
            yield pool.Job(self._run_address, ctypes.addressof(self._step), ctypes.addressof(struct))
        finally:
            del chunk_arrays  # kept until here: the struct points to them
            self.addresses[:] = addresses  # the chunk has overwritten those of the draws

    def output(self, node: Node, rows: int | None = None) -> np.ndarray:
        """A view of an output, after a call for ``rows`` rows."""
        rows = self.rows if rows is None else rows
        if (node, rows) in self._outputs:
            return self._outputs[node, rows]
        place = self.program.schedule.places[node]
        owner, start = self.program.storage.owner_of(place.root)
        offset = start.plus(place.offset)
        base = self.arrays[owner].reshape(-1)[offset.at(rows) :]
        strides = tuple(stride.at(rows) * base.itemsize for stride in place.strides)
        if len(self._outputs) >= OUTPUTS:
            self._outputs.clear()
        view = self._outputs[node, rows] = np.lib.stride_tricks.as_strided(base, concrete(node.shape, rows), strides)
        return view


def distinct_updates(
    tracer: Tracer, replaced: Sequence[tuple[TracedArray, TracedArray]]
) -> list[tuple[TracedArray, TracedArray]]:
    """The pairs (new, old) that differ, each new value in memory of its own.

    A new value that is an input, a constant, a view or the new value of an earlier pair is copied first.
    """
    pairs, seen = [], set()
    for number, (new, old) in enumerate(replaced):
        if new.node is old.node:
            continue
        if new.node.kind in ("input", "constant", "view") or new.node in seen:
            attributes = {"output": number}  # so that every output has a copy of its own
            node = tracer.graph.add("copy", "elementwise", (new.node,), new.shape, new.dtype, "", **attributes)
            new = tracer.wrap(node)
        seen.add(new.node)
        pairs.append((new, old))
    return pairs
