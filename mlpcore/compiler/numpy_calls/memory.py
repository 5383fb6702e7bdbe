"""The arrays of NumPy's calls: one block of memory that is used again as soon as nobody will read what it holds."""

import math
from collections.abc import Sequence

import numpy as np

from mlpcore.compiler.graph import Node, Shape, long
from mlpcore.compiler.memory import aligned, arena
from mlpcore.compiler.numpy_calls.homes import Homes
from mlpcore.compiler.numpy_calls.order import Group, is_scalar, reads_in_step, sources
from mlpcore.compiler.places import ZERO, Place, packed
from mlpcore.compiler.program import Program

AxisSlice = tuple[int, int, int]  # of an axis the indices from the second number to the third


class ArrayMemory(Homes):
    """An array for every node that needs one. ``given`` are those of the inputs; of ``local`` nodes memory holds one
    tile at a time."""

    def __init__(self, program: Program, order: Sequence[Group], rows: int, given: dict[Node, np.ndarray]) -> None:
        super().__init__(program, order, rows)
        self.local = {node for node in self.position if self._is_local(node)}
        self._reuse()
        self.arrays = dict(given)
        self._allocate()

    def view(self, place: Place, shape: Shape, rows: AxisSlice | None = None) -> np.ndarray:
        """The entries at a place, in a shape: all of them, or those of some rows."""
        dims, (owner, begin), local = list(self.layout.dims(shape)), self.whole(place.root), place.root in self.local
        strides = self.layout.strides(place, self.layout.tile_rows(self.group_of[place.root]) if local else None)
        offset = begin.plus(place.offset).at(self.layout.rows)
        if rows is not None:
            axis, start, stop = rows
            dims[axis] = stop - start
            offset += 0 if local else start * strides[axis]
        dtype = place.root.dtype
        if 0 in dims:  # the offset may lie beyond the memory
            return np.empty(dims, dtype)
        size = dtype.itemsize
        return np.ndarray(tuple(dims), dtype, self.arrays[owner], offset * size, [size * step for step in strides])

    def result(self, node: Node, rows: AxisSlice | None = None) -> np.ndarray:
        """Where a node is computed."""
        return self.view(Place(node, ZERO, packed(node.shape)), node.shape, rows)

    def is_stored(self, node: Node) -> bool:
        """Whether a scalar is also kept in memory, for somebody who reads arrays."""
        return node in self.outputs or self.is_read_in_memory(node)

    @staticmethod
    def _first_long(node: Node) -> int:
        return next(i for i, dim in enumerate(node.shape) if long(dim))

    def _is_local(self, node: Node) -> bool:
        """Whether a node of a loop in tiles is read nowhere but in its loop."""
        group = self.group_of[node]
        if self.layout.tile_rows(group) is None or node in self.outputs or node in self.home:
            return False
        if group.late(node) or group.member(node).axes[self._first_long(node)] != 0:
            return False
        users = self.schedule.users[node]
        return all(user in group.nodes and self.layout.in_tiles(group, user) for user in users)

    def _reuse(self) -> None:
        """A result takes the place of an operand of the same form that nobody reads any more."""
        sharing: dict[Node, list[Node]] = {}
        for node in self.position:
            sharing.setdefault(self.whole(node)[0], []).append(node)
        for node in self.position:
            if node.kind != "elementwise" or node in self.home or node in self.outputs or is_scalar(node):
                continue
            for place in self._read_before(node):
                owner, _ = self.whole(place.root)
                if owner in self.position and self._is_spent(place, node, sharing[owner]):
                    self.home[node] = (place.root, ZERO)
                    sharing[owner].append(node)
                    break

    def _read_before(self, node: Node) -> list[Place]:
        """What has been read when a node is written: its operands, but those that ``where`` reads after its first copy;
        in a tile also what other nodes have read."""
        group, position = self.group_of[node], self.position[node]
        others = [] if self.layout.tile_rows(group) is None else group.nodes
        places = [place for one in others if self.position[one] < position for place in sources(self.schedule, one)]
        return places + sources(self.schedule, node)[2 if node.name == "where" else 0 :]

    def _is_spent(self, place: Place, node: Node, sharing: list[Node]) -> bool:
        """Whether a node may be written over an operand, whose memory these share."""
        root, group = place.root, self.group_of[node]
        if is_scalar(root) or not self.same_form(place, node) or (node in self.local) != (root in self.local):
            return False
        if any(one in self.padded or self.last.get(one, -1) > self.position[node] for one in sharing):
            return False
        in_tiles = self.layout.tile_rows(group) is not None
        return not in_tiles or all(reads_in_step(self.schedule, group, node, one) for one in sharing)

    def _spans(self) -> dict[Node, tuple[int, int]]:
        """The first and the last position at which memory is in use; in a loop in tiles that is all of the loop, but
        for local nodes."""
        spans: dict[Node, tuple[int, int]] = {}
        end = len(self.position)
        for node, position in self.position.items():
            group = self.group_of[node]
            loop = (self.position[group.nodes[0]], self.position[group.nodes[-1]])
            for root in (node, *(place.root for place in sources(self.schedule, node))):
                owner, _ = self.whole(root)
                if owner not in self.position or (is_scalar(root) and not self.is_stored(root)):
                    continue
                at_once = self.layout.tile_rows(group) is None or root in self.local
                first, last = (0, end) if owner in self.padded else (position, position) if at_once else loop
                begin, until = spans.get(owner, (first, last))
                spans[owner] = (min(begin, first), end if root in self.outputs else max(until, last))
        return spans

    def _allocate(self) -> None:
        spans = self._spans()
        counts = {owner: math.prod(self._dims(owner)) * owner.dtype.itemsize for owner in spans}
        offsets, length = arena([(*span, counts[owner]) for owner, span in spans.items()])
        memory = aligned(length)
        for owner, offset in zip(spans, offsets, strict=True):
            self.arrays[owner] = memory[offset : offset + counts[owner]]
        for node in self.schedule.nodes:
            if node.name == "number":
                self.arrays[node] = np.full((), dict(node.attributes)["value"], node.dtype)
            elif node.kind == "constant":
                self.arrays[node] = np.ascontiguousarray(self.program.tracer.data[node])

    def _dims(self, node: Node) -> tuple[int, ...]:
        """The shape of what memory holds of a node."""
        dims = list(self.layout.dims(node.shape))
        if node in self.local:
            dims[self._first_long(node)] = self.layout.tile_rows(self.group_of[node]) or 0
        return tuple(dims)
