"""The members of a loop arranged in nested blocks, so that what uses the result of an inner loop comes after it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from mlpcore.compiler.graph import N, Node
from mlpcore.compiler.schedule import Loop, Member, Schedule

Path = tuple[int, ...]  # the blocks around a member, from the outermost to the innermost
LANES = 16  # indices of one axis that are computed side by side; the same for every machine, so that bits agree
NARROW = 32  # rows of at most this length are too short to be split into lanes


@dataclass(eq=False)
class Block:
    """The body of the nested C loops over the first ``depth`` axes: members, and blocks with one more axis.

    A block with ``lanes`` adds no axis: its members are computed for `LANES` indices side by side.
    """

    depth: int
    children: list["Member | Block"] = field(default_factory=list)
    lanes: bool = False

    def members(self) -> Iterator[Member]:
        """All members in this block and in the blocks within it."""
        for child in self.children:
            yield from child.members() if isinstance(child, Block) else (child,)

    def paths(self, path: Path = ()) -> Iterator[tuple[Node, Path]]:
        """Every node with the blocks around it, this one not included."""
        for child in self.children:
            if isinstance(child, Block):
                yield from child.paths((*path, id(child)))
            else:
                yield child.node, path


def in_scope(loop: Loop, paths: dict[Node, Path], node: Node, user: Node) -> bool:
    """Whether the variable of a node is in scope where the user is computed, which reads no late sum of its loop."""
    member = loop.members[node]
    path = paths[node][: member.depth] if node.kind == "reduce" else paths[node]
    return paths[user][: len(path)] == path


def lane_axis(loop: Loop) -> int | None:
    """The axis of which `LANES` indices are computed side by side; None where nothing is reduced over the last axis.

    It is the last axis itself, or, where rows are narrow, the outermost axis within which there are at most `NARROW`
    entries: then `LANES` rows are computed side by side, and the sum along a row is a sum of vectors.
    """
    last, inside, lanes = len(loop.axes) - 1, 1, None
    if not any(last in member.reduced for member in loop.members.values()):
        return None
    for axis in range(last, -1, -1):
        dim = loop.axes[axis]
        if dim is N or dim >= LANES:
            lanes = axis
        if dim is N or (inside := inside * dim) > NARROW:
            break
    return lanes


def blocks(schedule: Schedule, loop: Loop) -> Block:
    """The nested blocks of a loop, members ordered by stage."""
    order = {node: number for number, node in enumerate(schedule.nodes)}
    members = sorted(loop.members.values(), key=lambda member: (member.stage, order[member.node]))
    block, axis = _nested(schedule, 0, members), lane_axis(loop)
    return block if axis is None else _with_lanes(block, axis)


def _with_lanes(block: Block, axis: int) -> Block:
    """The block with consecutive members inside the axis of lanes grouped into blocks with ``lanes``."""
    children: list[Member | Block] = []
    lanes: Block | None = None
    for child in block.children:
        if isinstance(child, Block):
            children.append(_with_lanes(child, axis))
            lanes = None
        elif block.depth <= axis:
            children.append(child)
        else:
            if lanes is None:
                lanes = Block(block.depth, lanes=True)
                children.append(lanes)
            lanes.children.append(child)
    return Block(block.depth, children)


def _nested(schedule: Schedule, depth: int, members: list[Member]) -> Block:
    """The block of the members at this depth. A member that needs a finished inner loop comes after that loop."""
    block = Block(depth)
    inner: list[Member] = []

    def close() -> None:
        if inner:
            block.children.append(_nested(schedule, depth + 1, list(inner)))
            inner.clear()

    for member in members:
        read = {schedule.places[operand].root for operand in member.node.inputs}
        sources = [other for other in inner if other.node in read]
        awaits = any(other.node.kind == "reduce" and other.depth <= depth for other in sources)
        if awaits:
            close()
        if member.inner_depth > depth:
            inner.append(member)
        else:
            block.children.append(member)
    close()
    return block
