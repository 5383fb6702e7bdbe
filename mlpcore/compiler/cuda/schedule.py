"""The schedule for a device: which members one kernel can compute, and how its threads share the indices."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from mlpcore.compiler.cuda.epilogues import EpilogueFinder, FusedProduct
from mlpcore.compiler.graph import Graph, N, Node
from mlpcore.compiler.places import Size, size
from mlpcore.compiler.schedule import Loop, Member, Schedule, nodes_of

BLOCK = 256  # threads of a block
WARP = 32
LONG = 1024  # rows with more entries are reduced by a whole block


class DeviceSchedule(Schedule):
    """The schedule for a device: all reductions of a loop are over the same axes.

    A loop of scalars is merged into the next loop of scalars if no item between them reads its results, which saves a
    launch. With ``epilogues`` there are items of a third kind, `FusedProduct`.
    """

    items: list[Any]

    def __init__(self, graph: Graph, epilogues: bool = False) -> None:
        self.epilogues = epilogues
        super().__init__(graph)
        items: list[Any] = []
        scalars: Loop | None = None  # a loop of scalars that no item has read yet
        for item in self.items:
            is_scalar = isinstance(item, Loop) and not item.axes
            if scalars is not None and self._reads(item, scalars) and (not is_scalar or self._gathers(item, scalars)):
                items.append(scalars)
                scalars = None
            if not isinstance(item, Loop) or item.axes:
                items.append(item)
                continue
            if scalars is not None:
                item.members = scalars.members | item.members
            scalars = item
        self.order([*items, *([] if scalars is None else [scalars])])

    @cached_property
    def fused(self) -> dict[Node, FusedProduct]:
        """The products with epilogues, by each of the nodes that they compute."""
        return EpilogueFinder(self.nodes, self.places, self.graph.outputs).find() if self.epilogues else {}

    def _add(self, node: Node) -> None:
        fused = self.fused.get(node)
        if fused is None:
            super()._add(node)
        elif node is fused.product:
            self.item_of |= dict.fromkeys(fused.members, len(self.items))
            self.items.append(fused)

    def reads(self, item: Any) -> list[Node]:
        """The nodes whose arrays an item reads, or that it has computed itself."""
        return item.read(self.places) if isinstance(item, FusedProduct) else super().reads(item)

    def _reads(self, item: Any, loop: Loop) -> bool:
        return not loop.members.keys().isdisjoint(self.reads(item))

    def _gathers(self, item: Any, loop: Loop) -> bool:
        """Whether an item gathers entries of a result of the loop, which must then be in memory."""
        gathers = [node for node in nodes_of(item) if node.kind == "take"]
        return any(self.places[node.inputs[0]].root in loop.members for node in gathers)

    def _as_member(self, node: Node, loop: Loop) -> Member | None:
        member = super()._as_member(node, loop)
        if member is None or not _one_kernel([*loop.members.values(), member], len(loop.axes)):
            return None
        return member


def written(item: Any) -> Iterable[Node]:
    """The nodes that an item computes and may write to memory."""
    return item.written() if isinstance(item, FusedProduct) else nodes_of(item)


def reductions(members: Iterable[Member]) -> list[Member]:
    """The members that are reductions over axes longer than 1."""
    return [member for member in members if member.node.kind == "reduce" and not member.trivial]


def _one_kernel(members: list[Member], axes: int) -> bool:
    """Whether one kernel can compute these members of a loop with ``axes`` axes."""
    reduced = reductions(members)
    if not reduced:
        return True
    first = reduced[0]
    alike = all(
        member.reduced == first.reduced and member.inner_depth == axes and member.late == first.late
        for member in reduced
    )
    return alike and (not first.late or len(reduced) == 1 or all(member.node.name != "argmax" for member in reduced))


class ThreadLayout(NamedTuple):
    """How the threads of a kernel share the indices of a loop.

    Without ``sums``, each index of the ``outer`` axes (a row) has ``threads`` neighbouring threads, which share the
    indices of the ``inner`` axes (its entries). With ``sums``, the outer indices are those of the results. A block has
    ``threads`` of them side by side; its other threads, and `chunks` blocks, share the inner indices.
    """

    outer: tuple[int, ...]
    inner: tuple[int, ...]
    threads: int
    sums: bool


def thread_layout(loop: Loop) -> ThreadLayout:
    """The thread layout of a loop: its outer and inner axes, and the threads for each outer index."""
    axes = range(len(loop.axes))
    reduced_members = reductions(loop.members.values())
    if not reduced_members:
        return ThreadLayout(tuple(axes), (), 1, False)
    reduced = reduced_members[0].reduced
    outer, inner = tuple(a for a in axes if a not in reduced), tuple(a for a in axes if a in reduced)
    count = size(tuple(loop.axes[a] for a in outer))
    if reduced_members[0].late and reduced_members[0].node.name != "argmax":
        results = 1 if axes[-1] in reduced else _power(count, WARP)  # side by side in a block
        return ThreadLayout(outer, inner, results, True)
    return ThreadLayout(outer, inner, _along(size(tuple(loop.axes[a] for a in inner))), False)


def scalar_epilogue(items: Sequence[Any], number: int) -> Loop | None:
    """The loop of scalars that the kernel of item ``number`` computes too, or None.

    It follows sums with a single result; the thread that has the result continues with the scalars.
    """
    loop, following = items[number], items[number + 1 : number + 2]
    if not following or not isinstance(loop, Loop) or not isinstance(following[0], Loop) or following[0].axes:
        return None
    layout = thread_layout(loop)
    return following[0] if layout.sums and not layout.outer else None


def chunks(layout: ThreadLayout, outer: int, inner: int) -> int:
    """The number of blocks that share the inner indices of sums. It depends on shapes alone, and so do the bits."""
    blocks = max(1, -(-outer // layout.threads))
    return max(1, min(-(-inner // (32 * BLOCK // layout.threads)), 512 // blocks))


def _along(count: Size) -> int:
    """The number of threads that share a row of ``count`` entries."""
    if count.per_row or count.fixed > LONG:
        return BLOCK
    return 1 if count.fixed <= 4 else _power(Size(-(-count.fixed // 2)), WARP)


def _power(count: Size, limit: int) -> int:
    """The least power of two from ``count`` on, at most ``limit``; ``limit`` if the count depends on rows."""
    return limit if count.per_row else min(limit, 1 << max(0, count.fixed - 1).bit_length())


def length(loop: Loop, axes: tuple[int, ...]) -> Size:
    """The number of indices of some axes of a loop."""
    return size(tuple(loop.axes[a] for a in axes))


def dims(loop: Loop) -> list[str]:
    """The lengths of the axes as C expressions; ``n`` is the number of rows."""
    return ["n" if dim is N else str(dim) for dim in loop.axes]
