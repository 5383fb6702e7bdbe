"""The members of a loop in nested blocks: what awaits the end of an inner loop comes after it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from mlpcore.compiler.graph import N, Node
from mlpcore.compiler.schedule import Loop, Member, Schedule

Path = tuple[int, ...]  # the blocks around a member, from the outermost to the innermost
LANES = 16  # indices of one axis that are computed beside each other, whatever vectors the machine has
NARROW = 32  # a row of at most so many entries is too short for lanes of its own


@dataclass(eq=False)
class Block:
    """What is done within the first ``depth`` axes of a loop: members, and blocks that lie one axis further in.

    The members of a block of ``lanes`` are computed for `LANES` indices beside each other; it lies within no more axes.
    """

    depth: int
    parts: list["Member | Block"] = field(default_factory=list)
    lanes: bool = False

    def members(self) -> Iterator[Member]:
        """All of them, at any depth."""
        for part in self.parts:
            yield from part.members() if isinstance(part, Block) else (part,)

    def paths(self, path: Path = ()) -> Iterator[tuple[Node, Path]]:
        """Every node with the blocks around it; this one, which has all in it, is left out."""
        for part in self.parts:
            if isinstance(part, Block):
                yield from part.paths((*path, id(part)))
            else:
                yield part.node, path


def in_scope(loop: Loop, paths: dict[Node, Path], node: Node, user: Node) -> bool:
    """Whether the value of a node is in a variable where the user is computed."""
    member = loop.members[node]
    own = paths[node][: member.depth] if node.kind == "reduce" else paths[node]
    return not member.late and paths[user][: len(own)] == own


def lane_axis(loop: Loop) -> int | None:
    """The axis of which `LANES` indices are computed beside each other; None where nothing is reduced over the last.

    It is the last axis itself, or the outermost one within which there are no more than `NARROW` entries: then whole
    rows lie beside each other, and the sum along a row is a sum of vectors.
    """
    last, inside, found = len(loop.axes) - 1, 1, None
    if not any(last in member.reduced for member in loop.members.values()):
        return None
    for axis in range(last, -1, -1):
        dim = loop.axes[axis]
        if dim is N or dim >= LANES:
            found = axis
        inside *= NARROW + 1 if dim is N else dim
        if inside > NARROW:
            break
    return found


def blocks(schedule: Schedule, loop: Loop) -> Block:
    """The blocks of a loop, its members ordered by their stages."""
    order = {node: number for number, node in enumerate(schedule.nodes)}
    members = sorted(loop.members.values(), key=lambda member: (member.stage, order[member.node]))
    block, axis = _nested(schedule, 0, members), lane_axis(loop)
    return block if axis is None else _beside(block, axis)


def _beside(block: Block, axis: int) -> Block:
    """The block with neighbouring members that lie within the axis of lanes put into blocks of lanes."""
    parts: list[Member | Block] = []
    for part in block.parts:
        if isinstance(part, Block):
            parts.append(_beside(part, axis))
        elif block.depth <= axis:
            parts.append(part)
        elif parts and isinstance(parts[-1], Block) and parts[-1].lanes:
            parts[-1].parts.append(part)
        else:
            parts.append(Block(block.depth, [part], lanes=True))
    return Block(block.depth, parts)


def _nested(schedule: Schedule, depth: int, members: list[Member]) -> Block:
    block = Block(depth)
    inner: list[Member] = []

    def close() -> None:
        if inner:
            block.parts.append(_nested(schedule, depth + 1, list(inner)))
            inner.clear()

    for member in members:
        read = {schedule.places[one].root for one in member.node.inputs}
        sources = [other for other in inner if other.node in read]
        awaits = any(other.node.kind == "reduce" and other.depth <= depth for other in sources)
        if awaits or (sources and member.work <= depth):
            close()
        if member.work > depth:
            inner.append(member)
        else:
            block.parts.append(member)
    close()
    return block
