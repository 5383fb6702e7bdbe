"""The operands of the members of a loop, as C expressions: a constant, a variable, or an entry of an array."""

import math

from mlpcore.compiler.accumulators import EVERY_LANE, Accumulator
from mlpcore.compiler.blocks import LANES, in_scope, lane_axis
from mlpcore.compiler.formulas import HELD, literal
from mlpcore.compiler.graph import N, Node, empty
from mlpcore.compiler.places import ONE, ZERO, Place
from mlpcore.compiler.schedule import Loop, Member, Strides, loop_strides
from mlpcore.compiler.storage import MAX_STACK_ENTRIES, Storage
from mlpcore.compiler.text import Text


class Operands:
    """The operands of the members of a loop. Loads that do not depend on inner indices are hoisted out of the inner
    loops."""

    def __init__(self, storage: Storage, loop: Loop, text: Text | None = None) -> None:
        self.storage, self.loop, self.lanes = storage, loop, lane_axis(loop)
        self.remainder = False  # whether the remainder loop is printed: the indices after the last full set of lanes
        self.preload = False  # whether strided loads of the lanes are done in a loop of their own
        self._text = text or Text()
        self._count = 0  # of hoisted loads

    def read(self, member: Member, position: int) -> str:
        """The operand at this position, as an expression for the formula of the member."""
        place = self.storage.places[member.node.inputs[position]]
        before = len(member.axes) - len(place.strides)
        return self._read(member, place, member.axes[before:])

    def gathered(self, member: Member) -> str:
        """The expression of a gather: an entry of the first operand, whose index along one axis is in the second."""
        node, axis = member.node, dict(member.node.attributes)["axis"]
        source, index = (self.storage.places[operand] for operand in node.inputs)
        count = node.inputs[1].ndim
        strides = (*source.strides[:axis], *[ZERO] * count, *source.strides[axis + 1 :])
        name, _, offset = self.storage.entry(source, loop_strides(strides, member.axes, self.loop)).partition("[")
        gathered_index = f"(I){self._read(member, index, member.axes[axis : axis + count])}"
        if index.root in self.loop.members:
            gathered_index = f"as_it_is({gathered_index})"
        return f"{name}[{gathered_index} * {source.strides[axis]} + {offset}"

    def accumulator(self, member: Member) -> Accumulator:
        """The accumulator of a member that is a reduction."""
        if member.in_register:
            return Accumulator(member, self.lanes, "")
        axes = self.stack_axes(member)
        entry = f"s{member.node.number}{''.join(f'[i{axis}]' for axis in axes)}" if axes else self.entry(member)
        return Accumulator(member, self.lanes, entry)

    def entry(self, member: Member) -> str:
        """The entry of a member in its array."""
        return self.storage.entry(self.storage.places[member.node], member.strides)

    def stack_axes(self, member: Member) -> list[int]:
        """The axes that an outer reduction keeps, if its result is small enough for the stack; else none.

        The sums down the columns of a matrix, for example, are kept on the stack until the loop has ended.
        """
        axes = [axis for axis, stride in enumerate(member.strides) if stride != ZERO]
        lengths = [dim for axis in axes if (dim := self.loop.axes[axis]) is not N]
        return axes if len(lengths) == len(axes) and math.prod(lengths) <= MAX_STACK_ENTRIES else []

    def value(self, member: Member) -> str:
        """The variable that holds the value of a member."""
        reduced = member.node.kind == "reduce" and not member.trivial
        return self.accumulator(member).value if reduced else f"v{member.node.number}"

    def _read(self, member: Member, place: Place, axes: tuple[int, ...]) -> str:
        root = place.root
        if root.name == "number":
            value = dict(root.attributes)["value"]
            return self.storage.number(root) if root.dtype.kind == "f" else literal(value, root.dtype)
        source = self.loop.members.get(root)
        if source is not None and in_scope(self.loop, self.storage.paths, root, member.node):
            return self.value(source)
        if source is not None and root in self.storage.buffers:
            return f"t{root.number}{self.storage.buffers[root].indices}"
        strides = loop_strides(place.strides, axes, self.loop)
        entry = self.storage.entry(place, strides)
        return entry if source is not None or empty(root.shape) else self._hoisted(member, root, entry, strides)

    def _hoisted(self, member: Member, root: Node, entry: str, strides: Strides) -> str:
        """An entry of another item's array, loaded in the outermost scope in which all its indices are known."""
        depth = max((axis + 1 for axis, stride in enumerate(strides) if stride != ZERO), default=0)
        per_lane = self.lanes is not None and member.inner_depth > self.lanes
        within = len(self._text.scopes) - (not per_lane)  # a loop over lanes has no scope of its own
        stride = strides[self.lanes] if self.lanes is not None and per_lane else ZERO  # from lane to lane
        per_lane = stride != ZERO
        if depth >= within or (per_lane and (self.remainder or stride == ONE or not self.preload)):
            return entry
        scope = self._text.scopes[depth]
        if entry not in scope.names:
            name, kind = f"u{self._count}", HELD[str(root.dtype)]
            scope.names[entry] = name + "[l]" * per_lane
            if per_lane:
                index = f"const I i{self.lanes} = j + l;"
                scope.declare(f"{kind} {name}[{LANES}];")
                scope.declare(f"LANEWISE {EVERY_LANE} {{ {index} {name}[l] = {entry}; }}")
            else:
                scope.declare(f"const {kind} {name} = {entry};")
            self._count += 1
        return scope.names[entry]
