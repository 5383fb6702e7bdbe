"""The order of NumPy calls: groups of nodes, and at the end those that are needed only under a condition."""

from collections.abc import Iterator
from dataclasses import dataclass

from mlpcore.compiler.graph import Node, long
from mlpcore.compiler.places import ZERO, Place
from mlpcore.compiler.schedule import Item, Loop, Member, Schedule, loop_strides, nodes_of


@dataclass(eq=False)
class Group:
    """Nodes that are computed one after another: scalars, those of one loop, or a product, concatenation or draw.

    They are skipped where the ``condition``, if there is one, is false.
    """

    nodes: list[Node]
    loop: Loop | None
    condition: Node | None

    def member(self, node: Node) -> Member:
        """The node as a member of the loop."""
        assert self.loop is not None
        return self.loop.members[node]

    def late(self, node: Node) -> bool:
        """Whether the value of the node is complete only when the loop has ended."""
        return self.loop is not None and self.member(node).late


def is_scalar(node: Node) -> bool:
    """Whether a node is one number, whatever the number of rows; it is computed as a NumPy scalar."""
    return node.kind in ("elementwise", "reduce") and not any(map(long, node.shape))


def groups(schedule: Schedule) -> list[Group]:
    """The groups in order: those that are always computed, then those of each condition."""
    condition_of = conditions(schedule)
    by_condition: dict[Node | None, list[Group]] = {None: []}
    for item in schedule.items:
        nodes = list(nodes_of(item))
        for condition in dict.fromkeys(condition_of.get(node) for node in nodes):
            members = [node for node in nodes if condition_of.get(node) is condition]
            by_condition.setdefault(condition, []).extend(_split(item, members, condition))
    return [group for members in by_condition.values() for group in members]


def _split(item: Item, nodes: list[Node], condition: Node | None) -> Iterator[Group]:
    """The groups of an item: scalars first, then the loop, in which outer reductions come last."""
    if isinstance(item, Node):
        yield Group(nodes, None, condition)
        return
    if not item.axes and any(node.kind == "take" for node in nodes):  # it reads memory; scalars may read its result
        yield Group(nodes, item, condition)
        return
    scalars = [node for node in nodes if is_scalar(node) and not item.members[node].late]
    if scalars:
        yield Group(scalars, None, condition)
    arrays = [node for node in nodes if node not in scalars]
    if arrays:
        yield Group(sorted(arrays, key=lambda node: item.members[node].late), item, condition)


def is_choice(schedule: Schedule, node: Node) -> bool:
    """Whether a node is a ``where`` with a scalar condition that no other node reads, so that it can be a branch."""
    return node.name == "where" and not schedule.users[node] and is_scalar(schedule.places[node.inputs[0]].root)


def conditions(schedule: Schedule) -> dict[Node, Node]:
    """The condition of every choice, and of every node that is needed only for the first operands of its choices."""
    outputs = {schedule.places[output].root for output in schedule.graph.outputs}
    condition_of = {node: schedule.places[node.inputs[0]].root for node in schedule.nodes if is_choice(schedule, node)}
    choices = set(condition_of)
    for node in reversed(schedule.nodes):
        users = schedule.users[node]
        if not users or node in outputs or node.kind in ("input", "constant"):
            continue
        user_conditions = {condition_of.get(user) for user in users}
        other_operands = {schedule.places[user.inputs[i]].root for user in users & choices for i in (0, 2)}
        if (
            len(user_conditions) == 1
            and (condition := user_conditions.pop()) is not None
            and node not in other_operands
        ):
            condition_of[node] = condition
    return condition_of


def sources(schedule: Schedule, node: Node) -> list[Place]:
    """The places where a node reads its operands."""
    return [schedule.source(node, operand) for operand in node.inputs]


def reads_same_entry(schedule: Schedule, group: Group, target: Node, root: Node) -> bool:
    """Whether all nodes of a group that read the root read exactly the entry at the index of the target."""
    if group.loop is None:
        return False
    for node in group.nodes:
        member = group.member(node)
        for place in sources(schedule, node):
            if place.root is root:
                same_entry = loop_strides(place.strides, member.axes, group.loop) == group.member(target).strides
                if place.offset != ZERO or node.kind == "take" or not same_entry:
                    return False
    return True
