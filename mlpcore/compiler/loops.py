"""Prints a loop of a schedule as nested C loops around the formulas of its members."""

from collections.abc import Iterator
from contextlib import contextmanager

from mlpcore.compiler.accumulators import EVERY_LANE, over
from mlpcore.compiler.blocks import LANES, Block
from mlpcore.compiler.formulas import HELD, LIBRARY, STORED, expression, identity
from mlpcore.compiler.graph import N
from mlpcore.compiler.operands import Operands
from mlpcore.compiler.places import ZERO, size
from mlpcore.compiler.schedule import Loop, Member
from mlpcore.compiler.storage import Storage
from mlpcore.compiler.text import Text


class LoopPrinter:
    """Prints one loop. The value of node 7 is the variable ``v7``, or ``v7[l]`` where every lane has a value.

    ``t7`` is the buffer of the values of node 7 that another block of the loop reads. ``u0``, ``u1`` and so on are
    loads that are hoisted out of inner loops.
    """

    def __init__(self, storage: Storage, loop: Loop, tiled: bool = False) -> None:
        self.storage, self.loop, self.text = storage, loop, Text()
        self.operands = Operands(storage, loop, self.text)
        self.lanes = self.operands.lanes
        self.lengths = (N, *loop.axes[1:]) if tiled else loop.axes  # n is the length of a tile
        self.dims = ["n" if dim is N else str(dim) for dim in self.lengths]

    def print(self) -> list[str]:
        """All lines, with a comment that names the classes and functions of the formulas."""
        labels = dict.fromkeys(node.label for node in self.loop.members if node.label)
        self.text.emit(f"// {', '.join(labels)}")
        with self.text.braces():
            self._body(self.storage.blocks[self.loop])
        return self.text.all()

    # --- loops

    def _body(self, block: Block) -> None:
        """The body of a block: declarations of its buffers and outer reductions, then its children."""
        with self.text.scope() as scope:
            for node in self.loop.members:
                buffer = self.storage.buffers.get(node)
                if buffer is not None and buffer.depth == block.depth:
                    scope.declare(f"{HELD[str(node.dtype)]} t{node.number}{buffer.lengths};")
            late = [m for m in self.loop.members.values() if not block.depth and m.late and not m.in_register]
            for member in late:
                self._initialize(member)
            self._children(block)
            for member in late:
                if axes := self.operands.stack_axes(member):
                    self.text.emit(*over(axes, self.dims, f"{self.operands.entry(member)} = {self._sum(member)};"))

    def _children(self, block: Block) -> None:
        stores: list[Member] = []  # after all values: a store may overwrite what another member reads
        for child in block.children:
            if isinstance(child, Block) and child.lanes:
                # gcc vectorises only a part of the strided loads; beside function calls they get a loop of their own.
                self.operands.preload = any(member.node.name in LIBRARY for member in child.members())
                with self._per_lane():
                    self._children(child)
            elif isinstance(child, Block):
                self._inner_loop(block, child)
            elif child.node.kind == "reduce" and not child.trivial:
                self.text.emit(*self.operands.accumulator(child).step(self.operands.read(child, 0)))
            else:
                self.text.emit(f"const {HELD[str(child.node.dtype)]} v{child.node.number} = {self._value(child)};")
                stores.append(child)
        for member in stores:
            self._store(member)

    def _inner_loop(self, outer: Block, block: Block) -> None:
        """The loop over one more axis, with the start and end of its reductions around it."""
        axis = block.depth - 1
        reductions = [m for m in block.members() if self._begins(m, outer.depth, axis)]
        for member in reductions:
            self.text.emit(*self.operands.accumulator(member).begin(self.dims))
        if axis == self.lanes:
            self._lane_loop(block, axis)
        else:
            innermost = not any(isinstance(child, Block) for child in block.children)
            if innermost and all(self._writes_each_index(member, axis) for member in block.members()):
                self.text.emit("INDEPENDENT")
            with self.text.braces(f"for (I i{axis} = 0; i{axis} < {self.dims[axis]}; i{axis}++)"):
                self._body(block)
        for member in reductions:
            accumulator = self.operands.accumulator(member)
            self.text.emit(*accumulator.end(self.dims))
            if member.in_register and (member.node in self.storage.stored or member.node in self.storage.buffers):
                with self._per_lane(accumulator.per_lane and not accumulator.partial):
                    self._store(member)

    def _lane_loop(self, block: Block, axis: int) -> None:
        """The loop over the axis of lanes: `LANES` indices at a time, then the remainder one by one."""
        dim, index = self.lengths[axis], f"i{axis}"
        multiple = f"n / {LANES} * {LANES}" if dim is N else str(dim // LANES * LANES)
        with self.text.braces(f"for (I j = 0; j < {multiple}; j += {LANES})"):
            self._body(block)
        if dim is N or dim % LANES:
            self.operands.remainder = True
            with self.text.braces(f"for (I {index} = {multiple}, l = 0; {index} < {self.dims[axis]}; {index}++, l++)"):
                self._body(block)
            self.operands.remainder = False

    @contextmanager
    def _per_lane(self, lanes: bool = True) -> Iterator[None]:
        """Put what is emitted within in a loop over the lanes; in the remainder and without lanes, in no loop."""
        if lanes and not self.operands.remainder:
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

    def _initialize(self, member: Member) -> None:
        """The initial values of an outer reduction."""
        node = member.node
        name, first = self.storage.array(node)
        if axes := self.operands.stack_axes(member):
            lengths = "".join(f"[{self.dims[axis]}]" for axis in axes)
            self.text.emit(f"{HELD[str(node.dtype)]} s{node.number}{lengths};")
            self.text.emit(*over(axes, self.dims, f"{self._sum(member)} = {identity(node)};"))
            return
        start = f"{name} + {first}" if first != ZERO else name
        self.text.emit(f"{STORED[str(node.dtype)]} *v{node.number} = {start};")
        self.text.emit(f"for (I i = 0; i < {size(node.shape)}; i++) v{node.number}[i] = {identity(node)};")

    def _sum(self, member: Member) -> str:
        """The entry of an outer reduction that is kept on the stack."""
        return self.operands.accumulator(member).entry

    def _begins(self, member: Member, depth: int, axis: int) -> bool:
        """Whether a reduction is initialised before the loop over the axis, inside the loops over ``depth`` axes."""
        if member.node.kind != "reduce" or member.trivial:
            return False
        if member.in_register:
            return member.depth == depth
        return axis == self.lanes and self.operands.accumulator(member).partial

    def _writes_each_index(self, member: Member, axis: int) -> bool:
        """Whether a member writes a different memory location for every index of the axis."""
        reduces = member.node.kind == "reduce" and not member.trivial
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
        """Store the value of a member where others read it: in a buffer of this loop, in an array, or in both."""
        node, value = member.node, self.operands.value(member)
        if node in self.storage.buffers:
            self.text.emit(f"t{node.number}{self.storage.buffers[node].indices} = {value};")
        if node in self.storage.stored:
            self.text.emit(f"{self.storage.entry(self.storage.places[node], member.strides)} = {value};")
