"""Where arrays lie: new state in the place of the old, and everything else in one block that is used again."""

from collections.abc import Iterable

import numpy as np

from mlpcore.compiler.graph import Node
from mlpcore.compiler.places import ZERO, Place, Size, packed
from mlpcore.compiler.schedule import Loop, Member, Schedule, along, nodes_of

ALIGNMENT = 64  # bytes


def replaceable(schedule: Schedule, paths: dict[Node, tuple], pairs: Iterable[tuple[Node, Node]]) -> dict[Node, Node]:
    """Of pairs (new value, the input that it replaces) those whose entries may be written over the old ones at once.

    No later item may read the old value, and in the loop that makes the new one every reader must read the very entry
    that is about to be written, in the same pass over the indices (``paths``).
    """
    found: dict[Node, Node] = {}
    for new, old in pairs:
        place = schedule.places[new]
        root = place.root
        if root in found or place != Place(root, ZERO, packed(old.shape)) or root.dtype != old.dtype:
            continue
        number = schedule.item_of.get(root)
        loop = None if number is None else schedule.items[number]
        if number is None or not isinstance(loop, Loop) or root.kind == "reduce" or _read_after(schedule, old, number):
            continue
        if _read_in_step(schedule, paths, loop, loop.members[root], old):
            found[root] = old
    return found


def _read_in_step(schedule: Schedule, paths: dict[Node, tuple], loop: Loop, new: Member, old: Node) -> bool:
    """Whether the loop reads of the old value only the entry that the new one is about to be written over."""
    for node, member in loop.members.items():
        for place in (schedule.source(node, one) for one in node.inputs):
            if place.root is not old:
                continue
            if node.kind == "take" or place.offset != ZERO or paths[node] != paths[new.node]:
                return False
            if along(place.strides, member.axes, loop) != new.strides:
                return False
    return True


def _read_after(schedule: Schedule, old: Node, number: int) -> bool:
    """Whether a later item reads the old value, or an output is made of it."""
    later = [node for item in schedule.items[number + 1 :] for node in nodes_of(item)]
    read = [schedule.source(node, one).root for node in later for one in node.inputs]
    return old in read or any(schedule.places[one].root is old for one in schedule.graph.outputs)


def aligned(count: int) -> np.ndarray:
    """``count`` bytes of zeros that begin where vectors begin."""
    memory = np.zeros(count + ALIGNMENT, np.uint8)
    begin = -memory.ctypes.data % ALIGNMENT
    return memory[begin : begin + count]


def whole(home: dict[Node, tuple[Node, Size]], root: Node) -> tuple[Node, Size]:
    """The node whose array holds the entries of a root, and from which entry on; ``home`` says what is part of what."""
    begin = ZERO
    while root in home:
        root, more = home[root]
        begin = begin.plus(more)
    return root, begin


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
