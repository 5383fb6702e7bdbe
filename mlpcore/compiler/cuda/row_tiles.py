"""One kernel for all that a function computes row by row: forward, loss and backward of a narrow network.

The items of a phase over rows (`mlpcore.compiler.phases`) run one after another within a tile of rows. A block walks
over its tiles in their order, and has partial results of the sums over rows in device memory. A second kernel adds
them up in the order of the blocks, whose number depends on shapes alone.
"""

import re
from collections.abc import Iterator, Sequence

from mlpcore.compiler.cuda import tile_items, tile_products
from mlpcore.compiler.cuda.kernel_text import constant, kernel_text
from mlpcore.compiler.cuda.schedule import BLOCK, DeviceSchedule
from mlpcore.compiler.cuda.storage import DeviceStorage
from mlpcore.compiler.cuda.tile_loops import TileLoopPrinter
from mlpcore.compiler.cuda.tile_memory import ROWS, NotInTiles, TileMemory
from mlpcore.compiler.cuda.tile_text import TileText
from mlpcore.compiler.formulas import HELD, STORED, combine, identity
from mlpcore.compiler.graph import N, Node, has_rows
from mlpcore.compiler.phases import Phase, arrange
from mlpcore.compiler.places import size
from mlpcore.compiler.schedule import Item, Loop, nodes_of
from mlpcore.compiler.tiling import Tiling

MOST_BLOCKS = 256  # of the kernel over tiles: two for each multiprocessor of a large device
PARTIAL_ENTRIES = 1 << 21  # of the partial results of all blocks
SIDE_BY_SIDE = 32  # sums that a block of the second kernel adds up
WHOLE = Tiling(most=1, sum=1 << 62)  # rows are the only axis that is cut


def row_phase(schedule: DeviceSchedule, pairs: Sequence[tuple[Node, Node]]) -> tuple[Phase, range] | None:
    """The phase that has all work by rows, and the numbers of its items in the schedule, which is reordered.

    None where there is no such work. ``pairs`` are those of new and old state. Errors: `NotInTiles`.
    """
    roots = ((schedule.places[new].root, old) for new, old in pairs)
    replaced = {root: old for root, old in roots if root.kind in ("elementwise", "take")}
    phases = arrange(schedule, replaced, WHOLE)
    by_rows = [phase for phase in phases if phase.length is N]
    whole = [item for phase in phases if phase.length is not N for item in phase.items if _of_rows(item)]
    if whole and len(by_rows) != 1:
        raise NotInTiles(f"{_name(whole)} cannot be divided by rows")
    if len(by_rows) > 1:
        raise NotInTiles(f"{_name(by_rows[1].items)} needs a result of all rows")
    if not by_rows:
        if any(isinstance(item, Node) and item.kind == "matmul" for item in schedule.items):
            raise NotInTiles("it computes with the number of rows")
        return None
    start = schedule.items.index(by_rows[0].items[0])
    return by_rows[0], range(start, start + len(by_rows[0].items))


def _of_rows(item: Item) -> bool:
    """Whether an item has a result for each row."""
    return any(has_rows(node.shape) for node in nodes_of(item))


def _name(items: Sequence[Item]) -> str:
    """What the first of the items belongs to."""
    labels = [node.label for item in items for node in nodes_of(item) if node.label]
    return labels[0] if labels else "the step"


