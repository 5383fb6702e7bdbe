"""The order in which NumPy computes a schedule: its loops one by one, and at the end what only a condition asks for."""

from collections.abc import Iterator
from dataclasses import dataclass

from mlpcore.compiler.graph import Node, long
from mlpcore.compiler.places import ZERO, Place
from mlpcore.compiler.schedule import Item, Loop, Member, Schedule, along, nodes_of


@dataclass(eq=False)
class Group:
    """Nodes that are computed one after the other: scalars, those of one loop, or a product or concatenation.

    Where the ``condition`` does not hold they are left out.
    """

    nodes: list[Node]
    loop: Loop | None
    condition: Node | None

    def member(self, node: Node) -> Member:
        """The node as a member of the loop."""
        assert self.loop is not None
        return self.loop.members[node]

    def late(self, node: Node) -> bool:
        """Whether the node is known only when the loop has ended."""
        return self.loop is not None and self.member(node).late


def is_scalar(node: Node) -> bool:
    """Whether a node is one number whatever the rows are: it is computed as a NumPy scalar, without memory."""
    return node.kind in ("elementwise", "reduce") and not any(map(long, node.shape))


def groups(schedule: Schedule) -> list[Group]:
    """The groups in their order: what is always computed, then what each condition asks for."""
    condition_of = conditions(schedule)
    found: dict[Node | None, list[Group]] = {None: []}
    for item in schedule.items:
        nodes = list(nodes_of(item))
        for condition in dict.fromkeys(condition_of.get(node) for node in nodes):
            members = [node for node in nodes if condition_of.get(node) is condition]
            found.setdefault(condition, []).extend(_split(item, members, condition))
    return [group for members in found.values() for group in members]


def _split(item: Item, nodes: list[Node], condition: Node | None) -> Iterator[Group]:
    """Scalars first, then the loop, in it last what awaits its end. None of these reads one that comes later."""
    if isinstance(item, Node):
        yield Group(nodes, None, condition)
        return
    if not item.axes and any(node.kind == "take" for node in nodes):  # of one entry, which scalars may read
        yield Group(nodes, item, condition)
        return
    scalars = [node for node in nodes if is_scalar(node) and not item.members[node].late]
    if scalars:
        yield Group(scalars, None, condition)
    rest = [node for node in nodes if node not in scalars]
    if rest:
        yield Group(sorted(rest, key=lambda node: item.members[node].late), item, condition)


def is_choice(schedule: Schedule, node: Node) -> bool:
    """Whether a node is a ``where`` by a scalar condition that no other node reads, so that a branch can do it."""
    return node.name == "where" and not schedule.users[node] and is_scalar(schedule.places[node.inputs[0]].root)


def conditions(schedule: Schedule) -> dict[Node, Node]:
    """The choices, and what is computed for nothing but their first arrays, each with its condition."""
    outputs = {schedule.places[one].root for one in schedule.graph.outputs}
    found = {node: schedule.places[node.inputs[0]].root for node in schedule.nodes if is_choice(schedule, node)}
    choices = set(found)
    for node in reversed(schedule.nodes):
        users = schedule.users[node]
        if not users or node in outputs or node.kind in ("input", "constant"):
            continue
        asked = {found.get(user) for user in users}
        others = {schedule.places[user.inputs[i]].root for user in users & choices for i in (0, 2)}
        if len(asked) == 1 and (condition := asked.pop()) is not None and node not in others:
            found[node] = condition
    return found


def sources(schedule: Schedule, node: Node) -> list[Place]:
    """Where a node reads its operands."""
    return [schedule.source(node, one) for one in node.inputs]


def reads_in_step(schedule: Schedule, group: Group, target: Node, root: Node) -> bool:
    """Whether all nodes of a group that read the root read the very entry at which the target is computed."""
    if group.loop is None:
        return False
    for node in group.nodes:
        member = group.member(node)
        for place in sources(schedule, node):
            if place.root is root:
                same = along(place.strides, member.axes, group.loop) == group.member(target).strides
                if place.offset != ZERO or node.kind == "take" or not same:
                    return False
    return True
