"""Cuts: how an item of a schedule can be divided into tiles along one axis, and which arrays a tile accesses."""

from typing import NamedTuple

from mlpcore.compiler.graph import Dim, N, Node, has_rows, long
from mlpcore.compiler.places import ONE, ZERO, Place, Size, packed, size
from mlpcore.compiler.schedule import Item, Loop, Member, Schedule, loop_strides
from mlpcore.compiler.tiling import Tiling


class Cut(NamedTuple):
    """An item cut along an axis of ``length``.

    ``reads`` and ``writes`` are pairs (array, stride along the cut axis). ``sums`` are the reductions over the axis, of
    which every tile computes a partial result.
    """

    length: Dim
    reads: list[tuple[Node, Size]]
    writes: list[tuple[Node, Size]]
    sums: list[Node]


def fixed_tile_length(tiling: Tiling, item: Item) -> int:
    """The length of a tile of an item whose cut axis has a fixed length."""
    if isinstance(item, Loop):
        return tiling.of_loop([dim for dim in item.axes if isinstance(dim, int)])
    return tiling.of_columns(int(item.shape[-1]))


def cut(schedule: Schedule, item: Item, tiling: Tiling) -> Cut | None:
    """The cut of an item, or None if it cannot be cut or is too small."""
    if isinstance(item, Loop):
        result = _loop(schedule, item, tiling)
    else:
        kinds = {"matmul": _product, "concat": _concatenation, "draw": _draws}
        result = kinds[item.kind](schedule, item, tiling)
    if result is None or any(stride.per_row for _, stride in (*result.reads, *result.writes)):
        return None
    return result


def _fixed(place: Place) -> bool:
    """Whether offset and strides do not depend on the number of rows."""
    return not any(size.per_row for size in (place.offset, *place.strides))


def _loop(schedule: Schedule, loop: Loop, tiling: Tiling) -> Cut | None:
    if not loop.axes:
        return None
    length = loop.axes[0]
    if length is not N and (has_rows(loop.axes) or fixed_tile_length(tiling, loop) == length):
        return None
    result = Cut(length, [], [], [])
    for node, member in loop.members.items():
        for position, operand in enumerate(node.inputs):
            place = schedule.places[operand]
            if not _fixed(place):
                return None
            result.reads.append((place.root, _read(loop, member, position, place)))
        if any(stride.per_row for stride in member.strides):
            return None
        if member.strides[0] != ZERO:
            if member.late and length is not N:
                return None
            result.writes.append((node, member.strides[0]))
        elif node.kind == "reduce" and member.late and node.name != "argmax":
            result.sums.append(node)
        elif not _private(schedule, loop, node):
            return None
    return result


def _read(loop: Loop, member: Member, position: int, place: Place) -> Size:
    """The stride along the outermost axis with which a member reads an operand."""
    strides, axes = place.strides, member.axes
    if member.node.kind == "take":
        axis, count = dict(member.node.attributes)["axis"], member.node.inputs[1].ndim
        if position == 0:
            strides = (*strides[:axis], *[ZERO] * count, *strides[axis + 1 :])
        else:
            axes = axes[axis : axis + count]
    return loop_strides(strides, axes[len(axes) - len(strides) :], loop)[0]


def _private(schedule: Schedule, loop: Loop, node: Node) -> bool:
    """Whether only the loop itself uses a node, so that every tile may compute it again."""
    outputs = {schedule.places[output].root for output in schedule.graph.outputs}
    return node not in outputs and all(user in loop.members for user in schedule.users[node])


def _product(schedule: Schedule, node: Node, tiling: Tiling) -> Cut | None:
    """A product with one result row per row is cut by rows; a sum over rows by columns, or into partial results."""
    left, right = (schedule.source(node, operand) for operand in node.inputs)
    if any(map(long, node.shape[:-2])) or not _fixed(left) or not _fixed(right):
        return None
    if node.shape[-2] is N:
        reads = [(left.root, left.strides[-2]), (right.root, ZERO)]
        return Cut(N, reads, [(node, packed(node.shape)[-2])], [])
    if node.inputs[0].shape[-1] is N:
        columns = int(node.shape[-1])
        if size(node.shape).fixed >= tiling.sum and fixed_tile_length(tiling, node) < columns:
            return Cut(columns, [(left.root, ZERO), (right.root, right.strides[-1])], [(node, ONE)], [])
        return Cut(N, [(left.root, left.strides[-1]), (right.root, right.strides[-2])], [], [node])
    return None


def _draws(schedule: Schedule, node: Node, _: Tiling) -> Cut | None:
    """Draws (..., n, width) of a single member of a stack, cut by rows."""
    if node.shape[-2] is not N or any(map(long, node.shape[:-2])):
        return None
    return Cut(
        N, [(schedule.places[operand].root, ZERO) for operand in node.inputs], [(node, packed(node.shape)[-2])], []
    )


def _concatenation(schedule: Schedule, node: Node, _: Tiling) -> Cut | None:
    if node.shape[0] is not N:  # which is never the axis of the concatenation: lengths along that are known
        return None
    parts = [schedule.places[operand] for operand in node.inputs]
    if not all(map(_fixed, parts)):
        return None
    return Cut(N, [(place.root, place.strides[0]) for place in parts], [(node, packed(node.shape)[0])], [])
