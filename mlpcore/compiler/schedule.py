"""The schedule: operations fused into as few loops as possible, each over one iteration space."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from mlpcore.compiler.graph import Graph, Node, Shape, long, same_shape
from mlpcore.compiler.places import ZERO, Place, Size, packed, places

Strides = tuple[Size, ...]  # along the axes of a loop


@dataclass(eq=False)
class Member:
    """A node as part of a loop: the strides of its result along the loop's axes, and when its value is complete.

    ``depth`` is the number of outer axes that the result depends on. ``stage`` orders members within these axes: what
    uses a sum over an inner loop is in a later stage than the sum. The result of a reduction over outer axes,
    ``late``, is complete only when the whole loop has ended.
    """

    node: Node
    strides: Strides
    axes: tuple[int, ...]  # the loop's axis for each axis of the node's iteration space, -1 for axes of length 1
    depth: int
    stage: int
    late: bool

    @property
    def inner_depth(self) -> int:
        """The number of axes of the loop over which it is computed; those that it reduces are among them."""
        return sum(axis >= 0 for axis in self.axes)

    @property
    def trivial(self) -> bool:
        """Whether this is a reduction over axes of length 1 only, which returns its operand."""
        return self.node.kind == "reduce" and not self.reduced

    @property
    def reduced(self) -> set[int]:
        """The axes of the loop that it reduces."""
        axes = dict(self.node.attributes)["axes"] if self.node.kind == "reduce" else ()
        return {self.axes[axis] for axis in axes} - {-1}

    @property
    def in_register(self) -> bool:
        """Whether a reduction is over all inner axes, so that it accumulates in a variable, not in an array."""
        return all(stride == ZERO for stride in self.strides[self.depth :])


@dataclass(eq=False)
class Loop:
    """An iteration space, axes from the outermost to the innermost, and the members computed in it."""

    axes: Shape
    members: dict[Node, Member] = field(default_factory=dict)


Item = Loop | Node  # a single node is a matrix product, a concatenation or a draw


def nodes_of(item: Item) -> Iterable[Node]:
    """The nodes that an item computes."""
    return (item,) if isinstance(item, Node) else item.members


def iteration_shape(node: Node) -> Shape:
    """The iteration space of a node: the shape of its result, or of the operand that it reduces."""
    return node.inputs[0].shape if node.kind == "reduce" else node.shape


class Schedule:
    """The items in order, the places of all nodes, and the number of the item that computes each node."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes, self.places = places(graph)
        self.items: list[Item] = []
        self.item_of: dict[Node, int] = {}
        for node in self.nodes:
            self._add(node)
        self.users = self._users()
        for node in reversed(self.nodes):
            self._move_to_user(node)
        self.order([item for item in self.items if isinstance(item, Node) or item.members])

    def _add(self, node: Node) -> None:
        if node.kind in ("elementwise", "reduce", "take"):
            self._add_to_loop(node)
        elif node.kind in ("matmul", "concat", "draw"):
            self.item_of[node] = len(self.items)
            self.items.append(node)

    def order(self, items: list[Item]) -> None:
        """Set the order of the items."""
        self.items = items
        self.item_of = {node: number for number, item in enumerate(items) for node in nodes_of(item)}

    def source(self, node: Node, operand: Node) -> Place:
        """The place where a node reads an operand."""
        return self.places.get((node, operand)) or self.places[operand]

    def reads(self, item: Item) -> list[Node]:
        """The nodes whose arrays an item reads, or that it has computed itself."""
        return [self.source(node, operand).root for node in nodes_of(item) for operand in node.inputs]

    def _users(self) -> dict[Node, set[Node]]:
        users: dict[Node, set[Node]] = {node: set() for node in self.nodes}
        for node in self.nodes:
            for operand in node.inputs:
                users[self.source(node, operand).root].add(node)
        return users

    def _move_to_user(self, node: Node) -> None:
        """Move a node into the loop that uses it, if only one does, so that its values need not be stored."""
        if node.kind != "elementwise" or any(self.places[output].root is node for output in self.graph.outputs):
            return
        numbers = {self.item_of[user] for user in self.users[node]}
        if len(numbers) != 1 or (number := numbers.pop()) == self.item_of[node]:
            return
        target, current = self.items[number], self.items[self.item_of[node]]
        if not isinstance(target, Loop) or not isinstance(current, Loop):
            return
        members = dict(target.members)
        if (member := self._as_member(node, target)) is None:
            return
        target.members = {node: member}
        for other in members:  # each becomes a member again, after the moved node
            if (refitted := self._as_member(other, target)) is None:
                target.members = members
                return
            target.members[other] = refitted
        del current.members[node]
        self.item_of[node] = number

    def _add_to_loop(self, node: Node) -> None:
        """Add a node to the first loop in which all its operands are available, else to a new loop."""
        axes = tuple(dim for dim in iteration_shape(node) if long(dim))
        first = max((self.item_of.get(self.places[operand].root, 0) for operand in node.inputs), default=0)
        for number in range(first, len(self.items)):
            loop = self.items[number]
            # A scalar that several items read must not be in a loop that may run in tiles.
            if not isinstance(loop, Loop) or (loop.axes and not axes):
                continue
            if (member := self._as_member(node, loop)) is not None:
                loop.members[node] = member
                self.item_of[node] = number
                return
        loop = Loop(axes)
        member = self._as_member(node, loop)
        assert member is not None, f"{node} does not fit a new loop"
        loop.members[node] = member
        self.item_of[node] = len(self.items)
        self.items.append(loop)

    def _as_member(self, node: Node, loop: Loop) -> Member | None:
        """The node as a member of the loop, or None where an operand would not be available in the same iteration."""
        shape = iteration_shape(node)
        if sum(map(long, shape)) > len(loop.axes):
            return None
        axes: list[int | None] = [None if long(dim) else -1 for dim in shape]
        inside = []
        for position, operand in enumerate(node.inputs):
            place = self.places[operand]
            source = loop.members.get(place.root)
            if source is None:
                continue
            if source.late or place.offset != ZERO or (node.kind == "take" and position == 0):
                return None
            inside.append((place, source))
            before = len(shape) - len(place.strides)
            for i, stride in enumerate(place.strides):
                if stride == ZERO:
                    continue
                fits = [
                    a
                    for a, source_stride in enumerate(source.strides)
                    if source_stride == stride and axes[before + i] in (None, a)
                ]
                if len(fits) != 1:
                    return None
                axes[before + i] = fits[0]
        loop_axes = _aligned(shape, axes, loop)
        if loop_axes is None:
            return None
        for place, source in inside:  # it must read the entry that the same iteration has computed
            if loop_strides(place.strides, loop_axes, loop) != source.strides:
                return None
        used = sorted(a for a in loop_axes if a >= 0)
        if used != list(range(len(used))):
            return None
        late, depth = False, len(used)
        if node.kind == "reduce":
            reduced = {loop_axes[a] for a in dict(node.attributes)["axes"]} - {-1}
            kept_axes = [a for a in used if a not in reduced]
            if node.name == "argmax" and reduced and reduced != {len(loop.axes) - 1}:
                return None  # value and index are updated together, so its accumulator must be a variable
            late = len(kept_axes) < len(used) and (
                not kept_axes or kept_axes != list(range(len(kept_axes))) or len(used) < len(loop.axes)
            )
            depth = len(kept_axes)
        stage = max((source.stage for _, source in inside), default=0) + (depth < len(used))
        return Member(node, loop_strides(packed(node.shape), loop_axes, loop), loop_axes, depth, stage, late)

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


