"""A traced function as kernels and products of a device, with the memory that it works in."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from mlpcore.compiler.arrays import TracedArray
from mlpcore.compiler.cuda import draws
from mlpcore.compiler.cuda.device import Device
from mlpcore.compiler.cuda.kernels import Kernel, KernelPrinter
from mlpcore.compiler.cuda.preamble import PREAMBLE, device_text
from mlpcore.compiler.cuda.schedule import BLOCK, DeviceSchedule, chunks, joined, length
from mlpcore.compiler.cuda.storage import DeviceStorage
from mlpcore.compiler.graph import Node, known
from mlpcore.compiler.memory import ALIGNMENT, arena
from mlpcore.compiler.places import Place, Size, packed, size
from mlpcore.compiler.program import apart
from mlpcore.compiler.schedule import Loop
from mlpcore.compiler.trace import Tracer
from mlpcore.typing import Array


class DeviceProgram:
    """The CUDA C of a traced function; ``replaced`` are pairs of an output and the input over which it is written."""

    def __init__(
        self,
        tracer: Tracer,
        outputs: Sequence[TracedArray],
        replaced: Sequence[tuple[TracedArray, TracedArray]] = (),
    ) -> None:
        self.tracer = tracer
        pairs = apart(tracer, replaced)
        tracer.graph.outputs = [one.node for one in (*outputs, *(new for new, _ in pairs))]
        self.schedule = DeviceSchedule(tracer.graph)
        self.storage = DeviceStorage(self.schedule, [(new.node, old.node) for new, old in pairs])
        self.kernels: dict[int, list[Kernel]] = {}  # of the items that have some
        texts = [PREAMBLE]
        if any(isinstance(item, Node) and item.kind == "draw" for item in self.schedule.items):
            texts.append(draws.PHILOX)
        items, after = self.schedule.items, None
        for number, item in enumerate(items):
            if isinstance(item, Loop) and item is after:
                self.kernels[number] = []  # in the kernels before
            elif isinstance(item, Loop):
                after = joined(items, number)
                text, self.kernels[number] = KernelPrinter(self.storage, item, f"loop{number}", after).print()
                texts.append(device_text(text))
            elif item.kind == "draw":
                texts.append(device_text(draws.printed(item, f"draw{number}")))
        self.source = "\n".join([*texts, ""])

    def makes(self, output: Node) -> bool:
        """Whether an output has an array of its own, from its first entry on, which may then move."""
        place = self.storage.places[output]
        alone = place == Place(output, Size(0), packed(output.shape)) and self.storage.whole(output)[0] is output
        return alone and output.kind in ("elementwise", "reduce", "matmul", "take")

    def __str__(self) -> str:
        return str(self.schedule)


class BoundProgram:
    """A program with memory for batches of ``rows`` rows; ``given`` are the arrays of its inputs, vectors of entries.

    ``call(moved)`` runs it on other arrays in the place of some of those that ``moving`` names, which must be inputs or
    outputs. ``launches`` are the names of what is done, in order.
    """

    def __init__(
        self, program: DeviceProgram, rows: int, given: dict[Node, Array], device: Device, moving: Sequence[Node] = ()
    ) -> None:
        self.program, self.rows, self.device = program, rows, device
        self.storage = program.storage
        self.moving = {self.storage.whole(self._root(node))[0] for node in moving}
        self.arrays: dict[Node, Array] = dict(given)
        self._block: Array | None = None
        self._allocate()
        self.launches: list[str] = []
        self._steps: list[Callable[[dict[Node, Array]], None]] = []
        for number, item in enumerate(program.schedule.items):
            if isinstance(item, Loop):
                self._loop(number, item)
            else:
                {"matmul": self._product, "concat": self._join, "draw": self._draw}[item.kind](item, number)
        for new, old in self.storage.copies:
            place, target = (Place(one, Size(0), packed(one.shape)) for one in (new, old))
            self._copy(place, old.shape, self._view(target, old.shape))

    def call(self, moved: dict[Node, Array] | None = None) -> None:
        """Compute the outputs from the inputs as they stand in their arrays."""
        for step in self._steps:
            step(moved or {})

    def output(self, node: Node, moved: dict[Node, Array] | None = None) -> Array:
        """The array of an output, as it lies after a call."""
        return self._view(self.storage.places[node], node.shape, moved)

    # --- memory

    def _root(self, node: Node) -> Node:
        return self.storage.places[node].root

    def _allocate(self) -> None:
        """One block for all that is not given, its parts used again when nobody needs them any more."""
        storage, data = self.storage, self.program.tracer.data
        # A concatenation keeps its memory, into which its constant parts are copied once.
        joined = {item for item in self.program.schedule.items if isinstance(item, Node) and item.kind == "concat"}
        kept = {storage.whole(one)[0] for one in (*storage.kept, *joined)}
        owners = {storage.whole(root)[0] for root in storage.stored}
        last = len(self.program.schedule.items)
        spans, own = [], []
        for owner in sorted(owners - set(self.arrays), key=lambda node: node.number):
            if owner in data:
                self.arrays[owner] = self.device.put(np.ascontiguousarray(data[owner]).reshape(-1))
            elif owner.name == "number":
                value = np.full(1, dict(owner.attributes)["value"], owner.dtype)
                self.arrays[owner] = self.device.put(value)
            elif owner not in self.moving:
                count = max(1, size(owner.shape).at(self.rows)) * owner.dtype.itemsize
                begin, end = storage.touched.get(owner, (0, last))
                spans.append((0, last, count) if owner in kept else (begin, end, count))
                own.append(owner)
        offsets, total = arena(spans)
        self._block = self.device.empty(total + ALIGNMENT, np.dtype(np.uint8))
        for owner, offset, (_, _, count) in zip(own, offsets, spans, strict=True):
            self.arrays[owner] = self._block[offset : offset + count].view(owner.dtype)

    def _moves(self, *places: Place) -> bool:
        return any(self.storage.whole(place.root)[0] in self.moving for place in places)

    def _view(self, place: Place, shape: tuple, moved: dict[Node, Array] | None = None) -> Array:
        whole, begin = self.storage.whole(place.root)
        array = (moved or {}).get(whole, self.arrays.get(whole))
        lengths = known(shape, self.rows)
        strides = [one.at(self.rows) for one in place.strides]
        for axis in reversed(range(len(lengths))):  # of one entry: as if they were packed
            if lengths[axis] == 1:
                strides[axis] = strides[axis + 1] * lengths[axis + 1] if axis + 1 < len(lengths) else 1
        return self.device.view(array, begin.plus(place.offset).at(self.rows), lengths, tuple(strides))

    # --- what is done

    def _launch(self, name: str, blocks: int, arrays: Sequence[Node | Array], words: Sequence[Any]) -> None:
        if not blocks:
            return
        kernel = self.device.kernel(self.program.source, name)
        given = tuple(self.arrays.get(one) if isinstance(one, Node) else one for one in arrays)
        varying = [(i, one) for i, one in enumerate(arrays) if isinstance(one, Node) and one in self.moving]
        fixed = (*given, *words)

        def run(moved: dict[Node, Array]) -> None:
            arguments = fixed
            if varying:
                changed = list(fixed)
                for i, node in varying:
                    changed[i] = moved[node]
                arguments = tuple(changed)
            kernel(blocks, arguments)

        self.launches.append(name)
        self._steps.append(run)

    def _loop(self, number: int, loop: Loop) -> None:
        for kernel in self.program.kernels[number]:
            outer = length(loop, kernel.layout.outer).at(self.rows)
            inner = length(loop, kernel.layout.inner).at(self.rows)
            numbers = [node.dtype.type(dict(node.attributes)["value"]) for node in kernel.numbers]
            if not kernel.layout.sums:
                blocks = -(-outer * kernel.layout.threads // (BLOCK * kernel.width))
                self._launch(kernel.name, blocks, kernel.arrays, [*numbers, self.rows])
                continue
            parts, blocks = chunks(kernel.layout, outer, inner), -(-outer // kernel.layout.threads)
            if kernel.joins and parts == 1:
                continue
            if not kernel.joins:
                sums = [self._partial(node, parts * outer) for node in kernel.sums]
            self._launch(
                kernel.name, blocks * (1 if kernel.joins else parts), [*kernel.arrays, *sums],
                [*numbers, self.rows, parts],
            )  # fmt: skip

    def _partial(self, node: Node, count: int) -> Array:
        """Memory for the partial results of a sum; of truths as integers."""
        return self.device.empty(count, np.dtype(np.int32) if node.dtype.kind == "b" else node.dtype)

    def _product(self, node: Node, _: int) -> None:
        places = [self.program.schedule.source(node, one) for one in node.inputs]
        places.append(Place(node, Size(0), packed(node.shape)))
        shapes = [*(one.shape for one in node.inputs), node.shape]

        def views(moved: dict[Node, Array] | None = None) -> list[Array]:
            return [self._view(place, shape, moved) for place, shape in zip(places, shapes, strict=True)]

        sizes = [size(shape).at(self.rows) for shape in shapes]
        if not sizes[2]:
            return
        precision = dict(node.attributes).get("precision", "highest")

        def prepared(moved: dict[Node, Array] | None = None) -> Callable[[], None]:
            a, b, out = views(moved)
            return self.device.product(a, b, out, precision) if sizes[0] else partial(self.device.clear, out)

        self.launches.append("product" if sizes[0] else "clear")
        if self._moves(*places):
            self._steps.append(lambda moved: prepared(moved)())
        else:
            fixed = prepared()
            self._steps.append(lambda _: fixed())

    def _draw(self, node: Node, number: int) -> None:
        whole, begin = self.storage.whole(node)
        members, count = (size(part).at(self.rows) for part in (node.shape[:-2], node.shape[-2:]))
        blocks = -(-count // (draws.TOGETHER * BLOCK))
        sources = [self.storage.whole(self._root(one))[0] for one in node.inputs]
        self._launch(f"draw{number}", members * blocks, [whole, *sources], [begin.at(self.rows), count, blocks])

    def _join(self, node: Node, _: int) -> None:
        """Copies of the parts of a concatenation that are not made in their place."""
        axis, begin = dict(node.attributes)["axis"], 0
        whole = packed(node.shape)
        for part in node.inputs:
            offset = whole[axis].times(begin) if begin else Size(0)
            inside = size((begin, *node.shape[axis + 1 :])) if begin else Size(0)
            if self.storage.home.get(self._root(part), (None, Size(0))) != (node, inside):
                self._copy(self.storage.places[part], part.shape, self._view(Place(node, offset, whole), part.shape))
            begin += part.shape[axis]

    def _copy(self, place: Place, shape: tuple, target: Array) -> None:
        """A copy of what lies at a place, for every call; of a constant once, now."""
        if not target.size:
            return
        if place.root.kind == "constant":
            self.device.copy(self._view(place, shape), target)
            return
        self.launches.append("copy")
        if self._moves(place):
            self._steps.append(lambda moved: self.device.copy(self._view(place, shape, moved), target))
        else:
            source = self._view(place, shape)
            self._steps.append(lambda _: self.device.copy(source, target))
