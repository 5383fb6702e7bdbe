"""Operations put into few loops: each loop walks one space of indices and computes all that needs no other."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from mlpcore.compiler.graph import Graph, Node, Shape, long, same_shape
from mlpcore.compiler.places import ZERO, Place, Size, packed, places

Strides = tuple[Size, ...]  # along the axes of a loop


@dataclass(eq=False)
class Member:
    """A node in a loop: its entries' strides along the loop's axes in an array of its own, and where it is known.

    ``depth`` is the number of outer axes that it depends on; within the loops around it, it is known in ``stage``: what
    awaits the end of an inner loop (a sum over it) comes in a later stage. A reduction over outer axes, ``late``, is
    known when the whole loop has ended.
    """

    node: Node
    strides: Strides
    axes: tuple[int, ...]  # of the loop, for the axes of the space of the node, -1 where that is of length 1
    depth: int
    stage: int
    late: bool

    @property
    def work(self) -> int:
        """The number of axes within which it is computed."""
        return sum(axis >= 0 for axis in self.axes)

    @property
    def short(self) -> bool:
        """Whether this is a reduction over axes of length 1: the value itself."""
        return self.node.kind == "reduce" and not self.reduced

    @property
    def reduced(self) -> set[int]:
        """The axes of the loop over which it is a reduction."""
        axes = dict(self.node.attributes)["axes"] if self.node.kind == "reduce" else ()
        return {self.axes[axis] for axis in axes} - {-1}

    @property
    def in_register(self) -> bool:
        """Whether a reduction is over all inner axes, so that it needs no array while it goes on."""
        return all(stride == ZERO for stride in self.strides[self.depth :])


@dataclass(eq=False)
class Loop:
    """A space of indices, its axes from the outermost to the innermost, and what is computed for every index."""

    axes: Shape
    members: dict[Node, Member] = field(default_factory=dict)


Item = Loop | Node  # a node alone: a product, a concatenation, or draws


def nodes_of(item: Item) -> Iterable[Node]:
    """The nodes that an item computes."""
    return (item,) if isinstance(item, Node) else item.members


def space(node: Node) -> Shape:
    """The indices for which something is computed: those of the result, or of what is reduced."""
    return node.inputs[0].shape if node.kind == "reduce" else node.shape


class Schedule:
    """The items in their order, the places of all nodes, and in which item a node is computed."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes, self.places = places(graph)
        self.items: list[Item] = []
        self.item_of: dict[Node, int] = {}
        for node in self.nodes:
            if node.kind in ("elementwise", "reduce", "take"):
                self._into_a_loop(node)
            elif node.kind in ("matmul", "concat", "draw"):
                self.item_of[node] = len(self.items)
                self.items.append(node)
        self.users = self._users()
        for node in reversed(self.nodes):
            self._later(node)
        self.order([item for item in self.items if isinstance(item, Node) or item.members])

    def order(self, items: list[Item]) -> None:
        """Put the items into this order."""
        self.items = items
        self.item_of = {node: number for number, item in enumerate(items) for node in nodes_of(item)}

    def source(self, node: Node, given: Node) -> Place:
        """Where a node reads one that is given to it."""
        return self.places.get((node, given)) or self.places[given]

    def _users(self) -> dict[Node, set[Node]]:
        users: dict[Node, set[Node]] = {node: set() for node in self.nodes}
        for node in self.nodes:
            for one in node.inputs:
                users[self.source(node, one).root].add(node)
        return users

    def _later(self, node: Node) -> None:
        """Into the one loop that uses the node, where that is a later one: it need not be stored in between."""
        if node.kind != "elementwise" or any(self.places[one].root is node for one in self.graph.outputs):
            return
        numbers = {self.item_of[user] for user in self.users[node]}
        if len(numbers) != 1 or (number := numbers.pop()) == self.item_of[node]:
            return
        loop, now = self.items[number], self.items[self.item_of[node]]
        if isinstance(loop, Node) or not isinstance(now, Loop):
            return
        waiting = dict(loop.members)
        if (member := self._fitted(node, loop)) is None:
            return
        loop.members = {node: member}
        for other in waiting:  # each is to be fitted anew, with the newcomer before it
            if (again := self._fitted(other, loop)) is None:
                loop.members = waiting
                return
            loop.members[other] = again
        del now.members[node]
        self.item_of[node] = number

    def _into_a_loop(self, node: Node) -> None:
        axes = tuple(dim for dim in space(node) if long(dim))
        first = max((self.item_of.get(self.places[one].root, -1) for one in node.inputs), default=-1)
        for number in range(max(first, 0), len(self.items)):
            loop = self.items[number]
            if isinstance(loop, Loop) and not axes and loop.axes:
                continue  # a number that several items read is no part of one that may run in tiles
            if isinstance(loop, Loop) and (member := self._fitted(node, loop)) is not None:
                loop.members[node] = member
                self.item_of[node] = number
                return
        loop = Loop(axes)
        member = self._fitted(node, loop)
        assert member is not None, f"{node} does not fit a loop of its own"
        loop.members[node] = member
        self.item_of[node] = len(self.items)
        self.items.append(loop)

    def _fitted(self, node: Node, loop: Loop) -> Member | None:
        """The node as a member of the loop, or None where it needs a value that the loop does not have yet."""
        mine = space(node)
        if sum(map(long, mine)) > len(loop.axes):
            return None
        axes: list[int | None] = [None if long(dim) else -1 for dim in mine]
        inside = []
        for position, one in enumerate(node.inputs):
            place = self.places[one]
            source = loop.members.get(place.root)
            if source is None:
                continue
            if source.late or place.offset != ZERO or (node.kind == "take" and position == 0):
                return None
            inside.append((place, source))
            before = len(mine) - len(place.strides)
            for i, stride in enumerate(place.strides):
                if stride == ZERO or axes[before + i] == -1:
                    continue
                fits = [a for a, own in enumerate(source.strides) if own == stride and axes[before + i] in (None, a)]
                if len(fits) != 1:
                    return None
                axes[before + i] = fits[0]
        found = _aligned(mine, axes, loop)
        if found is None:
            return None
        for place, source in inside:  # the very entry that this iteration has computed, and no other
            if along(place.strides, found, loop) != source.strides:
                return None
        used = sorted(a for a in found if a >= 0)
        if used != list(range(len(used))):
            return None
        late, depth = False, len(used)
        if node.kind == "reduce":
            reduced = {found[a] for a in dict(node.attributes)["axes"]} - {-1}
            kept = [a for a in used if a not in reduced]
            if node.name == "argmax" and reduced and reduced != {len(loop.axes) - 1}:
                return None  # it needs the best and its place at once
            late = len(kept) < len(used) and (not kept or kept != list(range(len(kept))) or len(used) < len(loop.axes))
            depth = len(kept)
        stage = max((source.stage for _, source in inside), default=0) + (depth < len(used))
        return Member(node, along(packed(node.shape), found, loop), found, depth, stage, late)

    def __str__(self) -> str:
        lines = []
        for number, item in enumerate(self.items):
            if isinstance(item, Node):
                lines.append(f"{number}: {item}")
                continue
            lines.append(f"{number}: loop over {' x '.join(map(str, item.axes)) or 'nothing'}")
            for node, member in item.members.items():
                lines.append(f"     depth {member.depth}, stage {member.stage}{', late' * member.late}: {node}")
        return "\n".join(lines)


