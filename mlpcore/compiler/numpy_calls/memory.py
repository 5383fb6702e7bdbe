"""The arrays of NumPy calls, in one block of memory that is reused by lifetimes."""

import math
from collections.abc import Sequence

import numpy as np

from mlpcore.compiler.graph import Node, Shape, long
from mlpcore.compiler.memory import arena, temporary_bytes
from mlpcore.compiler.numpy_calls.groups import Group, is_scalar, reads_same_entry, sources
from mlpcore.compiler.numpy_calls.placement import Placement
from mlpcore.compiler.places import ZERO, Place, packed
from mlpcore.compiler.program import Program

AxisSlice = tuple[int, int, int]  # axis, start, stop


class ArrayMemory(Placement):
    """An array for every node that needs one. ``inputs`` are the arrays of the inputs. The array of a ``local`` node
    holds only one tile at a time."""

    def __init__(self, program: Program, order: Sequence[Group], rows: int, inputs: dict[Node, np.ndarray]) -> None:
        super().__init__(program, order, rows)
        self.local = {node for node in self.position if self._is_local(node)}
        self._reuse()
        self.arrays = dict(inputs)
        self._allocate()

    def view(self, place: Place, shape: Shape, rows: AxisSlice | None = None) -> np.ndarray:
        """A view of the entries at a place: all of them, or those of a slice of one axis."""
        dims, (owner, first), local = list(self.layout.dims(shape)), self.owner_of(place.root), place.root in self.local
        strides = self.layout.strides(place, self.layout.tile_rows(self.group_of[place.root]) if local else None)
        offset = first.plus(place.offset).at(self.layout.rows)
        if rows is not None:
            axis, start, stop = rows
            dims[axis] = stop - start
            offset += 0 if local else start * strides[axis]
        dtype = place.root.dtype
        if 0 in dims:  # the offset may be beyond the end of the memory
            return np.empty(dims, dtype)
        size = dtype.itemsize
        return np.ndarray(tuple(dims), dtype, self.arrays[owner], offset * size, [size * step for step in strides])

    def result(self, node: Node, rows: AxisSlice | None = None) -> np.ndarray:
        """The array, or the slice of it, that a node is written to."""
        return self.view(Place(node, ZERO, packed(node.shape)), node.shape, rows)

    def is_stored(self, node: Node) -> bool:
        """Whether a scalar is also stored in memory, because it is an output or is read as an array."""
        return node in self.outputs or self.is_read_in_memory(node)

    @staticmethod
    def _first_long(node: Node) -> int:
        return next(i for i, dim in enumerate(node.shape) if long(dim))

    def _is_local(self, node: Node) -> bool:
        """Whether a node of a loop in tiles is read only in the same tile of its loop."""
        group = self.group_of[node]
        if self.layout.tile_rows(group) is None or node in self.outputs or node in self.placed:
            return False
        if group.late(node) or group.member(node).axes[self._first_long(node)] != 0:
            return False
        users = self.schedule.users[node]
        return all(user in group.nodes and self.layout.in_tiles(group, user) for user in users)

    def _reuse(self) -> None:
        """Place a result in the memory of an operand of the same form that is not read later."""
        sharing: dict[Node, list[Node]] = {}
        for node in self.position:
            sharing.setdefault(self.owner_of(node)[0], []).append(node)
        for node in self.position:
            if node.kind != "elementwise" or node in self.placed or node in self.outputs or is_scalar(node):
                continue
            for place in self._read_before(node):
                owner, _ = self.owner_of(place.root)
                if owner in self.position and self._is_spent(place, node, sharing[owner]):
                    self.placed[node] = (place.root, ZERO)
                    sharing[owner].append(node)
                    break

    def _read_before(self, node: Node) -> list[Place]:
        """The places that are no longer read when a node is written: its operands, without those that ``where`` reads
        after its first copy; in a loop in tiles also what the nodes before it have read."""
        group, position = self.group_of[node], self.position[node]
        tile_nodes = [] if self.layout.tile_rows(group) is None else group.nodes
        places = [
            place for other in tile_nodes if self.position[other] < position for place in sources(self.schedule, other)
        ]
        return places + sources(self.schedule, node)[2 if node.name == "where" else 0 :]

    def _is_spent(self, place: Place, node: Node, sharing: list[Node]) -> bool:
        """Whether a node may overwrite an operand; ``sharing`` are the nodes in the operand's memory."""
        root, group = place.root, self.group_of[node]
        if is_scalar(root) or not self.same_form(place, node) or (node in self.local) != (root in self.local):
            return False
        if any(sharer in self.padded or self.last.get(sharer, -1) > self.position[node] for sharer in sharing):
            return False
        in_tiles = self.layout.tile_rows(group) is not None
        return not in_tiles or all(reads_same_entry(self.schedule, group, node, sharer) for sharer in sharing)

    def _spans(self) -> dict[Node, tuple[int, int]]:
        """The first and the last position at which each array is in use; in a loop in tiles the whole loop, except for
        local nodes."""
        spans: dict[Node, tuple[int, int]] = {}
        end = len(self.position)
        for node, position in self.position.items():
            group = self.group_of[node]
            loop = (self.position[group.nodes[0]], self.position[group.nodes[-1]])
            for root in (node, *(place.root for place in sources(self.schedule, node))):
                owner, _ = self.owner_of(root)
                if owner not in self.position or (is_scalar(root) and not self.is_stored(root)):
                    continue
                at_once = self.layout.tile_rows(group) is None or root in self.local
                first, last = (0, end) if owner in self.padded else (position, position) if at_once else loop
                start, until = spans.get(owner, (first, last))
                spans[owner] = (min(start, first), end if root in self.outputs else max(until, last))
        return spans

    def _allocate(self) -> None:
        spans = self._spans()
        counts = {owner: math.prod(self._dims(owner)) * owner.dtype.itemsize for owner in spans}
        offsets, length = arena([(*span, counts[owner]) for owner, span in spans.items()])
        memory = temporary_bytes(length)
        for owner, offset in zip(spans, offsets, strict=True):
            self.arrays[owner] = memory[offset : offset + counts[owner]]
        for node in self.schedule.nodes:
            if node.name == "number":
                self.arrays[node] = np.full((), dict(node.attributes)["value"], node.dtype)
            elif node.kind == "constant":
                self.arrays[node] = np.ascontiguousarray(self.program.tracer.data[node])

    def _dims(self, node: Node) -> tuple[int, ...]:
        """The shape of a node's memory: that of a tile for local nodes."""
        dims = list(self.layout.dims(node.shape))
        if node in self.local:
            dims[self._first_long(node)] = self.layout.tile_rows(self.group_of[node]) or 0
        return tuple(dims)
