"""The loops of a schedule as kernels of a device: what one of them can compute without a look at other blocks."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mlpcore.compiler.graph import Graph, N, Node
from mlpcore.compiler.places import Size, size
from mlpcore.compiler.schedule import Item, Loop, Member, Schedule, nodes_of

BLOCK = 256  # threads of a block
WARP = 32
LONG = 1024  # entries of a row from which on a whole block walks along it


class DeviceSchedule(Schedule):
    """The schedule for a device: the members of a loop reduce all over the same axes, or none does.

    Computations with single numbers are few launches: they wait for the next ones, where nothing between reads them.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        items: list[Item] = []
        waiting: Loop | None = None  # computes single numbers that nobody has read yet
        for item in self.items:
            alone = isinstance(item, Loop) and not item.axes
            if waiting is not None and self._reads(item, waiting) and (not alone or self._gathers(item, waiting)):
                items.append(waiting)
                waiting = None
            if not isinstance(item, Loop) or item.axes:
                items.append(item)
                continue
            if waiting is not None:
                item.members = waiting.members | item.members
            waiting = item
        self.order([*items, *([] if waiting is None else [waiting])])

    def _reads(self, item: Item, loop: Loop) -> bool:
        return any(self.source(node, one).root in loop.members for node in nodes_of(item) for one in node.inputs)

    def _gathers(self, item: Item, loop: Loop) -> bool:
        """Whether an item picks entries of what the loop makes: these must be in memory."""
        taken = [node for node in nodes_of(item) if node.kind == "take"]
        return any(self.places[node.inputs[0]].root in loop.members for node in taken)

    def _fitted(self, node: Node, loop: Loop) -> Member | None:
        member = super()._fitted(node, loop)
        if member is None or not _one_kernel([*loop.members.values(), member], len(loop.axes)):
            return None
        return member


def reductions(members: Iterable[Member]) -> list[Member]:
    """Those that reduce axes with more than one entry."""
    return [member for member in members if member.node.kind == "reduce" and not member.short]


def _one_kernel(members: list[Member], axes: int) -> bool:
    found = reductions(members)
    if not found:
        return True
    first = found[0]
    same = all(one.reduced == first.reduced and one.work == axes and one.late == first.late for one in found)
    return same and (not first.late or len(found) == 1 or all(one.node.name != "argmax" for one in found))


class ThreadLayout(NamedTuple):
    """How the threads of a kernel share a loop.

    Of the ``outer`` indices each has ``threads`` threads side by side, which walk along the ``inner`` ones: a row and
    its entries. With ``sums`` the outer indices are those of the results, ``threads`` of them side by side in a block,
    whose other threads share the inner indices, as `chunks` of blocks do.
    """

    outer: tuple[int, ...]
    inner: tuple[int, ...]
    threads: int
    sums: bool


def thread_layout(loop: Loop) -> ThreadLayout:
    """The axes of the loop as outer and inner ones, and the threads for each outer index."""
    axes = range(len(loop.axes))
    found = reductions(loop.members.values())
    if not found:
        return ThreadLayout(tuple(axes), (), 1, False)
    reduced = found[0].reduced
    outer, inner = tuple(a for a in axes if a not in reduced), tuple(a for a in axes if a in reduced)
    count = size(tuple(loop.axes[a] for a in outer))
    if found[0].late and found[0].node.name != "argmax":
        across = 1 if axes[-1] in reduced else _power(count, WARP)
        return ThreadLayout(outer, inner, across, True)
    return ThreadLayout(outer, inner, _along(size(tuple(loop.axes[a] for a in inner))), False)


def joined(items: Sequence[Item], number: int) -> Loop | None:
    """The loop of single numbers that item ``number``, sums with one result, computes too: the thread that has the
    result goes on with it. All others have read by then what they add up."""
    loop, others = items[number], items[number + 1 : number + 2]
    if not others or not isinstance(loop, Loop) or not isinstance(others[0], Loop) or others[0].axes:
        return None
    layout = thread_layout(loop)
    return others[0] if layout.sums and not layout.outer else None


def chunks(layout: ThreadLayout, outer: int, inner: int) -> int:
    """In how many pieces the inner indices of sums are cut: by their numbers alone, so that the bits are theirs."""
    blocks = max(1, -(-outer // layout.threads))
    return max(1, min(-(-inner // (32 * BLOCK // layout.threads)), 512 // blocks))


def _along(count: Size) -> int:
    """The threads that walk along so many entries."""
    if count.per_row or count.fixed > LONG:
        return BLOCK
    return 1 if count.fixed <= 4 else _power(Size(-(-count.fixed // 2)), WARP)


def _power(count: Size, most: int) -> int:
    """The least power of two that is not below a number; ``most`` where that is more, or not known."""
    return most if count.per_row else min(most, 1 << max(0, count.fixed - 1).bit_length())


def length(loop: Loop, axes: tuple[int, ...]) -> Size:
    """The number of indices of some axes."""
    return size(tuple(loop.axes[a] for a in axes))


def dims(loop: Loop) -> list[str]:
    """The lengths of the axes as they are printed; n is the number of rows."""
    return ["n" if dim is N else str(dim) for dim in loop.axes]