def along(strides: Strides, axes: tuple[int, ...], loop: Loop) -> Strides:
    """Strides along the axes of the loop, of an array whose axes are the last of these axes of the loop."""
    made = [ZERO] * len(loop.axes)
    for stride, axis in zip(strides, axes[len(axes) - len(strides) :], strict=True):
        if axis >= 0:
            made[axis] = made[axis].plus(stride)
    return tuple(made)


def _aligned(shape: Shape, axes: list[int | None], loop: Loop) -> tuple[int, ...] | None:
    """The axes of the loop for those that are not settled, from the last to the first; None where they do not fit."""
    taken = {axis for axis in axes if axis is not None and axis >= 0}
    if len(taken) != sum(axis is not None and axis >= 0 for axis in axes):
        return None
    last, found = len(loop.axes), list(axes)
    for i in reversed(range(len(shape))):
        if found[i] is None:
            fits = [a for a in range(last) if a not in taken and same_shape((loop.axes[a],), (shape[i],))]
            if not fits:
                return None
            found[i] = fits[-1]
        settled = found[i]
        if settled is not None and settled >= 0:
            if not same_shape((loop.axes[settled],), (shape[i],)):
                return None
            taken.add(settled)
            last = min(last, settled)
    return tuple(axis for axis in found if axis is not None)
