"""The items of a schedule in phases: what can run tile by tile, a tile being a range of the outermost axis."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from mlpcore.compiler.graph import Dim, N, Node, has_rows, long
from mlpcore.compiler.places import ONE, ZERO, Place, Size, packed, size
from mlpcore.compiler.schedule import Item, Loop, Member, Schedule, along, nodes_of


class Tiling(NamedTuple):
    """How large tiles are. Their number depends on shapes alone, so that results do not depend on threads.

    Two tiles have ``rows`` rows each at least, and ``most`` tiles ``many``, as every tile of a product reads the whole
    weights; a tile has ``work`` multiplications or other operations at least, and in loops over vectors ``entries``
    entries. A sum over rows whose result has ``sum`` entries or more is cut into tiles of ``columns`` columns at least:
    a partial result of every tile would take longer.
    """

    most: int = 4
    rows: int = 96
    many: int = 384
    work: int = 1_000_000
    entries: int = 1 << 15
    sum: int = 1 << 17
    columns: int = 256

    def of_rows(self, rows: int, work: int) -> int:
        """The rows of each tile but the last for so many rows and so much work."""
        tiles = self.most if rows >= self.most * self.many else min(self.most, 2) if rows >= 2 * self.rows else 1
        return _each(rows, min(tiles, work // self.work))

    def of_loop(self, axes: Sequence[int]) -> int:
        """The indices of each tile but the last along the first of the axes of a loop."""
        return _each(axes[0], min(self.most, size(tuple(axes)).fixed // self.entries))

    def of_columns(self, columns: int) -> int:
        """The columns of each tile but the last of the result of a product."""
        return _each(columns, min(self.most, columns // self.columns))


def _each(length: int, tiles: int) -> int:
    """The length of a tile: whole vectors, where it is long."""
    each = -(-length // max(1, tiles))
    return min(length, -(-each // 16) * 16 if each > 64 else each)


DEFAULT = Tiling()


class Cut(NamedTuple):
    """What an item does when it is cut along an axis of that ``length``.

    ``reads`` and ``writes`` are (array, distance from the entries of one index to those of the next), ``sums`` the
    reductions over the axis: each tile makes a partial result.
    """

    length: Dim
    reads: list[tuple[Node, Size]]
    writes: list[tuple[Node, Size]]
    sums: list[Node]


@dataclass(eq=False)
class Phase:
    """Items that run one after the other within a tile; ``length`` of the axis that is cut, None for a single tile.

    A tile reads of what the phase writes only what it has written itself. The entries of one index lie ``shifts`` from
    those of the next.
    """

    length: Dim | None
    each: int = 0  # indices of a tile; of rows it is known when the program is bound
    items: list[Item] = field(default_factory=list)
    shifts: dict[Node, Size] = field(default_factory=dict)
    sums: list[Node] = field(default_factory=list)

    def accepts(self, cut: Cut, replaced: dict[Node, Node]) -> bool:
        """Whether an item can be the next one; if so its arrays are noted. ``replaced``: new state to old."""
        shifts = dict(self.shifts)
        for root, shift in (*cut.reads, *cut.writes):
            if root in self.sums or shifts.setdefault(replaced.get(root, root), shift) != shift:
                return False
        self.shifts = shifts
        self.sums += cut.sums
        return True

    def shift(self, root: Node, replaced: dict[Node, Node]) -> Size:
        """How far the entries of one index of the cut axis lie from those of the next."""
        return ZERO if self.length is None else self.shifts.get(replaced.get(root, root), ZERO)

    def tiles(self, rows: int, each: int) -> int:
        """The number of tiles for so many rows, ``each`` in a tile."""
        if self.length is None:
            return 1
        return -(-rows // each) if self.length is N else -(-int(self.length) // self.each)


def arrange(schedule: Schedule, replaced: dict[Node, Node], tiling: Tiling) -> list[Phase]:
    """The phases; the items of the schedule are put into their order.

    What cannot be cut comes as early as it can, so that it does not part what can. What reads a reduction over rows
    begins a new phase.
    """
    cuts = {}
    for item in schedule.items:
        found = cut(schedule, item, tiling)
        if found is not None and Phase(found.length).accepts(found, replaced):
            cuts[item] = found
    phases, waiting = [], list(schedule.items)
    while waiting:
        for length in (None, cuts[waiting[0]].length if waiting[0] in cuts else None):
            phase = Phase(length)
            left: list[Item] = []
            for item in waiting:
                found = cuts.get(item)
                same = found is None if length is None else found is not None and _same(found.length, length)
                if (
                    same
                    and not _awaits(schedule, item, left, replaced)
                    and (found is None or phase.accepts(found, replaced))
                ):
                    phase.items.append(item)
                else:
                    left.append(item)
            if phase.items:
                if isinstance(length, int):
                    phase.each = min(_fixed_each(tiling, item) for item in phase.items)
                phases.append(phase)
                waiting = left
                break
    schedule.order([item for phase in phases for item in phase.items])
    return phases


def _fixed_each(tiling: Tiling, item: Item) -> int:
    """The length of a tile of an item whose cut axis has a fixed length."""
    if isinstance(item, Loop):
        return tiling.of_loop([dim for dim in item.axes if isinstance(dim, int)])
    return tiling.of_columns(int(item.shape[-1]))


def work(schedule: Schedule, phases: Sequence[Phase]) -> Size:
    """The multiplications and other operations of the items that are cut into rows."""
    count = ZERO
    for item in (item for phase in phases if phase.length is N for item in phase.items):
        if isinstance(item, Loop):
            for node in item.members:
                count = count.plus(size(node.inputs[0].shape if node.kind == "reduce" else node.shape))
        elif item.kind == "matmul":
            count = count.plus(size(item.shape).times(item.inputs[0].shape[-1]))
    return count


def _same(one: Dim, other: Dim) -> bool:
    return one is other if one is N or other is N else one == other


def _awaits(schedule: Schedule, item: Item, others: Sequence[Item], replaced: dict[Node, Node]) -> bool:
    """Whether an item reads what others compute, or writes over what they read."""
    made = {node for other in others for node in nodes_of(other)}
    read = {schedule.source(node, one).root for other in others for node in nodes_of(other) for one in node.inputs}
    nodes = list(nodes_of(item))
    return any(schedule.source(node, one).root in made for node in nodes for one in node.inputs) or any(
        replaced.get(node) in read for node in nodes
    )


def cut(schedule: Schedule, item: Item, tiling: Tiling) -> Cut | None:
    """What the item does when it is cut along its outermost axis, None where it cannot be or is too small."""
    if isinstance(item, Loop):
        found = _loop(schedule, item, tiling)
    else:
        found = _product(schedule, item, tiling) if item.kind == "matmul" else _concatenation(schedule, item)
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
    if length is not N and (has_rows(loop.axes) or _fixed_each(tiling, loop) == length):
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
        if size(node.shape).fixed >= tiling.sum and _fixed_each(tiling, node) < columns:
            return Cut(columns, [(left.root, ZERO), (right.root, right.strides[-1])], [(node, ONE)], [])
        return Cut(N, [(left.root, left.strides[-1]), (right.root, right.strides[-2])], [], [node])
    return None


def _concatenation(schedule: Schedule, node: Node) -> Cut | None:
    if node.shape[0] is not N or dict(node.attributes)["axis"] == 0:
        return None
    parts = [schedule.places[part] for part in node.inputs]
    if not all(map(_fixed, parts)):
        return None
    reads = [(place.root, place.strides[0]) for place in parts if place.root.name != "number"]
    return Cut(N, reads, [(node, packed(node.shape)[0])], [])
