"""What a member of a loop reads at its index: a constant, a variable, or an entry of an array."""

import math

from mlpcore.compiler.accumulators import EVERY_LANE, Accumulator
from mlpcore.compiler.blocks import LANES, in_scope, lane_axis
from mlpcore.compiler.formulas import HELD, literal
from mlpcore.compiler.graph import N, Node, empty
from mlpcore.compiler.places import ONE, ZERO, Place
from mlpcore.compiler.schedule import Loop, Member, Strides, along
from mlpcore.compiler.storage import ROOM, Storage
from mlpcore.compiler.text import Text


class Operands:
    """The operands of the members of a loop; entries that inner loops do not change are read before these."""

    def __init__(self, storage: Storage, loop: Loop, text: Text | None = None) -> None:
        self.storage, self.loop, self.lanes = storage, loop, lane_axis(loop)
        self.single = False  # whether the indices after the last whole lanes are printed, one after the other
        self.apart = False  # whether what lies apart for neighbouring lanes is read in a loop of its own
        self._text = text or Text()
        self._count = 0  # of variables for entries that are read before inner loops

    def read(self, member: Member, position: int) -> str:
        """The operand at this position, as an expression for the formula of the member."""
        place = self.storage.places[member.node.inputs[position]]
        before = len(member.axes) - len(place.strides)
        return self._read(member, place, member.axes[before:])

    def gathered(self, member: Member) -> str:
        """An entry of the first operand whose place along one axis is an entry of the second."""
        node, axis = member.node, dict(member.node.attributes)["axis"]
        source, index = (self.storage.places[one] for one in node.inputs)
        count = node.inputs[1].ndim
        strides = (*source.strides[:axis], *[ZERO] * count, *source.strides[axis + 1 :])
        name, _, rest = self.storage.entry(source, along(strides, member.axes, self.loop)).partition("[")
        taken = f"(I){self._read(member, index, member.axes[axis : axis + count])}"
        if index.root in self.loop.members:
            taken = f"as_it_is({taken})"
        return f"{name}[{taken} * {source.strides[axis]} + {rest}"

    def accumulator(self, member: Member) -> Accumulator:
        """The reduction that a member is."""
        if member.in_register:
            return Accumulator(member, self.lanes, "")
        kept = self.held(member)
        entry = f"s{member.node.number}{''.join(f'[i{axis}]' for axis in kept)}" if kept else self.entry(member)
        return Accumulator(member, self.lanes, entry)

    def entry(self, member: Member) -> str:
        """The entry of a member in its array."""
        return self.storage.entry(self.storage.places[member.node], member.strides)

    def held(self, member: Member) -> list[int]:
        """The axes of a reduction over outer ones if it has few entries, such as the sums down the columns of a matrix:
        these are near the processor, on the stack, until the loop has ended."""
        kept = [axis for axis, stride in enumerate(member.strides) if stride != ZERO]
        lengths = [dim for axis in kept if (dim := self.loop.axes[axis]) is not N]
        return kept if len(lengths) == len(kept) and math.prod(lengths) <= ROOM else []

    def value(self, member: Member) -> str:
        """The variable of a member."""
        reduced = member.node.kind == "reduce" and not member.short
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
        strides = along(place.strides, axes, self.loop)
        entry = self.storage.entry(place, strides)
        return entry if source is not None or empty(root.shape) else self._before(member, root, entry, strides)

    def _before(self, member: Member, root: Node, entry: str, strides: Strides) -> str:
        """An entry of another item's array: a variable of the outermost scope whose indices it depends on."""
        depth = max((axis + 1 for axis, stride in enumerate(strides) if stride != ZERO), default=0)
        beside = self.lanes is not None and member.work > self.lanes
        within = len(self._text.scopes) - (not beside)  # a loop over lanes is one more, without a scope of its own
        stride = strides[self.lanes] if self.lanes is not None and beside else ZERO  # from lane to lane
        beside = stride != ZERO
        if depth >= within or (beside and (self.single or stride == ONE or not self.apart)):
            return entry
        scope = self._text.scopes[depth]
        if entry not in scope.names:
            name, kind = f"u{self._count}", HELD[str(root.dtype)]
            scope.names[entry] = name + "[l]" * beside
            if beside:
                index = f"const I i{self.lanes} = j + l;"
                scope.declare(f"{kind} {name}[{LANES}];")
                scope.declare(f"LANEWISE {EVERY_LANE} {{ {index} {name}[l] = {entry}; }}")
            else:
                scope.declare(f"const {kind} {name} = {entry};")
            self._count += 1
        return scope.names[entry]