def loop_strides(strides: Strides, axes: tuple[int, ...], loop: Loop) -> Strides:
    """Strides of an array along the axes of the loop; ``axes`` are the loop's axes, the last ones for the array's."""
    result = [ZERO] * len(loop.axes)
    for stride, axis in zip(strides, axes[len(axes) - len(strides) :], strict=True):
        if axis >= 0:
            result[axis] = result[axis].plus(stride)
    return tuple(result)


def _aligned(shape: Shape, axes: list[int | None], loop: Loop) -> tuple[int, ...] | None:
    """``axes`` with each None replaced by an axis of the loop, matched from the last one on; None where none fits."""
    used = {axis for axis in axes if axis is not None and axis >= 0}
    if len(used) != sum(axis is not None and axis >= 0 for axis in axes):
        return None
    last, result = len(loop.axes), list(axes)
    for i in reversed(range(len(shape))):
        if result[i] is None:
            fits = [a for a in range(last) if a not in used and same_shape((loop.axes[a],), (shape[i],))]
            if not fits:
                return None
            result[i] = fits[-1]
        axis = result[i]
        if axis is not None and axis >= 0:
            if not same_shape((loop.axes[axis],), (shape[i],)):
                return None
            used.add(axis)
            last = min(last, axis)
    return tuple(axis for axis in result if axis is not None)
