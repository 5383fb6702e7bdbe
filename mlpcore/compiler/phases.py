"""Phases: groups of items of a schedule that run together tile by tile, a tile being a range of one axis."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mlpcore.compiler.cuts import Cut, cut, fixed_tile_length
from mlpcore.compiler.graph import Dim, N, Node
from mlpcore.compiler.places import ZERO, Size, size
from mlpcore.compiler.schedule import Item, Loop, Schedule, nodes_of
from mlpcore.compiler.tiling import Tiling


@dataclass(eq=False)
class Phase:
    """Items that run one after another within each tile. ``length`` is that of the cut axis, None for a single tile.

    Of what the phase writes, a tile reads only what it has written itself. ``strides`` are those of the arrays along
    the cut axis. ``sums`` are the reductions over this axis, of which every tile has a partial result.
    """

    length: Dim | None
    tile_length: int = 0  # of a fixed axis; of rows it is set when the program is bound
    items: list[Item] = field(default_factory=list)
    strides: dict[Node, Size] = field(default_factory=dict)
    sums: list[Node] = field(default_factory=list)

    def accepts(self, cut: Cut, replaced: dict[Node, Node]) -> bool:
        """Whether an item can be added to the phase; its arrays are added then. ``replaced`` maps new state to old."""
        strides = dict(self.strides)
        for root, stride in (*cut.reads, *cut.writes):
            if root in self.sums or strides.setdefault(replaced.get(root, root), stride) != stride:
                return False
        self.strides = strides
        self.sums += cut.sums
        return True

    def stride(self, root: Node, replaced: dict[Node, Node]) -> Size:
        """The stride of an array along the cut axis."""
        return ZERO if self.length is None else self.strides.get(replaced.get(root, root), ZERO)

    def tiles(self, row_tiles: int) -> int:
        """The number of tiles, where rows are cut into ``row_tiles`` tiles."""
        if self.length is None:
            return 1
        return row_tiles if self.length is N else -(-int(self.length) // self.tile_length)


def arrange(schedule: Schedule, replaced: dict[Node, Node], tiling: Tiling) -> list[Phase]:
    """The phases of a schedule, whose items are reordered to match.

    Items that cannot be cut come as early as possible, so that they do not separate items that can. An item that reads
    a reduction over rows begins a new phase.
    """
    cuts = {}
    for item in schedule.items:
        item_cut = cut(schedule, item, tiling)
        if item_cut is not None and Phase(item_cut.length).accepts(item_cut, replaced):
            cuts[item] = item_cut
    phases, pending = [], list(schedule.items)
    while pending:
        for length in (None, cuts[pending[0]].length if pending[0] in cuts else None):
            phase = Phase(length)
            rest: list[Item] = []
            for item in pending:
                item_cut = cuts.get(item)
                belongs = (
                    item_cut is None if length is None else item_cut is not None and _same(item_cut.length, length)
                )
                if (
                    belongs
                    and not _awaits(schedule, item, rest, replaced)
                    and (item_cut is None or phase.accepts(item_cut, replaced))
                ):
                    phase.items.append(item)
                else:
                    rest.append(item)
            if phase.items:
                if isinstance(length, int):
                    phase.tile_length = min(fixed_tile_length(tiling, item) for item in phase.items)
                phases.append(phase)
                pending = rest
                break
    schedule.order([item for phase in phases for item in phase.items])
    return phases


def work(schedule: Schedule, phases: Sequence[Phase]) -> Size:
    """The number of multiplications and other operations in the items that are cut by rows."""
    count = ZERO
    for item in (item for phase in phases if phase.length is N for item in phase.items):
        if isinstance(item, Loop):
            for node in item.members:
                count = count.plus(size(node.inputs[0].shape if node.kind == "reduce" else node.shape))
        elif item.kind == "matmul":
            count = count.plus(size(item.shape).times(item.inputs[0].shape[-1]))
    return count


def _same(a: Dim, b: Dim) -> bool:
    return a is b if a is N or b is N else a == b


def _awaits(schedule: Schedule, item: Item, pending: Sequence[Item], replaced: dict[Node, Node]) -> bool:
    """Whether an item must come after pending ones: it reads what they compute, or overwrites what they read."""
    computed = {node for other in pending for node in nodes_of(other)}
    read = {root for other in pending for root in schedule.reads(other)}
    return not computed.isdisjoint(schedule.reads(item)) or any(replaced.get(node) in read for node in nodes_of(item))
