"""What of a schedule is kept in memory, in which array of the printed function, and from which entry on."""

import math
from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

from mlpcore.compiler.blocks import LANES, Block, blocks, in_scope, lane_axis
from mlpcore.compiler.graph import N, Node, has_rows
from mlpcore.compiler.memory import replaceable, whole
from mlpcore.compiler.parts import placed_parts
from mlpcore.compiler.phases import arrange
from mlpcore.compiler.places import ZERO, Place, Size, entry
from mlpcore.compiler.pointers import Pointers, local
from mlpcore.compiler.schedule import Loop, Member, Schedule, Strides, nodes_of
from mlpcore.compiler.tiling import Tiling

ROOM = 4096  # entries that a loop may hand over to itself without an array: they lie on the stack, in the cache


class Buffer(NamedTuple):
    """The values of a node that another block of its own loop reads, declared within ``depth`` axes: an array in C."""

    depth: int
    lengths: str
    indices: str


class Storage:
    """``arrays`` and ``numbers`` are the arguments of the printed function, in the order in which they were asked for.

    ``stored`` are the nodes whose entries go to memory, ``buffers`` those that another block of their own loop reads.
    ``home`` says which nodes are part of another's array: of a concatenation, or of the old state that a new value
    replaces. ``copies`` are the (new, old) that could not be written over at once. ``touched`` are the numbers of the
    items that use an array, and ``local`` the number of the phase whose tiles have an array each for themselves.
    """

    def __init__(self, schedule: Schedule, pairs: Sequence[tuple[Node, Node]], tiling: Tiling) -> None:
        self.schedule, self.places = schedule, schedule.places
        roots = [(self.places[new].root, old) for new, old in pairs]
        self.replaced = {root: old for root, old in roots if root.kind in ("elementwise", "take")}
        self.phases = arrange(schedule, self.replaced, tiling)
        self.arrays: list[Node] = []
        self.numbers: list[Node] = []
        self.blocks: dict[Loop, Block] = {
            item: blocks(schedule, item) for item in schedule.items if isinstance(item, Loop)
        }
        self.paths = {node: path for block in self.blocks.values() for node, path in block.paths()}
        self.buffers: dict[Node, Buffer] = {}
        self.stored = self._stored()
        self.home: dict[Node, tuple[Node, Size]] = placed_parts(schedule)
        free = [(new, old) for new, old in pairs if self.places[new].root not in self.home]
        replaced = replaceable(schedule, self.paths, free)
        self.home |= {new: (old, ZERO) for new, old in replaced.items()}
        self._write_over_last_reads()
        self.copies = [(new, old) for new, old in roots if new is not old and replaced.get(new) is not old]
        self.touched = self._touched()
        self.kept = {self.places[one].root for one in schedule.graph.outputs}
        self.local = local(self.phases, self.touched, {self.whole(one)[0] for one in self.kept})
        self.pointers: Pointers | None = None  # of the phase that is printed

    def _touched(self) -> dict[Node, list[int]]:
        """The numbers of the items that read or write an array."""
        found: dict[Node, list[int]] = {}
        for number, item in enumerate(self.schedule.items):
            nodes = list(nodes_of(item))
            roots = [*nodes, *(self.schedule.source(node, one).root for node in nodes for one in node.inputs)]
            for owner in dict.fromkeys(self.whole(root)[0] for root in roots):
                found.setdefault(owner, []).append(number)
        return found

    def enter(self, number: int) -> Pointers:
        """Print a phase from now on: the pointers that it will have asked for at its end."""
        here = [whole for whole, phase in self.local.items() if phase == number]
        self.pointers = Pointers(number, self.phases[number], self.replaced, here)
        return self.pointers

    def _stored(self) -> set[Node]:
        """What is read where its variable is not in scope: in another item, or another block of the same loop."""
        kept = {self.places[one].root for one in self.schedule.graph.outputs}
        for item in self.schedule.items:
            if isinstance(item, Node):
                kept |= {item, *(self.schedule.source(item, one).root for one in item.inputs)}
                continue
            shared: dict[Node, int] = {}  # how many axes have around them both the node and all who read it elsewhere
            for node, member in item.members.items():
                if member.late:
                    kept.add(node)
                for i, one in enumerate(node.inputs):
                    root = self.places[one].root
                    if root not in item.members or (node.kind == "take" and i == 0):
                        kept.add(root)
                    elif not in_scope(item, self.paths, root, node):
                        both = zip(self.paths[root], self.paths[node], strict=False)
                        depth = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], both))
                        shared[root] = min(depth, shared.get(root, depth))
            for root, depth in shared.items():
                if (buffer := _buffer(item, item.members[root], depth)) is None:
                    kept.add(root)
                else:
                    self.buffers[root] = buffer
        return kept

    def _write_over_last_reads(self) -> None:
        """What a loop makes of an array of rows that nobody needs any more goes into the memory of that array."""
        pairs = []
        for loop in (item for item in self.schedule.items if isinstance(item, Loop)):
            read = {self.schedule.source(node, one).root: None for node in loop.members for one in node.inputs}
            before = [one for one in read if one.kind in ("matmul", "elementwise") and one not in loop.members]
            free = [one for one in loop.members if one in self.stored and has_rows(one.shape)]
            pairs += [(new, old) for new in free for old in before if new not in self.home and old not in self.home]
        taken: set[Node] = set()
        for new, old in replaceable(self.schedule, self.paths, pairs).items():
            if old not in taken:
                self.home[new] = (old, ZERO)
                taken.add(old)

    def whole(self, root: Node) -> tuple[Node, Size]:
        """The node whose array holds the entries of a root, and from which entry on."""
        return whole(self.home, root)

    def array(self, root: Node) -> tuple[str, Size]:
        """The name of that array in the printed text, and from which entry on."""
        whole, begin = self.whole(root)
        if whole not in self.arrays:
            self.arrays.append(whole)
        number = self.arrays.index(whole)
        return self.pointers.name(root, whole, number, begin) if self.pointers else (f"a{number}", begin)

    def entry(self, place: Place, strides: Strides) -> str:
        """An entry, for strides along the axes of a loop."""
        name, begin = self.array(place.root)
        return entry(name, begin.plus(place.offset), strides)

    def number(self, node: Node) -> str:
        """The name of a floating constant: an operand, so that other constants make no other text."""
        if node not in self.numbers:
            self.numbers.append(node)
        number = self.numbers.index(node)
        return self.pointers.constant(node, number) if self.pointers else f"c{number}"


def _buffer(loop: Loop, member: Member, depth: int) -> Buffer | None:
    """The buffer of a member that is read within the outer ``depth`` axes around it; None where that is too long."""
    lanes = lane_axis(loop)
    axes = sorted(range(depth, member.depth), key=lambda axis: axis == lanes)  # the axis of lanes is the innermost
    lengths, indices = [loop.axes[axis] for axis in axes], [f"i{axis}" for axis in axes]
    if lanes is not None and lanes < depth and member.work > lanes:
        lengths, indices = [*lengths, LANES], [*indices, "l"]
    known = [length for length in lengths if length is not N]
    if len(known) < len(lengths) or math.prod(known) > ROOM:
        return None
    return Buffer(depth, "".join(f"[{one}]" for one in lengths), "".join(f"[{one}]" for one in indices))
