"""Decides which results of NumPy calls are written into other arrays: the state, choices, concatenations."""

import math
from collections.abc import Sequence

from mlpcore.compiler.graph import Node
from mlpcore.compiler.memory import owner_of
from mlpcore.compiler.numpy_calls.groups import Group, is_choice, is_scalar, reads_same_entry, sources
from mlpcore.compiler.numpy_calls.layout import ArrayLayout
from mlpcore.compiler.places import ZERO, Place, Size, packed
from mlpcore.compiler.program import Program


class Placement:
    """``placed``: nodes that share the array of another node, with that node and the offset. ``old``: the state that
    each new value replaces. ``padded``: concatenations with constant operands, whose memory is never reused."""

    def __init__(self, program: Program, order: Sequence[Group], rows: int) -> None:
        self.program, self.schedule, self.order = program, program.schedule, order
        self.places, self.layout = self.schedule.places, ArrayLayout(program.schedule, order, rows)
        self.group_of = {node: group for group in order for node in group.nodes}
        self.position = {node: i for i, node in enumerate(self.group_of)}
        self.outputs = {self.places[output].root for output in self.schedule.graph.outputs}
        self.old = dict(program.replaced)
        self.last = self._last_reads()
        self.placed: dict[Node, tuple[Node, Size]] = {}
        self.padded: set[Node] = set()
        self._place_parts()
        self._place_chosen()
        self._replace_state()

    def owner_of(self, root: Node) -> tuple[Node, Size]:
        """The node whose array holds the entries of a root, and the offset in it."""
        return owner_of(self.placed, root)

    def is_branch(self, node: Node) -> bool:
        """Whether a node is a choice that is printed at the end of the branch of its condition."""
        return self.group_of[node].condition is not None and is_choice(self.schedule, node)

    def keeps_old(self, node: Node) -> bool:
        """Whether a choice is between a new value and the state that it replaces, so that it writes the new value or
        nothing."""
        if node not in self.old or not is_choice(self.schedule, node):
            return False
        return self.places[node.inputs[2]] == Place(self.old[node], ZERO, packed(node.shape))

    def is_part(self, concatenation: Node, operand: Node, start: int) -> bool:
        """Whether an operand that begins at index ``start`` of the axis is computed in the concatenation's memory."""
        axis = dict(concatenation.attributes)["axis"]
        offset = start * math.prod(self.layout.dims(concatenation.shape[axis + 1 :]))
        target, at = self.placed.get(self.places[operand].root, (None, ZERO))
        return target is concatenation and at.at(self.layout.rows) == offset

    def is_read_in_memory(self, scalar: Node) -> bool:
        """Whether a node reads a scalar as an array."""
        return any(not is_scalar(user) and user.kind != "elementwise" for user in self.schedule.users[scalar])

    def same_form(self, place: Place, node: Node) -> bool:
        """Whether a place is a whole array with the memory order and dtype of a node's result."""
        alike = (place.root in self.layout.column_major) == (node in self.layout.column_major)
        return alike and place.root.dtype == node.dtype and place == Place(place.root, ZERO, packed(node.shape))

    def _last_reads(self) -> dict[Node, int]:
        """The last position at which each root is read, for outputs past the end. A choice does not read kept state."""
        last: dict[Node, int] = {}
        for node, position in self.position.items():
            places = sources(self.schedule, node)
            last |= {place.root: position for place in (places[:2] if self.keeps_old(node) else places)}
        return last | {root: len(self.position) for root in self.outputs}

    def _place_parts(self) -> None:
        """Place operands of concatenations in the result."""
        for operand_root, (target, offset) in self.program.storage.placed.items():
            if target.kind == "concat" and operand_root not in self.layout.column_major:
                self.placed[operand_root] = (target, offset)
        for node in self.position:
            if node.kind == "concat" and any(self.places[operand].root.kind == "constant" for operand in node.inputs):
                self.padded.add(node)

    def _place_chosen(self) -> None:
        """Place the first operand of a choice in the memory of the choice."""
        for node in filter(self.is_branch, self.position):
            place = self.places[node.inputs[1]]
            root, condition = place.root, self.group_of[node].condition
            if root not in self.position or root in self.placed or root.kind == "concat" or is_scalar(root):
                continue
            if self.group_of[root].condition is condition and self.same_form(place, node):
                self.placed[root] = (node, ZERO)

    def _replace_state(self) -> None:
        """Place new state in the memory of the old where the old is not read later.

        Scalars are written at the end, so no other node may read a new scalar from memory.
        """
        for new, old in self.old.items():
            makers = [new, *(node for node, (target, _) in self.placed.items() if target is new)]
            if new in self.placed or new in self.padded or new in self.layout.column_major or new.dtype != old.dtype:
                continue
            if is_scalar(new):
                written = not self.is_read_in_memory(new)
            else:
                written = all(self._may_overwrite(old, maker) for maker in makers)
            if written:
                self.placed[new] = (old, ZERO)

    def _may_overwrite(self, old: Node, node: Node) -> bool:
        """Whether old state may be overwritten when a node is computed; the call itself may read the same entries."""
        last, position, group = self.last.get(old, -1), self.position[node], self.group_of[node]
        if last > position or (last == position and node.kind != "elementwise"):
            return False
        return self.layout.tile_rows(group) is None or reads_same_entry(self.schedule, group, node, old)
