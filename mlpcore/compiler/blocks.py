"""The members of a loop in nested blocks: what awaits the end of an inner loop comes after it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from mlpcore.compiler.graph import Node
from mlpcore.compiler.schedule import Loop, Member, Schedule

Path = tuple[int, ...]  # the blocks around a member, from the outermost to the innermost


@dataclass(eq=False)
class Block:
    """What is done within the first ``depth`` axes of a loop: members, and blocks that lie one axis further in."""

    depth: int
    parts: list["Member | Block"] = field(default_factory=list)

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


def blocks(schedule: Schedule, loop: Loop) -> Block:
    """The blocks of a loop, its members ordered by their stages."""
    order = {node: number for number, node in enumerate(schedule.nodes)}
    members = sorted(loop.members.values(), key=lambda member: (member.stage, order[member.node]))
    return _nested(schedule, 0, members)


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