class RowTiles:
    """The two kernels of a phase over rows, ``source``, with the ``functions`` that they call, and their arguments.

    ``items`` are the numbers of the items of the schedule that they compute. The arguments of the first kernel, `NAME`,
    are ``text.arrays``, the partial results, the array of numbers if there are ``text.numbers``, the distances from
    member to member, the number of rows and that of blocks; those of the second, `JOIN`, are ``join.arrays`` and the
    same without numbers.
    """

    NAME, JOIN = "row_tiles", "row_tiles_join"

    def __init__(self, storage: DeviceStorage, phase: Phase, items: range) -> None:
        self.storage, self.phase, self.items = storage, phase, items
        self.memory = TileMemory(storage, phase, items)
        storage.in_blocks = set(self.memory.arrays)
        self.offsets: dict[Node, int] = {}  # of partial results in those of a block, in units of 8 bytes
        self.partial = 0
        for node in phase.sums:
            self.offsets[node] = self.partial
            self.partial += -(-size(node.shape).fixed * node.dtype.itemsize // 8)
        self.text, self.join = TileText(storage, self.memory), TileText(storage, self.memory)
        nodes = [node for number in items for node in self._nodes(number)]
        self.functions = tile_products.functions(nodes)
        self.source = f"{self._tiles()}\n\n{self._joined()}"

    def blocks(self, rows: int) -> int:
        """The number of blocks for a number of rows."""
        tiles = -(-rows // ROWS)
        return max(1, min(tiles, MOST_BLOCKS, PARTIAL_ENTRIES // max(1, self.partial)))

    @property
    def join_blocks(self) -> int:
        """The number of blocks of the second kernel."""
        return sum(_join_blocks(node) for node in self.phase.sums)

    # --- the first kernel

    def _tiles(self) -> str:
        body = [line for number in self.items for line in self._item(number)]
        staged = list(self._staged())
        lines = [
            "extern __shared__ double tile_memory[];",
            *(array.declaration() for array in (*self.memory.arrays.values(), *self.memory.weights.values())),
            *staged,
            *["__syncthreads();"] * bool(staged),
            f"for (I tile = blockIdx.x; tile < (n + {ROWS - 1}) / {ROWS}; tile += chunks) {{",
            f"  const I begin = tile * {ROWS};",
            f"  const int count = n - begin < {ROWS} ? (int)(n - begin) : {ROWS};",
            "  const bool fresh = tile == blockIdx.x;",
            *(f"  {line}" for line in body),
            "}",
        ]
        labels = dict.fromkeys(node.label for number in self.items for node in self._nodes(number) if node.label)
        return f"// {', '.join(labels)}\n{self._function(self.NAME, self.text, lines)}"

    def _nodes(self, number: int) -> list[Node]:
        return list(nodes_of(self.storage.schedule.items[number]))

    def _item(self, number: int) -> list[str]:
        """The lines of an item, which end when all threads have computed it.

        Constants and pointers are declared where they are used, so that they do not take registers elsewhere.
        """
        item = self.storage.schedule.items[number]
        if isinstance(item, Loop):
            lines = TileLoopPrinter(self.text, item, self.phase.sums).body()
        else:
            lines = tile_items.printed(self.text, item)
        names = set(re.findall(r"\b[cg]\d+\b", "\n".join(lines)))
        numbers = [constant(self.storage, i, one) for i, one in enumerate(self.text.numbers) if f"c{i}" in names]
        sums = [self._pointer(node) for node in self.phase.sums if f"g{node.number}" in names]
        return ["{", *(f"  {line}" for line in [*numbers, *sums, *lines]), "}", "__syncthreads();"]

    def _pointer(self, node: Node) -> str:
        """The declaration of a pointer to a sum: to the result itself if there is one block only."""
        kind, place = STORED[str(node.dtype)], self.storage.places[node]
        partial = f"({kind} *)(partial + blockIdx.x * {self.partial} + {self.offsets[node]})"
        return f"{kind} *const g{node.number} = chunks == 1 ? {self.text.pointer(place)} : {partial};"

    def _staged(self) -> Iterator[str]:
        """Copies of weights to shared memory."""
        for one, copy in self.memory.weights.items():
            source = self.text.pointer(self.storage.places[one.root])
            yield (
                f"for (int e = threadIdx.x; e < {one.rows * one.columns}; e += {BLOCK}) "
                f"{copy.name}[e / {one.columns} * {copy.step} + e % {one.columns}] = "
                f"({source})[{one.start} + e / {one.columns} * {one.leading} + e % {one.columns}];"
            )

    # --- the second kernel

    def _joined(self) -> str:
        """Each block adds up 32 sums side by side, which eight threads share."""
        lines = [
            "I block = blockIdx.x;",
            f"const int x = threadIdx.x % {SIDE_BY_SIDE}, t = threadIdx.x / {SIDE_BY_SIDE};",
        ]
        for node in self.phase.sums:
            kind, held = STORED[str(node.dtype)], HELD[str(node.dtype)]
            count, blocks = size(node.shape).fixed, _join_blocks(node)
            start = "0" if node.kind == "matmul" else identity(node)
            source = f"(({kind} *)(partial + e * {self.partial} + {self.offsets[node]}))[j]"
            both = combine(node).format("all[threadIdx.x]", f"all[threadIdx.x + k * {SIDE_BY_SIDE}]")
            lines += [
                f"if (block < {blocks}) {{",
                f"  const I j = block * {SIDE_BY_SIDE} + x < {count} ? block * {SIDE_BY_SIDE} + x : {count - 1};",
                f"  {held} v = {start};",
                f"  for (I e = t; e < chunks; e += {BLOCK // SIDE_BY_SIDE}) v = {combine(node).format('v', source)};",
                f"  {held} *const all = ({held} *)shared;",
                "  all[threadIdx.x] = v;",
                "  __syncthreads();",
                f"  for (int k = {BLOCK // SIDE_BY_SIDE // 2}; k; k /= 2) {{",
                f"    if (t < k) all[threadIdx.x] = {both};",
                "    __syncthreads();",
                "  }",
                f"  if (t == 0 && block * {SIDE_BY_SIDE} + x < {count}) "
                f"({self.join.pointer(self.storage.places[node])})[j] = all[threadIdx.x];",
                "  return;",
                "}",
                f"block -= {blocks};",
            ]
        return self._function(self.JOIN, self.join, lines)

    def _function(self, name: str, text: TileText, body: list[str]) -> str:
        arrays = {f"a{i}": STORED[str(node.dtype)] for i, node in enumerate(text.arrays)} | {"partial": "double"}
        bounds = f"{BLOCK}, 2" if name == self.NAME else str(BLOCK)  # 128 registers: with fewer, some are spilled
        return kernel_text(name, arrays, bool(text.numbers), ["rows", "chunks"], body, bounds)


def _join_blocks(node: Node) -> int:
    """The number of blocks that add up the partial results of a sum."""
    return -(-size(node.shape).fixed // SIDE_BY_SIDE)
