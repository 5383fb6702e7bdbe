"""The shared memory of a kernel over tiles of rows: arrays with the rows of one tile, and copies of weights."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from mlpcore.compiler.cuda.schedule import reductions
from mlpcore.compiler.cuda.storage import DeviceStorage
from mlpcore.compiler.formulas import STORED
from mlpcore.compiler.graph import N, Node, has_rows
from mlpcore.compiler.memory import ALIGNMENT, arena, replaceable
from mlpcore.compiler.phases import Phase
from mlpcore.compiler.places import ONE, ZERO, Place, Size, size
from mlpcore.compiler.schedule import Loop

SHARED_BYTES = 97 * 1024  # of a block, besides 2 KiB for sums: what every device from compute capability 8.0 on has
ROWS = 16  # of a tile: those of a fragment of tensor cores, and so few that small batches have several blocks


class NotInTiles(Exception):
    """A function cannot be computed in one kernel over tiles of rows; the text says why."""


class TileArray(NamedTuple):
    """An array with the rows of one tile in shared memory: row r begins at entry ``r * step`` of ``name``."""

    name: str
    kind: str
    step: int
    offset: int  # in bytes

    def declaration(self) -> str:
        """The C declaration of the pointer."""
        return f"{self.kind} *const {self.name} = ({self.kind} *)((char *)tile_memory + {self.offset});"


class Staged(NamedTuple):
    """A matrix of weights: ``rows`` rows of ``columns`` contiguous entries, ``leading`` entries apart, in the array of
    ``root``."""

    root: Node
    start: Size
    rows: int
    columns: int
    leading: Size

    @staticmethod
    def of(place: Place, shape: tuple) -> "Staged | None":
        """The matrix that a factor of a product is, or that it is the transpose of."""
        (rows, columns), (down, right) = shape[-2:], place.strides[-2:]
        if rows is N or columns is N:
            return None
        if right in (ONE, ZERO) and down.fixed >= columns:
            return Staged(place.root, place.offset, rows, columns, down)
        if down in (ONE, ZERO) and right.fixed >= rows:
            return Staged(place.root, place.offset, columns, rows, right)
        return None


def padded(width: int) -> int:
    """The distance of two rows in shared memory.

    Threads that read four entries of neighbouring rows at once then read from different banks.
    """
    fours = -(-width // 4)
    return width if width < 4 else 4 * (fours + (fours % 2 == 0))


class TileMemory:
    """The plan of the shared memory of a phase over rows.

    ``bytes`` is the length of the shared memory. ``arrays`` are the nodes that
    only the phase uses; ``weights`` the factors of products that are copied to shared memory once for a block, which
    then walks over its tiles; those that do not fit are read from device memory. The result of a loop takes the place
    of an operand that nothing else reads later. Errors: `NotInTiles`.
    """

    def __init__(self, storage: DeviceStorage, phase: Phase, items: range) -> None:
        self.storage, self.phase, self.items = storage, phase, items
        local = [node for number in items for node in _nodes(storage, number) if self._is_local(node)]
        place_of = self._in_place(set(local))
        spans: dict[Node, tuple[int, int]] = {}
        for node in local:
            first, last = self._touched(node)
            owner = place_of.get(node, node)
            spans[owner] = (min(first, spans.get(owner, (first, 0))[0]), max(last, spans.get(owner, (0, last))[1]))
        offsets, length = arena([(*span, ROWS * _row_bytes(node)) for node, span in spans.items()])
        if length > SHARED_BYTES:
            raise NotInTiles(
                f"the arrays of {ROWS} rows take {length} bytes of shared memory, and there are {SHARED_BYTES}"
            )
        offset_of = dict(zip(spans, offsets, strict=True))
        self.arrays = {
            node: TileArray(
                f"t{node.number}", STORED[str(node.dtype)], padded(_width(node)), offset_of[place_of.get(node, node)]
            )
            for node in local
        }
        self.weights: dict[Staged, TileArray] = {}
        for one in self._weights():
            start = -(-length // ALIGNMENT) * ALIGNMENT
            if start + _staged_bytes(one) <= SHARED_BYTES:
                name, kind = f"w{len(self.weights)}", STORED[str(one.root.dtype)]
                self.weights[one] = TileArray(name, kind, padded(one.columns), start)
                length = start + _staged_bytes(one)
        self.bytes = max(length, ALIGNMENT)

    def _is_local(self, node: Node) -> bool:
        """Whether only the phase uses the array of a node, and tile after tile."""
        storage, schedule = self.storage, self.storage.schedule
        return (
            node in storage.stored
            and has_rows(node.shape)
            and node not in storage.output_roots
            and node not in self.phase.sums
            and node not in storage.placed
            and self.phase.strides.get(node) == Size(_width(node))
            and all(schedule.item_of[user] in self.items for user in schedule.users[node])
        )

    def _in_place(self, local: set[Node]) -> dict[Node, Node]:
        """The results of loops that are written over an operand, and the array that was there first."""
        schedule, pairs = self.storage.schedule, list[tuple[Node, Node]]()
        passes: dict[Node, tuple] = {}
        for loop in (schedule.items[number] for number in self.items):
            if isinstance(loop, Node) or any(not member.late for member in reductions(loop.members.values())):
                continue
            passes |= {node: (member.inner_depth,) for node, member in loop.members.items()}
            read = {schedule.source(node, operand).root: None for node in loop.members for operand in node.inputs}
            old_nodes = [node for node in read if node in local and node not in loop.members]
            pairs += [(new, old) for new in loop.members if new in local for old in old_nodes]
        first: dict[Node, Node] = {}
        taken: set[Node] = set()
        for new, old in replaceable(schedule, passes, pairs).items():
            if old not in taken and schedule.item_of[new] == self._touched(old)[1]:
                taken.add(old)
                first[new] = first.get(old, old)
        return first

    def _touched(self, node: Node) -> tuple[int, int]:
        """The numbers of the first and the last item that use the array of a node."""
        schedule = self.storage.schedule
        numbers = [schedule.item_of[user] for user in schedule.users[node]]
        return schedule.item_of[node], max([schedule.item_of[node], *numbers])

    def _weights(self) -> Sequence[Staged]:
        """The factors without rows of the products of the phase, first those of the most products."""
        schedule, found = self.storage.schedule, Counter[Staged]()
        for node in (schedule.items[number] for number in self.items):
            if isinstance(node, Loop) or node.kind != "matmul" or node.shape[-2] is not N:
                continue
            one = Staged.of(schedule.source(node, node.inputs[1]), node.inputs[1].shape)
            if one is not None:
                found[one] += 1
        return [one for one, _ in found.most_common()]


def _nodes(storage: DeviceStorage, number: int) -> list[Node]:
    item = storage.schedule.items[number]
    return [item] if isinstance(item, Node) else list(item.members)


def _width(node: Node) -> int:
    """The entries of a row."""
    return size(tuple(dim for dim in node.shape if dim is not N)).fixed


def _row_bytes(node: Node) -> int:
    return padded(_width(node)) * node.dtype.itemsize


def _staged_bytes(one: Staged) -> int:
    """The bytes of a copy, with those that align the next one."""
    count = one.rows * padded(one.columns) * one.root.dtype.itemsize
    return -(-count // ALIGNMENT) * ALIGNMENT
