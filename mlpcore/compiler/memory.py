"""Memory planning: new state in the place of the old, and temporary arrays in one block by their lifetimes."""

from collections.abc import Iterable

import numpy as np

from mlpcore.compiler.graph import Node
from mlpcore.compiler.places import ZERO, Place, Size, packed
from mlpcore.compiler.schedule import Loop, Member, Schedule, loop_strides
from mlpcore.host_memory import check

ALIGNMENT = 64  # bytes


def replaceable(schedule: Schedule, paths: dict[Node, tuple], pairs: Iterable[tuple[Node, Node]]) -> dict[Node, Node]:
    """The pairs (new value, old value) in which the new value can be written directly over the old one, as a dict.

    No later item may read the old value, and in the loop that computes the new one every reader must read exactly the
    entry that is being written, in the same block (``paths``).
    """
    replaced: dict[Node, Node] = {}
    for new, old in pairs:
        place = schedule.places[new]
        root = place.root
        if root in replaced or place != Place(root, ZERO, packed(old.shape)) or root.dtype != old.dtype:
            continue
        number = schedule.item_of.get(root)
        loop = None if number is None else schedule.items[number]
        if number is None or not isinstance(loop, Loop) or root.kind == "reduce" or _read_after(schedule, old, number):
            continue
        if _reads_same_entry(schedule, paths, loop, loop.members[root], old):
            replaced[root] = old
    return replaced


def _reads_same_entry(schedule: Schedule, paths: dict[Node, tuple], loop: Loop, new: Member, old: Node) -> bool:
    """Whether the loop reads, of the old value, only the entry that it is about to overwrite."""
    for node, member in loop.members.items():
        for place in (schedule.source(node, operand) for operand in node.inputs):
            if place.root is not old:
                continue
            if node.kind == "take" or place.offset != ZERO or paths[node] != paths[new.node]:
                return False
            if loop_strides(place.strides, member.axes, loop) != new.strides:
                return False
    return True


def _read_after(schedule: Schedule, old: Node, number: int) -> bool:
    """Whether a later item reads the old value, or an output is a view of it."""
    read = [root for item in schedule.items[number + 1 :] for root in schedule.reads(item)]
    return old in read or any(schedule.places[output].root is old for output in schedule.graph.outputs)


def temporary_bytes(count: int) -> np.ndarray:
    """`aligned_bytes` for the temporary arrays of a program, which writes to all of them.

    `MoreThanThereIs`, a MemoryError, if they are more than the host has in all.
    """
    check(count)
    return aligned_bytes(count)


def aligned_bytes(count: int) -> np.ndarray:
    """``count`` zero bytes, aligned to `ALIGNMENT`."""
    memory = np.zeros(count + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + count]


def owner_of(placed: dict[Node, tuple[Node, Size]], root: Node) -> tuple[Node, Size]:
    """The node whose array holds the entries of a root, and the offset in it, by ``placed``."""
    offset = ZERO
    while root in placed:
        root, shift = placed[root]
        offset = offset.plus(shift)
    return root, offset


def arena(spans: list[tuple[int, int, int]]) -> tuple[list[int], int]:
    """The offset of each array in one block of memory, and the length of the block, in bytes.

    ``spans`` are (first item, last item, bytes) of the arrays. Arrays that are in use during a common item do not
    overlap. The largest array is placed first, each at the first offset where it fits.
    """
    order = sorted(range(len(spans)), key=lambda i: -spans[i][2])
    offsets: dict[int, int] = {}
    length = 0
    for i in order:
        first, last, count = spans[i]
        occupied = sorted(
            (start, start + spans[j][2]) for j, start in offsets.items() if spans[j][0] <= last and first <= spans[j][1]
        )
        offset = 0
        for start, end in occupied:
            if offset + count <= start:
                break
            offset = max(offset, -(-end // ALIGNMENT) * ALIGNMENT)
        offsets[i] = offset
        length = max(length, offset + count)
    return [offsets[i] for i in range(len(spans))], length
