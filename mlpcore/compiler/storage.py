"""Which values of a schedule are stored in memory, and in which array of the printed function."""

import math
from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

from mlpcore.compiler.blocks import LANES, Block, blocks, in_scope, lane_axis
from mlpcore.compiler.concatenation import placed_parts
from mlpcore.compiler.graph import N, Node, has_rows
from mlpcore.compiler.memory import owner_of, replaceable
from mlpcore.compiler.phases import arrange
from mlpcore.compiler.places import ZERO, Place, Size, entry
from mlpcore.compiler.pointers import Pointers, local
from mlpcore.compiler.schedule import Loop, Member, Schedule, Strides, nodes_of
from mlpcore.compiler.tiling import Tiling

MAX_STACK_ENTRIES = 4096  # buffers and outer reductions of at most this size are kept on the stack, in the cache


class Buffer(NamedTuple):
    """A C array on the stack, declared within ``depth`` axes, for values that another block of the same loop reads."""

    depth: int
    lengths: str
    indices: str


class Storage:
    """The memory of a schedule. ``arrays`` and ``numbers`` are the arguments of the printed function, by first use.

    ``stored``: nodes whose values are written to memory. ``buffers``: nodes that another block of their own loop reads.
    ``placed``: nodes that share the array of another node, with that node and the offset: an operand in its
    concatenation, or a new value in the array of the old state. ``copies``: the (new, old) pairs that need a copy at
    the end of the step. ``touched``: the numbers of the items that use an array. ``local``: arrays of which every tile
    has its own, and the phase that uses them.
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
        self.placed: dict[Node, tuple[Node, Size]] = placed_parts(schedule)
        candidates = [(new, old) for new, old in pairs if self.places[new].root not in self.placed]
        replaced = replaceable(schedule, self.paths, candidates)
        self.placed |= {new: (old, ZERO) for new, old in replaced.items()}
        self._overwrite_last_reads()
        self.copies = [(new, old) for new, old in roots if new is not old and replaced.get(new) is not old]
        self.touched = self._touched()
        self.output_roots = {self.places[output].root for output in schedule.graph.outputs}
        self.local = local(self.phases, self.touched, {self.owner_of(node)[0] for node in self.output_roots})
        self.pointers: Pointers | None = None  # of the phase that is printed

    def _touched(self) -> dict[Node, list[int]]:
        """For every array, the numbers of the items that read or write it."""
        touched: dict[Node, list[int]] = {}
        for number, item in enumerate(self.schedule.items):
            nodes = list(nodes_of(item))
            roots = [*nodes, *(self.schedule.source(node, operand).root for node in nodes for operand in node.inputs)]
            for owner in dict.fromkeys(self.owner_of(root)[0] for root in roots):
                touched.setdefault(owner, []).append(number)
        return touched

    def begin_phase(self, number: int) -> Pointers:
        """Start printing a phase; its pointers are collected in the result."""
        local = [node for node, phase in self.local.items() if phase == number]
        self.pointers = Pointers(number, self.phases[number], self.replaced, local)
        return self.pointers

    def _stored(self) -> set[Node]:
        """The nodes that are read where their variable is out of scope: in another item, or another block of the loop.

        Those read only in another block are put in ``buffers`` instead, if they are small enough.
        """
        stored = {self.places[output].root for output in self.schedule.graph.outputs}
        for item in self.schedule.items:
            if isinstance(item, Node):
                stored |= {item, *(self.schedule.source(item, operand).root for operand in item.inputs)}
                continue
            shared: dict[Node, int] = {}  # the axes that enclose both the node and all its readers in other blocks
            for node in item.members:
                for root in (self.places[operand].root for operand in node.inputs):
                    if root not in item.members:
                        stored.add(root)
                    elif not in_scope(item, self.paths, root, node):
                        pairs = zip(self.paths[root], self.paths[node], strict=False)
                        depth = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
                        shared[root] = min(depth, shared.get(root, depth))
            for root, depth in shared.items():
                if (buffer := _buffer(item, item.members[root], depth)) is None:
                    stored.add(root)
                else:
                    self.buffers[root] = buffer
        return stored

    def _overwrite_last_reads(self) -> None:
        """Place the result of a loop in the array of an operand with rows that is read for the last time."""
        pairs = []
        for loop in (item for item in self.schedule.items if isinstance(item, Loop)):
            read = {self.schedule.source(node, operand).root: None for node in loop.members for operand in node.inputs}
            old_nodes = [node for node in read if node.kind in ("matmul", "elementwise") and node not in loop.members]
            new_nodes = [node for node in loop.members if node in self.stored and has_rows(node.shape)]
            placed = self.placed
            pairs += [(new, old) for new in new_nodes for old in old_nodes if new not in placed and old not in placed]
        reused: set[Node] = set()
        for new, old in replaceable(self.schedule, self.paths, pairs).items():
            if old not in reused:
                self.placed[new] = (old, ZERO)
                reused.add(old)

    def owner_of(self, root: Node) -> tuple[Node, Size]:
        """The node whose array holds the entries of a root, and the offset in it."""
        return owner_of(self.placed, root)

    def array(self, root: Node) -> tuple[str, Size]:
        """The name of that array in the printed text, and the offset of the root in it."""
        owner, offset = self.owner_of(root)
        if owner not in self.arrays:
            self.arrays.append(owner)
        number = self.arrays.index(owner)
        return self.pointers.name(root, owner, number, offset) if self.pointers else (f"a{number}", offset)

    def entry(self, place: Place, strides: Strides) -> str:
        """An entry as a C expression, for strides along the axes of a loop."""
        name, offset = self.array(place.root)
        return entry(name, offset.plus(place.offset), strides)

    def number(self, node: Node) -> str:
        """The name of a floating constant. Constants are arguments, so that the text does not depend on them."""
        if node not in self.numbers:
            self.numbers.append(node)
        number = self.numbers.index(node)
        return self.pointers.constant(node, number) if self.pointers else f"c{number}"


def _buffer(loop: Loop, member: Member, depth: int) -> Buffer | None:
    """The buffer of a member that is read elsewhere within its outer ``depth`` axes; None if it would be too large."""
    lanes = lane_axis(loop)
    axes = sorted(range(depth, member.depth), key=lambda axis: axis == lanes)  # the axis of lanes is the innermost
    lengths, indices = [loop.axes[axis] for axis in axes], [f"i{axis}" for axis in axes]
    if lanes is not None and lanes < depth:
        lengths, indices = [*lengths, LANES], [*indices, "l"]
    fixed = [length for length in lengths if length is not N]
    if len(fixed) < len(lengths) or math.prod(fixed) > MAX_STACK_ENTRIES:
        return None
    return Buffer(depth, "".join(f"[{length}]" for length in lengths), "".join(f"[{length}]" for length in indices))
