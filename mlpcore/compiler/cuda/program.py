"""A traced function as kernels and matrix products of a device, and its memory."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from mlpcore.compiler.arrays import TracedArray
from mlpcore.compiler.cuda import draws
from mlpcore.compiler.cuda.device import Device
from mlpcore.compiler.cuda.kernels import Kernel, KernelPrinter
from mlpcore.compiler.cuda.preamble import PREAMBLE, device_text
from mlpcore.compiler.cuda.schedule import BLOCK, DeviceSchedule, chunks, length, scalar_epilogue
from mlpcore.compiler.cuda.storage import DeviceStorage
from mlpcore.compiler.graph import Node, concrete
from mlpcore.compiler.memory import ALIGNMENT, arena
from mlpcore.compiler.places import Place, Size, packed, size
from mlpcore.compiler.program import distinct_updates
from mlpcore.compiler.schedule import Loop
from mlpcore.compiler.trace import Tracer
from mlpcore.typing import Array


class DeviceProgram:
    """The CUDA C of a traced function. ``replaced`` are pairs (output, input): the output is written over the input."""

    def __init__(
        self,
        tracer: Tracer,
        outputs: Sequence[TracedArray],
        replaced: Sequence[tuple[TracedArray, TracedArray]] = (),
    ) -> None:
        self.tracer = tracer
        pairs = distinct_updates(tracer, replaced)
        tracer.graph.outputs = [output.node for output in (*outputs, *(new for new, _ in pairs))]
        self.schedule = DeviceSchedule(tracer.graph)
        self.storage = DeviceStorage(self.schedule, [(new.node, old.node) for new, old in pairs])
        self.kernels: dict[int, list[Kernel]] = {}  # by the number of the item
        texts = [PREAMBLE]
        if any(isinstance(item, Node) and item.kind == "draw" for item in self.schedule.items):
            texts.append(draws.PHILOX)
        items, epilogue = self.schedule.items, None
        for number, item in enumerate(items):
            if isinstance(item, Loop) and item is epilogue:
                self.kernels[number] = []  # its formulas are in the kernels of the item before
            elif isinstance(item, Loop):
                epilogue = scalar_epilogue(items, number)
                text, self.kernels[number] = KernelPrinter(self.storage, item, f"loop{number}", epilogue).print()
                texts.append(device_text(text))
            elif item.kind == "draw":
                texts.append(device_text(draws.printed(item, f"draw{number}")))
        self.source = "\n".join([*texts, ""])

    def makes(self, output: Node) -> bool:
        """Whether an output is a whole array of its own, so that each call may write it to another array."""
        place = self.storage.places[output]
        separate = place == Place(output, Size(0), packed(output.shape)) and self.storage.owner_of(output)[0] is output
        return separate and output.kind in ("elementwise", "reduce", "matmul", "take")

    def __str__(self) -> str:
        return str(self.schedule)


class BoundDeviceProgram:
    """A device program with memory for batches of ``rows`` rows; ``inputs`` are its input arrays as vectors.

    ``moving`` are inputs and outputs whose arrays are passed with each ``call(moved)``. ``launches`` are the names
    of the kernels, products and copies, in order.
    """

    def __init__(
        self, program: DeviceProgram, rows: int, inputs: dict[Node, Array], device: Device, moving: Sequence[Node] = ()
    ) -> None:
        self.program, self.rows, self.device = program, rows, device
        self.storage = program.storage
        self.moving = {self.storage.owner_of(self._root(node))[0] for node in moving}
        self.arrays: dict[Node, Array] = dict(inputs)
        self._block: Array | None = None
        self._allocate()
        self.launches: list[str] = []
        self._steps: list[Callable[[dict[Node, Array]], None]] = []
        for number, item in enumerate(program.schedule.items):
            if isinstance(item, Loop):
                self._loop(number, item)
            else:
                {"matmul": self._product, "concat": self._concatenation, "draw": self._draw}[item.kind](item, number)
        for new, old in self.storage.copies:
            place, target = (Place(node, Size(0), packed(node.shape)) for node in (new, old))
            self._copy(place, old.shape, self._view(target, old.shape))

    def call(self, moved: dict[Node, Array] | None = None) -> None:
        """Compute the outputs from the input arrays, with the arrays ``moved`` for moving nodes."""
        for step in self._steps:
            step(moved or {})

    def output(self, node: Node, moved: dict[Node, Array] | None = None) -> Array:
        """A view of an output after a call."""
        return self._view(self.storage.places[node], node.shape, moved)

    # --- memory

    def _root(self, node: Node) -> Node:
        return self.storage.places[node].root

    def _allocate(self) -> None:
        """Allocate one block for all arrays that are not inputs; memory is reused by lifetimes."""
        storage, data = self.storage, self.program.tracer.data
        # A concatenation keeps its memory, as its constant operands are copied only once.
        concatenations = {i for i in self.program.schedule.items if isinstance(i, Node) and i.kind == "concat"}
        persistent = {storage.owner_of(node)[0] for node in (*storage.output_roots, *concatenations)}
        owners = {storage.owner_of(root)[0] for root in storage.stored}
        last = len(self.program.schedule.items)
        spans, owners_in_block = [], []
        for owner in sorted(owners - set(self.arrays), key=lambda node: node.number):
            if owner in data:
                self.arrays[owner] = self.device.put(np.ascontiguousarray(data[owner]).reshape(-1))
            elif owner.name == "number":
                value = np.full(1, dict(owner.attributes)["value"], owner.dtype)
                self.arrays[owner] = self.device.put(value)
            elif owner not in self.moving:
                count = max(1, size(owner.shape).at(self.rows)) * owner.dtype.itemsize
                first_item, last_item = storage.touched.get(owner, (0, last))
                spans.append((0, last, count) if owner in persistent else (first_item, last_item, count))
                owners_in_block.append(owner)
        offsets, total = arena(spans)
        self._block = self.device.empty(total + ALIGNMENT, np.dtype(np.uint8))
        for owner, offset, (_, _, count) in zip(owners_in_block, offsets, spans, strict=True):
            self.arrays[owner] = self._block[offset : offset + count].view(owner.dtype)

    def _moves(self, *places: Place) -> bool:
        """Whether a place lies in an array that is passed with each call."""
        return any(self.storage.owner_of(place.root)[0] in self.moving for place in places)

    def _view(self, place: Place, shape: tuple, moved: dict[Node, Array] | None = None) -> Array:
        """A view of the entries at a place, in the arrays ``moved`` for moving nodes."""
        owner, start = self.storage.owner_of(place.root)
        array = (moved or {}).get(owner, self.arrays.get(owner))
        lengths = concrete(shape, self.rows)
        strides = [stride.at(self.rows) for stride in place.strides]
        for axis in reversed(range(len(lengths))):  # axes of length 1 get the strides of a packed array
            if lengths[axis] == 1:
                strides[axis] = strides[axis + 1] * lengths[axis + 1] if axis + 1 < len(lengths) else 1
        return self.device.view(array, start.plus(place.offset).at(self.rows), lengths, tuple(strides))

    # --- launches

    def _launch(self, name: str, blocks: int, arrays: Sequence[Node | Array], scalars: Sequence[Any]) -> None:
        """Add the launch of a kernel to the steps of a call."""
        if not blocks:
            return
        kernel = self.device.kernel(self.program.source, name)
        operands = tuple(self.arrays.get(array) if isinstance(array, Node) else array for array in arrays)
        varying = [(i, array) for i, array in enumerate(arrays) if isinstance(array, Node) and array in self.moving]
        fixed = (*operands, *scalars)

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
            if kernel.combines and parts == 1:
                continue
            if not kernel.combines:
                sums = [self._partial(node, parts * outer) for node in kernel.sums]
            self._launch(
                kernel.name, blocks * (1 if kernel.combines else parts), [*kernel.arrays, *sums],
                [*numbers, self.rows, parts],
            )  # fmt: skip

    def _partial(self, node: Node, count: int) -> Array:
        """Memory for the partial results of a reduction; bools are stored as int32."""
        return self.device.empty(count, np.dtype(np.int32) if node.dtype.kind == "b" else node.dtype)

    def _product(self, node: Node, _: int) -> None:
        places = [self.program.schedule.source(node, operand) for operand in node.inputs]
        places.append(Place(node, Size(0), packed(node.shape)))
        shapes = [*(operand.shape for operand in node.inputs), node.shape]

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
        owner, start = self.storage.owner_of(node)
        members, count = (size(dims).at(self.rows) for dims in (node.shape[:-2], node.shape[-2:]))
        blocks = -(-count // (draws.TOGETHER * BLOCK))
        sources = [self.storage.owner_of(self._root(operand))[0] for operand in node.inputs]
        self._launch(f"draw{number}", members * blocks, [owner, *sources], [start.at(self.rows), count, blocks])

    def _concatenation(self, node: Node, _: int) -> None:
        """Copies of the operands of a concatenation that are not computed in its memory."""
        axis, start = dict(node.attributes)["axis"], 0
        strides = packed(node.shape)
        for operand in node.inputs:
            offset = strides[axis].times(start) if start else Size(0)
            placed_at = size((start, *node.shape[axis + 1 :])) if start else Size(0)
            if self.storage.placed.get(self._root(operand), (None, Size(0))) != (node, placed_at):
                self._copy(
                    self.storage.places[operand], operand.shape, self._view(Place(node, offset, strides), operand.shape)
                )
            start += operand.shape[axis]

    def _copy(self, place: Place, shape: tuple, target: Array) -> None:
        """Copy the entries at a place with every call; those of a constant are copied now, once."""
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
