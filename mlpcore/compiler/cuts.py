"""What an item of a schedule reads and writes when it is cut along its outermost axis, tile by tile."""

from typing import NamedTuple

from mlpcore.compiler.graph import Dim, N, Node, has_rows, long
from mlpcore.compiler.places import ONE, ZERO, Place, Size, packed, size
from mlpcore.compiler.schedule import Item, Loop, Member, Schedule, along
from mlpcore.compiler.tiling import Tiling


class Cut(NamedTuple):
    """What an item does when it is cut along an axis of that ``length``.

    ``reads`` and ``writes`` are (array, distance from the entries of one index to those of the next), ``sums`` the
    reductions over the axis: each tile makes a partial result.
    """

    length: Dim
    reads: list[tuple[Node, Size]]
    writes: list[tuple[Node, Size]]
    sums: list[Node]


def fixed_each(tiling: Tiling, item: Item) -> int:
    """The indices of a tile of an item whose cut axis has a fixed length."""
    if isinstance(item, Loop):
        return tiling.of_loop([dim for dim in item.axes if isinstance(dim, int)])
    return tiling.of_columns(int(item.shape[-1]))


def cut(schedule: Schedule, item: Item, tiling: Tiling) -> Cut | None:
    """What the item does when it is cut along its outermost axis, None where it cannot be or is too small."""
    if isinstance(item, Loop):
        found = _loop(schedule, item, tiling)
    else:
        kinds = {"matmul": _product, "concat": _concatenation, "draw": _draws}
        found = kinds[item.kind](schedule, item, tiling)
    if found is None or any(shift.per_row for _, shift in (*found.reads, *found.writes)):
        return None
    return found


def _fixed(place: Place) -> bool:
    """Whether its entries lie at the same distances whatever the number of rows."""
    return not any(one.per_row for one in (place.offset, *place.strides))


def _loop(schedule: Schedule, loop: Loop, tiling: Tiling) -> Cut | None:
    if not loop.axes:
        return None
    length = loop.axes[0]
    if length is not N and (has_rows(loop.axes) or fixed_each(tiling, loop) == length):
        return None
    found = Cut(length, [], [], [])
    for node, member in loop.members.items():
        for position, one in enumerate(node.inputs):
            place = schedule.places[one]
            if not _fixed(place):
                return None
            if place.root.name != "number":
                found.reads.append((place.root, _read(loop, member, position, place)))
        if any(stride.per_row for stride in member.strides):
            return None
        if member.strides[0] != ZERO:
            if member.late and length is not N:
                return None
            found.writes.append((node, member.strides[0]))
        elif node.kind == "reduce" and member.late and node.name != "argmax":
            found.sums.append(node)
        elif not _private(schedule, loop, node):
            return None
    return found


def _read(loop: Loop, member: Member, position: int, place: Place) -> Size:
    """How far apart a member reads at neighbouring indices of the outermost axis."""
    strides, axes = place.strides, member.axes
    if member.node.kind == "take":
        axis, count = dict(member.node.attributes)["axis"], member.node.inputs[1].ndim
        if position == 0:
            strides = (*strides[:axis], *[ZERO] * count, *strides[axis + 1 :])
        else:
            axes = axes[axis : axis + count]
    return along(strides, axes[len(axes) - len(strides) :], loop)[0]


def _private(schedule: Schedule, loop: Loop, node: Node) -> bool:
    """Whether only the loop itself uses a node, so that every tile may compute it anew."""
    outputs = {schedule.places[one].root for one in schedule.graph.outputs}
    return node not in outputs and all(user in loop.members for user in schedule.users[node])


def _product(schedule: Schedule, node: Node, tiling: Tiling) -> Cut | None:
    """Rows of the result, or a sum over rows: its columns, or partial results."""
    left, right = (schedule.source(node, one) for one in node.inputs)
    if any(map(long, node.shape[:-2])) or not _fixed(left) or not _fixed(right):
        return None
    if node.shape[-2] is N:
        reads = [(left.root, left.strides[-2]), (right.root, ZERO)]
        return Cut(N, reads, [(node, packed(node.shape)[-2])], [])
    if node.inputs[0].shape[-1] is N:
        columns = int(node.shape[-1])
        if size(node.shape).fixed >= tiling.sum and fixed_each(tiling, node) < columns:
            return Cut(columns, [(left.root, ZERO), (right.root, right.strides[-1])], [(node, ONE)], [])
        return Cut(N, [(left.root, left.strides[-1]), (right.root, right.strides[-2])], [], [node])
    return None


def _draws(schedule: Schedule, node: Node, _: Tiling) -> Cut | None:
    """Rows of the factors of a single member, (..., n, width)."""
    if node.shape[-2] is not N or any(map(long, node.shape[:-2])):
        return None
    return Cut(N, [(schedule.places[one].root, ZERO) for one in node.inputs], [(node, packed(node.shape)[-2])], [])


def _concatenation(schedule: Schedule, node: Node, _: Tiling) -> Cut | None:
    if node.shape[0] is not N or dict(node.attributes)["axis"] == 0:
        return None
    parts = [schedule.places[part] for part in node.inputs]
    if not all(map(_fixed, parts)):
        return None
    reads = [(place.root, place.strides[0]) for place in parts if place.root.name != "number"]
    return Cut(N, reads, [(node, packed(node.shape)[0])], [])
