"""Where NumPy's calls leave their results: over the old state, over an operand that is used up, else in one arena."""

import math
from collections.abc import Sequence

import numpy as np

from mlpcore.compiler.graph import Node, Shape, long
from mlpcore.compiler.memory import ALIGNMENT, arena
from mlpcore.compiler.numpy_calls.layout import Layout
from mlpcore.compiler.numpy_calls.order import Group, is_choice, is_scalar, reads_in_step, sources
from mlpcore.compiler.places import ZERO, Place, Size, packed
from mlpcore.compiler.program import Program

AxisSlice = tuple[int, int, int]  # of an axis the rows from the second number to the third


class Memory:
    """An array for every node that needs one. ``given`` are those of the inputs."""

    def __init__(self, program: Program, order: Sequence[Group], rows: int, given: dict[Node, np.ndarray]) -> None:
        self.program, self.schedule, self.order = program, program.schedule, order
        self.places, self.layout = self.schedule.places, Layout(program.schedule, order, rows)
        self.group_of = {node: group for group in order for node in group.nodes}
        self.position = {node: i for i, node in enumerate(self.group_of)}
        self.outputs = {self.places[one].root for one in self.schedule.graph.outputs}
        self.old = dict(program.replaced)
        self.last = self._last_reads()
        self.home: dict[Node, tuple[Node, Size]] = {}
        self.padded: set[Node] = set()  # concatenations of which some parts never change: their memory is theirs alone
        self._place_parts()
        self._place_choices()
        self._replace()
        self.local = {node for node in self.position if self._is_local(node)}
        self._reuse_operands()
        self.arrays = dict(given)
        self._allocate()

    def whole(self, root: Node) -> tuple[Node, Size]:
        """The node whose array holds the entries of a root, and from which entry on."""
        begin = ZERO
        while root in self.home:
            root, more = self.home[root]
            begin = begin.plus(more)
        return root, begin

    def view(self, place: Place, shape: Shape, rows: AxisSlice | None = None) -> np.ndarray:
        """The entries at a place, in a shape: all of them, or those of some rows."""
        dims, owner = list(self.layout.dims(shape)), self.whole(place.root)
        local = place.root in self.local
        length = self.layout.tile_rows(self.group_of[place.root]) if local else None
        strides = self.layout.strides(place, length)
        offset = owner[1].plus(place.offset).at(self.layout.rows)
        if rows is not None:
            axis, start, stop = rows
            dims[axis] = stop - start
            offset += 0 if local else start * strides[axis]
        kind = place.root.dtype
        size = kind.itemsize
        return np.ndarray(tuple(dims), kind, self.arrays[owner[0]], offset * size, [size * step for step in strides])

    def result(self, node: Node, rows: AxisSlice | None = None) -> np.ndarray:
        """Where a node is computed."""
        return self.view(Place(node, ZERO, packed(node.shape)), node.shape, rows)

    def keeps_old(self, node: Node) -> bool:
        """Whether a choice is between a new value and the very state that it replaces, so that otherwise nothing is to
        be done."""
        if node not in self.old or not is_choice(self.schedule, node):
            return False
        return self.places[node.inputs[2]] == Place(self.old[node], ZERO, packed(node.shape))

    def is_stored(self, node: Node) -> bool:
        """Whether a single number is also kept in memory, for somebody who reads arrays."""
        return node in self.outputs or any(
            not is_scalar(user) and user.kind != "elementwise" for user in self.schedule.users[node]
        )

    def is_part(self, whole: Node, part: Node, begin: int) -> bool:
        """Whether a part of a concatenation, which begins at this index of its axis, is computed in its place."""
        axis = dict(whole.attributes)["axis"]
        offset = begin * math.prod(self.layout.dims(whole.shape[axis + 1 :]))
        target, at = self.home.get(self.places[part].root, (None, ZERO))
        return target is whole and at.at(self.layout.rows) == offset

    # --- homes: arrays that are part of another's

    def _last_reads(self) -> dict[Node, int]:
        """The last position at which a root is read, past the end for outputs; a choice that keeps_old reads no old state."""
        last: dict[Node, int] = {}
        for node, position in self.position.items():
            places = sources(self.schedule, node)
            last |= {place.root: position for place in (places[:2] if self.keeps_old(node) else places)}
        return last | {root: len(self.position) for root in self.outputs}

    def _place_parts(self) -> None:
        """Parts of concatenations are made in their place."""
        for part, (target, offset) in self.program.storage.home.items():
            if target.kind == "concat" and part not in self.layout.column_major:
                self.home[part] = (target, offset)
        for node in self.position:
            if node.kind == "concat" and any(self.places[one].root.kind == "constant" for one in node.inputs):
                self.padded.add(node)

    def _place_choices(self) -> None:
        """What only a choice reads is computed where the chosen value will stand."""
        for node, group in self.group_of.items():
            if group.condition is None or not is_choice(self.schedule, node) or is_scalar(node):
                continue
            root = self.places[node.inputs[1]].root
            here = root in self.position and self.group_of[root].condition is group.condition
            if here and root.kind != "concat" and root not in self.home and not is_scalar(root):
                if self._is_whole(root, self.places[node.inputs[1]], node):
                    self.home[root] = (node, ZERO)

    def _is_whole(self, root: Node, place: Place, node: Node) -> bool:
        """Whether a place is all of an array of the same form as that of a node."""
        alike = (root in self.layout.column_major) == (node in self.layout.column_major)
        return alike and root.dtype == node.dtype and place == Place(root, ZERO, packed(node.shape))

    def _replace(self) -> None:
        """New state is written over the old where nobody reads that any more; single numbers are, when all is done."""
        for new, old in self.old.items():
            makers = [new, *(node for node, (target, _) in self.home.items() if target is new)]
            if new in self.home or new in self.layout.column_major or new.dtype != old.dtype:
                continue
            if is_scalar(new) or all(self._may_overwrite(old, maker) for maker in makers):
                self.home[new] = (old, ZERO)

    def _may_overwrite(self, old: Node, node: Node) -> bool:
        """Whether an old value may be written over when a node is computed. A call may read what it writes over, but
        not in other tiles."""
        last, position, group = self.last.get(old, -1), self.position[node], self.group_of[node]
        if last > position or (last == position and node.kind != "elementwise"):
            return False
        return self.layout.tile_rows(group) is None or reads_in_step(self.schedule, group, node, old)

    # --- memory that is used again

    @staticmethod
    def _first_long(node: Node) -> int:
        return next(i for i, dim in enumerate(node.shape) if long(dim))

    def _is_local(self, node: Node) -> bool:
        """Whether a tile of a node at a time is enough: it is read nowhere but in its loop."""
        group = self.group_of[node]
        if self.layout.tile_rows(group) is None or node in self.outputs or node in self.home:
            return False
        if group.late(node) or group.member(node).axes[self._first_long(node)] != 0:
            return False
        users = self.schedule.users[node]
        return all(user in group.nodes and self.layout.in_tiles(group, user) for user in users)

    def _reuse_operands(self) -> None:
        """A result takes the place of an operand of the same form that nobody reads any more."""
        sharing: dict[Node, list[Node]] = {node: [] for node in self.position}
        for node in self.position:
            sharing.setdefault(self.whole(node)[0], []).append(node)
        for node, position in self.position.items():
            if node.kind != "elementwise" or node in self.home or node in self.outputs or is_scalar(node):
                continue
            group = self.group_of[node]
            before = [] if self.layout.tile_rows(group) is None else group.nodes  # in a walk all that it has read
            read = [p for one in before if self.position[one] < position for p in sources(self.schedule, one)]
            read += sources(self.schedule, node)[2 if node.name == "where" else 0 :]  # its other sides are read last
            for place in read:
                owner, _ = self.whole(place.root)
                if owner in self.position and self._is_spent(place, node, sharing[owner]):
                    self.home[node] = (place.root, ZERO)
                    sharing[owner].append(node)
                    break

    def _is_spent(self, place: Place, node: Node, sharing: list[Node]) -> bool:
        """Whether a node may be written over an operand, whose memory these share."""
        root, group = place.root, self.group_of[node]
        if is_scalar(root) or not self._is_whole(root, place, node) or (node in self.local) != (root in self.local):
            return False
        if any(one in self.padded or self.last.get(one, -1) > self.position[node] for one in sharing):
            return False
        return self.layout.tile_rows(group) is None or all(
            reads_in_step(self.schedule, group, node, one) for one in sharing
        )

    def _allocate(self) -> None:
        """One block of memory for all that is not given."""
        spans: dict[Node, tuple[int, int]] = {}
        end = len(self.position)
        for node, position in self.position.items():
            group = self.group_of[node]
            whole_loop = (self.position[group.nodes[0]], self.position[group.nodes[-1]])
            for root in (node, *(place.root for place in sources(self.schedule, node))):
                owner, _ = self.whole(root)
                if owner not in self.position or (is_scalar(root) and not self.is_stored(root)):
                    continue
                at_once = self.layout.tile_rows(group) is None or root in self.local
                first, last = (position, position) if at_once else whole_loop
                if owner in self.padded:
                    first, last = 0, end
                begin, until = spans.get(owner, (first, last))
                spans[owner] = (min(begin, first), end if root in self.outputs else max(until, last))
        counts = {owner: math.prod(self._dims(owner)) * owner.dtype.itemsize for owner in spans}
        offsets, length = arena([(*span, counts[owner]) for owner, span in spans.items()])
        memory = np.zeros(length + ALIGNMENT, np.uint8)
        begin = -memory.ctypes.data % ALIGNMENT
        for owner, offset in zip(spans, offsets, strict=True):
            self.arrays[owner] = memory[begin + offset : begin + offset + counts[owner]]
        for node in self.schedule.nodes:
            if node.name == "number":
                self.arrays[node] = np.full((), dict(node.attributes)["value"], node.dtype)
            elif node.kind == "constant":
                self.arrays[node] = np.ascontiguousarray(self.program.tracer.data[node])

    def _dims(self, node: Node) -> tuple[int, ...]:
        """The shape of the memory of a node: of an local one that of a tile."""
        dims = list(self.layout.dims(node.shape))
        if node in self.local:
            dims[self._first_long(node)] = self.layout.tile_rows(self.group_of[node])
        return tuple(dims)
