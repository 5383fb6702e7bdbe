"""The layout of loops and arrays for NumPy calls: which loops run in tiles, which arrays are column-major."""

import math
from collections.abc import Sequence

from mlpcore.compiler.graph import Dim, Node, Shape, concrete, long
from mlpcore.compiler.numpy_calls.groups import Group
from mlpcore.compiler.places import ONE, ZERO, Place, packed
from mlpcore.compiler.schedule import Loop, Member, Schedule

TILE = 64 * 1024  # entries of an array in a tile, so that several arrays fit a second-level cache
MOST_TILES = 1 << 16  # a limit, as every tile has views of its own
TALL, NARROW = 16, 64  # with this many rows and columns, sums along rows are faster in column-major arrays


class ArrayLayout:
    """The layout for a number of rows; ``column_major`` are the arrays in that memory order."""

    def __init__(self, schedule: Schedule, order: Sequence[Group], rows: int) -> None:
        self.schedule, self.rows = schedule, rows
        self.column_major = self._column_major(order)

    def dims(self, shape: Shape) -> tuple[int, ...]:
        """The shape with the actual number of rows."""
        return concrete(shape, self.rows)

    def tile_rows(self, group: Group) -> int | None:
        """The rows of a tile of a group; None for a group that is computed as a whole."""
        if group.loop is None or any(node.kind == "take" for node in group.nodes):
            return None
        first, *inner = self.dims(group.loop.axes) or (0,)
        width = math.prod(inner)
        return max(1, TILE // width, first // MOST_TILES) if first * width > TILE and first > 1 else None

    def in_tiles(self, group: Group, node: Node) -> bool:
        """Whether a node can be computed tile by tile; a reduction of rows then has a partial result for each tile."""
        if not group.late(node):
            return True
        return node.name != "argmax" and group.member(node).axes.index(0) in dict(node.attributes)["axes"]

    def strides(self, place: Place, column: int | None = None) -> tuple[int, ...]:
        """Strides in entries; ``column`` is the length of a column in memory if it differs from the array's."""
        if place.root not in self.column_major:
            return tuple(stride.at(self.rows) for stride in place.strides)
        rows, _ = (dim for dim in self.dims(place.root.shape) if dim != 1)
        strides = {ZERO: 0, ONE: rows if column is None else column}
        return tuple(strides.get(stride, 1) for stride in place.strides)

    def _column_major(self, order: Sequence[Group]) -> set[Node]:
        """The arrays of tall and narrow loops with the axes of a loop that reduces along rows.

        Results of products stay row-major, as BLAS is faster with many rows than with many columns.
        """
        loops = [group.loop for group in order if group.loop is not None and self._is_tall(group.loop)]
        axes = {loop.axes for loop in loops if any(map(_reduces_rows, loop.members.values()))}
        members = [member for loop in loops if loop.axes in axes for member in loop.members.values()]
        fitting = [member.node for member in members if not member.late and member.strides == packed(member.node.shape)]
        return {node for node in fitting if sum(map(long, node.shape)) == 2 and self._is_seen_as_matrix(node)}

    def _is_tall(self, loop: Loop) -> bool:
        dims = self.dims(loop.axes)
        return len(dims) == 2 and dims[0] >= TALL and 1 < dims[1] <= NARROW

    def _is_seen_as_matrix(self, node: Node) -> bool:
        """Whether all views of an array have its rows and columns as separate axes."""
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


def _fits(dim: Dim, length: Dim) -> bool:
    return dim is length or (isinstance(dim, int) and isinstance(length, int) and dim <= length)


def _reduces_rows(member: Member) -> bool:
    return member.node.kind == "reduce" and not member.late and not member.trivial and member.depth == 1
