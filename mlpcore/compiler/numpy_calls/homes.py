"""Which results of NumPy's calls are made in the place of others: of state, of choices, of concatenations."""

import math
from collections.abc import Sequence

from mlpcore.compiler.graph import Node
from mlpcore.compiler.memory import whole
from mlpcore.compiler.numpy_calls.layout import ArrayLayout
from mlpcore.compiler.numpy_calls.order import Group, is_choice, is_scalar, reads_in_step, sources
from mlpcore.compiler.places import ZERO, Place, Size, packed
from mlpcore.compiler.program import Program


class Homes:
    """``home`` says which arrays are part of another's and from which entry on; ``old`` which state a value replaces.

    ``padded`` are the concatenations of which some parts never change: their memory is theirs alone.
    """

    def __init__(self, program: Program, order: Sequence[Group], rows: int) -> None:
        self.program, self.schedule, self.order = program, program.schedule, order
        self.places, self.layout = self.schedule.places, ArrayLayout(program.schedule, order, rows)
        self.group_of = {node: group for group in order for node in group.nodes}
        self.position = {node: i for i, node in enumerate(self.group_of)}
        self.outputs = {self.places[one].root for one in self.schedule.graph.outputs}
        self.old = dict(program.replaced)
        self.last = self._last_reads()
        self.home: dict[Node, tuple[Node, Size]] = {}
        self.padded: set[Node] = set()
        self._place_parts()
        self._place_chosen()
        self._replace_state()

    def whole(self, root: Node) -> tuple[Node, Size]:
        """The node whose array holds the entries of a root, and from which entry on."""
        return whole(self.home, root)

    def is_branch(self, node: Node) -> bool:
        """Whether a node is a choice that stands at the end of the branch of its condition."""
        return self.group_of[node].condition is not None and is_choice(self.schedule, node)

    def keeps_old(self, node: Node) -> bool:
        """Whether a choice is between a new value and the very state that it replaces: then it writes the new or
        nothing."""
        if node not in self.old or not is_choice(self.schedule, node):
            return False
        return self.places[node.inputs[2]] == Place(self.old[node], ZERO, packed(node.shape))

    def is_part(self, whole: Node, part: Node, begin: int) -> bool:
        """Whether a part of a concatenation, which begins at this index of its axis, is computed in its place."""
        axis = dict(whole.attributes)["axis"]
        offset = begin * math.prod(self.layout.dims(whole.shape[axis + 1 :]))
        target, at = self.home.get(self.places[part].root, (None, ZERO))
        return target is whole and at.at(self.layout.rows) == offset

    def is_read_in_memory(self, scalar: Node) -> bool:
        """Whether a node reads a scalar as an array."""
        return any(not is_scalar(user) and user.kind != "elementwise" for user in self.schedule.users[scalar])

    def same_form(self, place: Place, node: Node) -> bool:
        """Whether a place is a whole array that lies as the result of a node does."""
        alike = (place.root in self.layout.column_major) == (node in self.layout.column_major)
        return alike and place.root.dtype == node.dtype and place == Place(place.root, ZERO, packed(node.shape))

    def _last_reads(self) -> dict[Node, int]:
        """The last position at which a root is read, for outputs past the end. What a choice keeps it does not read."""
        last: dict[Node, int] = {}
        for node, position in self.position.items():
            places = sources(self.schedule, node)
            last |= {place.root: position for place in (places[:2] if self.keeps_old(node) else places)}
        return last | {root: len(self.position) for root in self.outputs}

    def _place_parts(self) -> None:
        """Parts of concatenations into the whole."""
        for part, (target, offset) in self.program.storage.home.items():
            if target.kind == "concat" and part not in self.layout.column_major:
                self.home[part] = (target, offset)
        for node in self.position:
            if node.kind == "concat" and any(self.places[one].root.kind == "constant" for one in node.inputs):
                self.padded.add(node)

    def _place_chosen(self) -> None:
        """What a choice takes if its condition holds, where the choice is to stand."""
        for node in filter(self.is_branch, self.position):
            place = self.places[node.inputs[1]]
            root, condition = place.root, self.group_of[node].condition
            if root not in self.position or root in self.home or root.kind == "concat" or is_scalar(root):
                continue
            if self.group_of[root].condition is condition and self.same_form(place, node):
                self.home[root] = (node, ZERO)

    def _replace_state(self) -> None:
        """New state over the old where nobody reads that any more; scalars are written when all else is done, so that
        nobody may read the new one there."""
        for new, old in self.old.items():
            makers = [new, *(node for node, (target, _) in self.home.items() if target is new)]
            if new in self.home or new in self.padded or new in self.layout.column_major or new.dtype != old.dtype:
                continue
            if is_scalar(new):
                written = not self.is_read_in_memory(new)
            else:
                written = all(self._may_overwrite(old, maker) for maker in makers)
            if written:
                self.home[new] = (old, ZERO)

    def _may_overwrite(self, old: Node, node: Node) -> bool:
        """Whether old state may be written over when a node is computed, by a call that may read the same entries."""
        last, position, group = self.last.get(old, -1), self.position[node], self.group_of[node]
        if last > position or (last == position and node.kind != "elementwise"):
            return False
        return self.layout.tile_rows(group) is None or reads_in_step(self.schedule, group, node, old)
