"""How NumPy walks loops: which go piece by piece, and which arrays lie with their columns in one piece."""

import math
from collections.abc import Sequence

from mlpcore.compiler.graph import Dim, Node, long
from mlpcore.compiler.numpy_order import Group
from mlpcore.compiler.places import ONE, ZERO, Place, packed
from mlpcore.compiler.schedule import Loop, Member, Schedule

PIECE = 64 * 1024  # entries of an array in a piece: some of them fit a second-level cache
TALL, NARROW = 16, 64  # rows and columns, from where on sums along rows are faster as sums of whole columns


class Layout:
    """What depends on the number of rows but not on who reads what when."""

    def __init__(self, schedule: Schedule, order: Sequence[Group], rows: int) -> None:
        self.schedule, self.rows = schedule, rows
        self.turned = self._turned(order)

    def dims(self, shape: Sequence) -> tuple[int, ...]:
        """A shape with the number of rows in it."""
        return tuple(dim if isinstance(dim, int) else self.rows for dim in shape)

    def length(self, group: Group) -> int | None:
        """The rows of a piece; None for a group that is computed at once."""
        if group.loop is None or any(node.kind == "take" for node in group.nodes):
            return None
        first, *rest = self.dims(group.loop.axes) or (0,)
        width = math.prod(rest)
        return max(1, PIECE // width) if first * width > PIECE and first > 1 else None

    def in_pieces(self, group: Group, node: Node) -> bool:
        """Whether a node of a walked group can be computed piece by piece; a result for all rows then of partial ones."""
        if not group.late(node):
            return True
        return node.name != "argmax" and group.member(node).axes.index(0) in dict(node.attributes)["axes"]

    def strides(self, place: Place, column: int | None = None) -> tuple[int, ...]:
        """Strides in entries; a turned array's columns lie ``column`` entries apart, by default as many as it has rows."""
        if place.root not in self.turned:
            return tuple(stride.at(self.rows) for stride in place.strides)
        rows, _ = (dim for dim in self.dims(place.root.shape) if dim != 1)
        apart = {ZERO: 0, ONE: rows if column is None else column}
        return tuple(apart.get(stride, 1) for stride in place.strides)

    def _turned(self, order: Sequence[Group]) -> set[Node]:
        """Arrays of tall, narrow loops of the forms in which rows are reduced, and products made for these."""
        loops = [group.loop for group in order if group.loop is not None and self._is_tall(group.loop)]
        forms = {loop.axes for loop in loops if any(map(_reduces_rows, loop.members.values()))}
        wanted = {
            node
            for loop in loops
            if loop.axes in forms
            for node, member in loop.members.items()
            if not member.late and member.strides == packed(loop.axes)
        }
        for node in reversed(self.schedule.nodes):
            users = self.schedule.users[node]
            made = node.kind == "matmul" and node.ndim == 2 and node.shape in forms
            if made and all(user in wanted or user.kind == "matmul" for user in users):
                wanted.add(node)
        return {node for node in wanted if self._is_turnable(node)}

    def _is_tall(self, loop: Loop) -> bool:
        dims = self.dims(loop.axes)
        return len(dims) == 2 and dims[0] >= TALL and 1 < dims[1] <= NARROW

    def _is_turnable(self, node: Node) -> bool:
        """Whether everybody who looks at an array looks along its rows or columns."""
        lengths = [dim for dim in node.shape if long(dim)]
        strides = [stride for stride in packed(node.shape) if stride != ZERO]
        for key, place in self.schedule.places.items():
            shape = (key[1] if isinstance(key, tuple) else key).shape
            if place.root is not node:
                continue
            if place.offset != ZERO:
                return False
            for dim, stride in zip(shape, place.strides, strict=True):
                if stride != ZERO and not (stride in strides and _fits(dim, lengths[strides.index(stride)])):
                    return False
        return True


def _fits(dim: Dim, whole: Dim) -> bool:
    return dim is whole or (isinstance(dim, int) and isinstance(whole, int) and dim <= whole)


def _reduces_rows(member: Member) -> bool:
    return member.node.kind == "reduce" and not member.late and not member.short and member.depth == 1
