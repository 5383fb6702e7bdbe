"""A device program with memory: its kernels, products and copies as a list of launches."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import numpy as np

from mlpcore.compiler.cuda import draws
from mlpcore.compiler.cuda.device import Device, ProductWithEpilogue
from mlpcore.compiler.cuda.epilogues import FusedProduct
from mlpcore.compiler.cuda.memory import DeviceMemory, to_next
from mlpcore.compiler.cuda.program import DeviceProgram
from mlpcore.compiler.cuda.row_tiles import RowTiles
from mlpcore.compiler.cuda.schedule import BLOCK, chunks, length
from mlpcore.compiler.graph import Node
from mlpcore.compiler.places import Place, Size, packed, size
from mlpcore.compiler.schedule import Loop
from mlpcore.typing import Array


class MissingEpilogue(Exception):
    """The device has no product with an epilogue of the program."""


def bind(
    program: DeviceProgram,
    rows: int,
    inputs: dict[Node, Array],
    device: Device,
    moving: Sequence[Node],
    members: Sequence[DeviceProgram],
) -> "BoundDeviceProgram":
    """The `BoundDeviceProgram`; that of the program without epilogues where the device lacks one of them."""
    try:
        return BoundDeviceProgram(program, rows, inputs, device, moving, members)
    except MissingEpilogue:
        plain = [member.without_epilogues for member in members]
        return BoundDeviceProgram(plain[0], rows, inputs, device, moving, plain)


class BoundDeviceProgram:
    """A device program with memory for batches of ``rows`` rows; ``inputs`` are its input arrays.

    ``moving`` are inputs and outputs whose arrays are passed with each ``call(moved)``. ``launches`` are the names
    of the kernels, products and copies, in order.

    With several ``members``, ``program`` and others of its signature, each launch computes all of them: a kernel
    has one more axis of blocks, a product one more axis of matrices. An array is (members, entries), or a vector if all
    members share it. A member has the same blocks as alone, so its sums have the same order.
    """

    def __init__(
        self,
        program: DeviceProgram,
        rows: int,
        inputs: dict[Node, Array],
        device: Device,
        moving: Sequence[Node] = (),
        members: Sequence[DeviceProgram] = (),
    ) -> None:
        self.program, self.rows, self.device, self.storage = program, rows, device, program.storage
        self.memory = DeviceMemory(list(members) or [program], rows, inputs, device, moving)
        self.launches: list[str] = []
        self._steps: list[Callable[[dict[Node, Array]], None]] = []
        tiles = program.row_tiles
        for number, item in enumerate(program.schedule.items):
            if tiles is not None and number in tiles.items:
                if number == tiles.items[0]:
                    self._row_tiles(tiles)
            elif isinstance(item, Loop):
                self._loop(number, item)
            elif isinstance(item, FusedProduct):
                self._fused_product(item)
            else:
                {"matmul": self._product, "concat": self._concatenation, "draw": self._draw}[item.kind](item, number)
        for new, old in self.storage.copies:
            place, target = (Place(node, Size(0), packed(node.shape)) for node in (new, old))
            self._copy(place, old.shape, self.memory.view(target, old.shape))

    def call(self, moved: dict[Node, Array] | None = None) -> None:
        """Compute the outputs from the input arrays, with the arrays ``moved`` for moving nodes."""
        for step in self._steps:
            step(moved or {})

    def output(self, node: Node, moved: dict[Node, Array] | None = None) -> Array:
        """A view of an output after a call."""
        return self.memory.view(self.storage.places[node], node.shape, moved)

    def _launch(
        self, name: str, blocks: int, arrays: Sequence[Node | Array], scalars: Sequence[int], shared: int = 0
    ) -> None:
        """Add the launch of a kernel, with ``shared`` bytes of dynamic shared memory, to the steps of a call."""
        if not blocks:
            return
        kernel, members = self.device.kernel(self.program.source, name, shared), len(self.memory.members)
        operands = [self.memory.arrays.get(array) if isinstance(array, Node) else array for array in arrays]
        varying = [
            (i, array) for i, array in enumerate(arrays) if isinstance(array, Node) and array in self.memory.moving
        ]

        def arguments(operands: Sequence[Array]) -> tuple:
            apart = map(to_next, operands) if members > 1 else [0] * len(operands)
            return (*operands, distances(tuple(apart)), *scalars)

        fixed = None if varying else arguments(operands)

        def run(moved: dict[Node, Array]) -> None:
            if fixed is not None:
                kernel(blocks, members, fixed)
                return
            changed = list(operands)
            for i, node in varying:
                changed[i] = moved[node]
            kernel(blocks, members, arguments(changed))

        self.launches.append(name)
        self._steps.append(run)

    def _loop(self, number: int, loop: Loop) -> None:
        if number not in self.program.kernels:
            return  # the kernel of the item before computes it too
        kernel = self.program.kernels[number]
        outer = length(loop, kernel.layout.outer).at(self.rows)
        inner = length(loop, kernel.layout.inner).at(self.rows)
        numbers = [self.memory.numbers] * bool(kernel.numbers)
        if not kernel.layout.sums:
            blocks = -(-outer * kernel.layout.threads // (BLOCK * kernel.width))
            self._launch(kernel.name, blocks, [*kernel.arrays, *numbers], [self.rows])
            return
        parts, blocks = chunks(kernel.layout, outer, inner), -(-outer // kernel.layout.threads)
        sums = [self._partial(node, parts * outer) for node in kernel.sums]
        written = self.device.put(np.zeros((len(self.memory.members), blocks), np.uint32))
        self._launch(kernel.name, blocks * parts, [*kernel.arrays, *sums, written, *numbers], [self.rows, parts])

    def _row_tiles(self, tiles: RowTiles) -> None:
        """The kernel over tiles of rows and, for more than one block, that which adds up their partial results."""
        blocks = tiles.blocks(self.rows)
        partial = self.memory.empty(max(1, blocks * tiles.partial), np.dtype(np.float64))
        numbers = [self.memory.numbers] * bool(tiles.text.numbers)
        scalars = [self.rows, blocks]
        self._launch(tiles.NAME, blocks, [*tiles.text.arrays, partial, *numbers], scalars, tiles.memory.bytes)
        if blocks > 1:
            self._launch(tiles.JOIN, tiles.join_blocks, [*tiles.join.arrays, partial], scalars)

    def _partial(self, node: Node, count: int) -> Array:
        """Memory for the partial results of a reduction; bools are stored as int32."""
        return self.memory.empty(count, np.dtype(np.int32) if node.dtype.kind == "b" else node.dtype)

    def _product(self, node: Node, _: int) -> None:
        places = [self.program.schedule.source(node, operand) for operand in node.inputs]
        places.append(Place(node, Size(0), packed(node.shape)))
        shapes = [*(operand.shape for operand in node.inputs), node.shape]
        sizes = [size(shape).at(self.rows) for shape in shapes]
        for i, shape in enumerate(shapes):  # all with as many axes, before which those of the members come
            added = node.ndim - len(shape)
            places[i] = replace(places[i], strides=(*[Size(0)] * added, *places[i].strides))
            shapes[i] = (*[1] * added, *shape)

        def views(moved: dict[Node, Array] | None = None) -> list[Array]:
            return [self.memory.view(place, shape, moved) for place, shape in zip(places, shapes, strict=True)]

        if not sizes[2]:
            return
        precision = dict(node.attributes).get("precision", "highest")

        def prepared(moved: dict[Node, Array] | None = None) -> Callable[[], None]:
            a, b, out = views(moved)
            return self.device.product(a, b, out, precision) if sizes[0] else partial(self.device.clear, out)

        self.launches.append("product" if sizes[0] else "clear")
        if self.memory.moves(*places):
            self._steps.append(lambda moved: prepared(moved)())
        else:
            fixed = prepared()
            self._steps.append(lambda _: fixed())

    def _fused_product(self, item: FusedProduct) -> None:
        node = item.product

        def view(operand: Node) -> Array:
            place, shape = self.program.schedule.source(node, operand), operand.shape
            if len(shape) == 1:
                place, shape = replace(place, strides=(Size(0), *place.strides)), (1, *shape)
            return self.memory.view(place, shape)

        used = (*node.inputs, item.result, item.bias, item.saved, item.sums)
        if self.memory.moves(*(self.program.schedule.source(node, one) for one in used if one is not None)):
            raise MissingEpilogue(f"{item} of arrays that are passed with each call")
        a, b, out = (view(one) for one in (*node.inputs, item.result))
        bias, saved, sums = (None if one is None else view(one) for one in (item.bias, item.saved, item.sums))
        precision = dict(node.attributes).get("precision", "highest")
        arrays = ProductWithEpilogue(a, b, out, precision, bias, item.activation, item.gradient, saved, sums)
        prepared = self.device.fused_product(arrays) if self.device.fused_product and out.size and a.size else None
        if prepared is None:
            raise MissingEpilogue(str(item))
        self.launches.append("product")
        self._steps.append(lambda _: prepared())

    def _draw(self, node: Node, number: int) -> None:
        owner, start = self.storage.owner_of(node)
        members, count = (size(dims).at(self.rows) for dims in (node.shape[:-2], node.shape[-2:]))
        blocks = -(-(count + draws.TOGETHER - 1) // (draws.TOGETHER * BLOCK))  # the first may begin within a block
        sources = [self.memory.owner(operand) for operand in node.inputs]
        numbers = [start.at(self.rows), count, blocks, int(node.shape[-1])]
        self._launch(f"draw{number}", members * blocks, [owner, *sources], numbers)

    def _concatenation(self, node: Node, _: int) -> None:
        """Copies of the operands of a concatenation that are not computed in its memory."""
        axis, start = dict(node.attributes)["axis"], 0
        strides = packed(node.shape)
        for operand in node.inputs:
            offset = strides[axis].times(start) if start else Size(0)
            placed_at = size((start, *node.shape[axis + 1 :])) if start else Size(0)
            if self.storage.placed.get(self.storage.places[operand].root, (None, Size(0))) != (node, placed_at):
                target = self.memory.view(Place(node, offset, strides), operand.shape)
                self._copy(self.storage.places[operand], operand.shape, target)
            start += operand.shape[axis]

    def _copy(self, place: Place, shape: tuple, target: Array) -> None:
        """Copy the entries at a place with every call; those of a constant are copied now, once."""
        if not target.size:
            return
        if place.root.kind == "constant":
            self.device.copy(self.memory.view(place, shape), target)
            return
        self.launches.append("copy")
        if self.memory.moves(place):
            self._steps.append(lambda moved: self.device.copy(self.memory.view(place, shape, moved), target))
        else:
            source = self.memory.view(place, shape)
            self._steps.append(lambda _: self.device.copy(source, target))


@lru_cache
def distances(values: tuple[int, ...]) -> Any:
    """The argument ``to_next`` of a kernel; one structure takes CuPy less time than eight integers by a factor of 6."""
    return np.array((values,), [("at", np.int64, len(values))])[()]
