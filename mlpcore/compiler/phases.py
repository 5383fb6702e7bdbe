"""The items of a schedule in phases: what can run tile by tile, a tile being a range of one axis."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mlpcore.compiler.cuts import Cut, cut, fixed_each
from mlpcore.compiler.graph import Dim, N, Node
from mlpcore.compiler.places import ZERO, Size, size
from mlpcore.compiler.schedule import Item, Loop, Schedule, nodes_of
from mlpcore.compiler.tiling import Tiling


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

    def tiles(self, of_rows: int) -> int:
        """The number of tiles where rows are cut into so many."""
        if self.length is None:
            return 1
        return of_rows if self.length is N else -(-int(self.length) // self.each)


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
                    phase.each = min(fixed_each(tiling, item) for item in phase.items)
                phases.append(phase)
                waiting = left
                break
    schedule.order([item for phase in phases for item in phase.items])
    return phases


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
