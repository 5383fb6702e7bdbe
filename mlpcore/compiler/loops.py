"""A loop of a schedule as C: indices from the outermost to the innermost, the formulas of its members within."""

from collections.abc import Iterator
from contextlib import contextmanager

from mlpcore.compiler.accumulators import EVERY_LANE, over
from mlpcore.compiler.blocks import LANES, Block
from mlpcore.compiler.formulas import HELD, LIBRARY, STORED, begin, expression
from mlpcore.compiler.graph import N
from mlpcore.compiler.operands import Operands
from mlpcore.compiler.places import ZERO, size
from mlpcore.compiler.schedule import Loop, Member
from mlpcore.compiler.storage import Storage
from mlpcore.compiler.text import Text


class LoopPrinter:
    """The lines of one loop; the value of node 7 is the variable ``v7``, or ``v7[l]`` where lanes are kept apart.

    ``t7`` holds the values of node 7 that another block of the loop reads. Entries that do not change with the inner
    indices are read before these, as ``u0``, ``u1`` and so on.
    """

    def __init__(self, storage: Storage, loop: Loop, tiled: bool = False) -> None:
        self.storage, self.loop, self.text = storage, loop, Text()
        self.operands = Operands(storage, loop, self.text)
        self.lanes = self.operands.lanes
        self.lengths = (N, *loop.axes[1:]) if tiled else loop.axes  # n is the length of a tile
        self.dims = ["n" if dim is N else str(dim) for dim in self.lengths]

    def print(self) -> list[str]:
        """All lines, with a comment that says whose formulas these are."""
        labels = dict.fromkeys(node.label for node in self.loop.members if node.label)
        self.text.emit(f"// {', '.join(labels)}")
        with self.text.braces():
            self._within(self.storage.blocks[self.loop])
        return self.text.all()

    # --- loops

    def _within(self, block: Block) -> None:
        """What is done in a block, after the declaration of what its parts hand over to each other."""
        with self.text.scope() as scope:
            for node in self.loop.members:
                buffer = self.storage.buffers.get(node)
                if buffer is not None and buffer.depth == block.depth:
                    scope.declare(f"{HELD[str(node.dtype)]} t{node.number}{buffer.lengths};")
            late = [m for m in self.loop.members.values() if not block.depth and m.late and not m.in_register]
            for member in late:
                self._clear(member)
            self._parts(block)
            for member in late:
                if kept := self.operands.held(member):
                    self.text.emit(*over(kept, self.dims, f"{self.operands.entry(member)} = {self._sum(member)};"))

    def _parts(self, block: Block) -> None:
        stores: list[Member] = []  # after every value: what is overwritten may be read by another member
        for part in block.parts:
            if isinstance(part, Block) and part.lanes:
                # Of entries with gaps between them gcc leaves the last out of its vectors, which functions make slow.
                self.operands.apart = any(member.node.name in LIBRARY for member in part.members())
                with self._beside():
                    self._parts(part)
            elif isinstance(part, Block):
                self._inner(block, part)
            elif part.node.kind == "reduce" and not part.short:
                self.text.emit(*self.operands.accumulator(part).step(self.operands.read(part, 0)))
            else:
                self.text.emit(f"const {HELD[str(part.node.dtype)]} v{part.node.number} = {self._value(part)};")
                stores.append(part)
        for member in stores:
            self._store(member)

    def _inner(self, outer: Block, block: Block) -> None:
        """The loop over one more axis, with what is reduced over it before and after."""
        axis = block.depth - 1
        begun = [m for m in block.members() if self._begins(m, outer.depth, axis)]
        for member in begun:
            self.text.emit(*self.operands.accumulator(member).begin(self.dims))
        if axis == self.lanes:
            self._in_lanes(block, axis)
        else:
            alone = not any(isinstance(part, Block) for part in block.parts)
            if alone and all(self._moves(member, axis) for member in block.members()):
                self.text.emit("INDEPENDENT")
            with self.text.braces(f"for (I i{axis} = 0; i{axis} < {self.dims[axis]}; i{axis}++)"):
                self._within(block)
        for member in begun:
            one = self.operands.accumulator(member)
            self.text.emit(*one.end(self.dims))
            if member.in_register and (member.node in self.storage.stored or member.node in self.storage.buffers):
                with self._beside(one.beside and not one.partial):
                    self._store(member)

    def _in_lanes(self, block: Block, axis: int) -> None:
        """The loop over the axis of lanes: as many whole ones as there are, then index by index."""
        dim, index = self.lengths[axis], f"i{axis}"
        whole = f"n / {LANES} * {LANES}" if dim is N else str(dim // LANES * LANES)
        with self.text.braces(f"for (I j = 0; j < {whole}; j += {LANES})"):
            self._within(block)
        if dim is N or dim % LANES:
            self.operands.single = True
            with self.text.braces(f"for (I {index} = {whole}, l = 0; {index} < {self.dims[axis]}; {index}++, l++)"):
                self._within(block)
            self.operands.single = False

    @contextmanager
    def _beside(self, lanes: bool = True) -> Iterator[None]:
        """What is emitted within is done for every lane."""
        if lanes and not self.operands.single:
            self.text.emit("LANEWISE")
            with self.text.braces(EVERY_LANE):
                self.text.emit(f"const I i{self.lanes} = j + l;")
                yield
        elif lanes:
            with self.text.braces():
                yield
        else:
            yield

    # --- reductions

    def _clear(self, member: Member) -> None:
        """What a reduction over outer axes begins with, before the first index."""
        node = member.node
        name, first = self.storage.array(node)
        if kept := self.operands.held(member):
            lengths = "".join(f"[{self.dims[axis]}]" for axis in kept)
            self.text.emit(f"{HELD[str(node.dtype)]} s{node.number}{lengths};")
            self.text.emit(*over(kept, self.dims, f"{self._sum(member)} = {begin(node)};"))
            return
        start = f"{name} + {first}" if first != ZERO else name
        self.text.emit(f"{STORED[str(node.dtype)]} *v{node.number} = {start};")
        self.text.emit(f"for (I i = 0; i < {size(node.shape)}; i++) v{node.number}[i] = {begin(node)};")

    def _sum(self, member: Member) -> str:
        return self.operands.accumulator(member).entry

    def _begins(self, member: Member, depth: int, axis: int) -> bool:
        """Whether a reduction begins before the loop over the axis, within ``depth`` axes."""
        if member.node.kind != "reduce" or member.short:
            return False
        if member.in_register:
            return member.depth == depth
        return axis == self.lanes and self.operands.accumulator(member).partial

    def _moves(self, member: Member, axis: int) -> bool:
        """Whether a member writes another entry of memory for every index of the axis."""
        reduces = member.node.kind == "reduce" and not member.short
        return not reduces or member.in_register or member.strides[axis] != ZERO

    # --- values

    def _value(self, member: Member) -> str:
        node = member.node
        if node.kind == "reduce":  # over axes of length 1
            return "0" if node.name == "argmax" else self.operands.read(member, 0)
        if node.kind == "take":
            return self.operands.gathered(member)
        return expression(node, [self.operands.read(member, i) for i in range(len(node.inputs))])

    def _store(self, member: Member) -> None:
        """What others read of a member: in a buffer of this loop, in an array, or in both."""
        node, value = member.node, self.operands.value(member)
        if node in self.storage.buffers:
            self.text.emit(f"t{node.number}{self.storage.buffers[node].indices} = {value};")
        if node in self.storage.stored:
            self.text.emit(f"{self.storage.entry(self.storage.places[node], member.strides)} = {value};")
