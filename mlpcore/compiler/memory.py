"""Where arrays lie: new state in the place of the old, and everything else in one block that is used again."""

from collections.abc import Iterable

from mlpcore.compiler.graph import Node
from mlpcore.compiler.places import ZERO, size
from mlpcore.compiler.schedule import Loop, Schedule, along

ALIGNMENT = 64  # bytes


def replaceable(schedule: Schedule, paths: dict[Node, tuple], pairs: Iterable[tuple[Node, Node]]) -> dict[Node, Node]:
    """Of pairs (new value, the input that it replaces) those whose entries may be written over the old ones at once.

    No later item may read the old value, and in the loop that makes the new one every reader must read the very entry
    that is about to be written, in the same pass over the indices (``paths``).
    """
    found: dict[Node, Node] = {}
    for new, old in pairs:
        root = schedule.places[new].root
        if root in found or root.kind in ("input", "constant") or schedule.places[new].offset != ZERO:
            continue
        if root.dtype != old.dtype or size(root.shape) != size(old.shape) or new.shape != old.shape:
            continue
        number = schedule.item_of[root]
        loop = schedule.items[number]
        if not isinstance(loop, Loop) or loop.members[root].late or root.kind == "reduce":
            continue
        if _read_after(schedule, old, number):
            continue
        strides = loop.members[root].strides
        safe = True
        for node, member in loop.members.items():
            for one in node.inputs:
                place = schedule.source(node, one)
                if place.root is not old:
                    continue
                before = len(member.axes) - len(place.strides)
                same = before >= 0 and along(place.strides, member.axes[before:], loop) == strides
                safe &= same and place.offset == ZERO and paths[node] == paths[root] and node.kind != "take"
        if safe:
            found[root] = old
    return found


def _read_after(schedule: Schedule, old: Node, number: int) -> bool:
    for item in schedule.items[number + 1 :]:
        nodes = [item] if isinstance(item, Node) else item.members
        if any(schedule.source(node, one).root is old for node in nodes for one in node.inputs):
            return True
    return any(schedule.places[one].root is old for one in schedule.graph.outputs)


def arena(spans: list[tuple[int, int, int]]) -> tuple[list[int], int]:
    """Offsets in one block of memory for arrays (first item, last item, bytes), and its length: the first that fits."""
    order = sorted(range(len(spans)), key=lambda i: -spans[i][2])
    offsets, length = [0] * len(spans), 0
    placed: list[int] = []
    for i in order:
        first, last, count = spans[i]
        taken = sorted(
            (offsets[j], offsets[j] + spans[j][2]) for j in placed if spans[j][0] <= last and first <= spans[j][1]
        )
        at = 0
        for begin, end in taken:
            if at + count <= begin:
                break
            at = max(at, -(-end // ALIGNMENT) * ALIGNMENT)
        offsets[i] = at
        placed.append(i)
        length = max(length, at + count)
    return offsets, length
