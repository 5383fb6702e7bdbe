"""Prints a loop over rows for the rows of one tile, as a part of a kernel over tiles of rows."""

from mlpcore.compiler.cuda import thread_reductions
from mlpcore.compiler.cuda.passes import PassPrinter
from mlpcore.compiler.cuda.schedule import BLOCK, WARP
from mlpcore.compiler.cuda.tile_memory import ROWS, NotInTiles
from mlpcore.compiler.cuda.tile_text import TileText
from mlpcore.compiler.formulas import combine
from mlpcore.compiler.graph import Node
from mlpcore.compiler.places import ZERO, Place, entry, size
from mlpcore.compiler.schedule import Loop, Strides


class TileLoopPrinter(PassPrinter):
    """Prints one loop whose outermost axis is the rows; ``sums`` are the nodes of which a block has partial results.

    The threads of the block share the indices of a tile as those of a grid share all indices, see `ThreadLayout`.
    """

    index_type = "int"

    def __init__(self, text: TileText, loop: Loop, sums: list[Node]) -> None:
        super().__init__(text.storage, loop)
        self.text, self.sums, self.arrays, self.numbers = text, sums, text.arrays, text.numbers

    def body(self) -> list[str]:
        """The lines of the loop."""
        return self._tile_sums() if self.layout.sums else self._tile_rows()

    def _tile_rows(self) -> list[str]:
        threads, count = self.layout.threads, self._count(self.layout.outer)
        if threads > WARP:
            raise NotInTiles(f"rows of more than 1024 entries are reduced ({self._label()})")
        if threads == 1:
            self.lines = [
                f"for (int row = threadIdx.x; row < {count}; row += {BLOCK}) {{",
                "const int t = 0; const bool stores = true;",
            ]
        else:  # threads beyond the last row repeat its work, so that whole warps take part in shuffles
            self.lines = [
                f"for (int start = 0; start < {count}; start += {BLOCK // threads}) {{",
                f"const int t = threadIdx.x % {threads};",
                f"int row = start + threadIdx.x / {threads};",
                f"const bool stores = row < {count};",
                f"row = stores ? row : {count} - 1;",
            ]
        self.lines += self._indices(self.layout.outer, "row")
        self._stages()
        return [*self.lines, "}"]

    def _tile_sums(self) -> list[str]:
        across, count = self.layout.threads, self._count(self.layout.outer)
        inside = self._count(self.layout.inner)
        self.lines = [
            f"for (int start = 0; start < {count}; start += {across}) {{",
            f"const int x = threadIdx.x % {across}, t = threadIdx.x / {across};",
            "int row = start + x;",
            f"const bool stores = row < {count};",
            f"row = stores ? row : {count} - 1;",
            *self._indices(self.layout.outer, "row"),
        ]
        self._add_up(f"for (int e = t; e < {inside}; e += {BLOCK // across}) {{")
        for member in self.reduced:
            name = f"v{member.node.number}"
            self.lines += thread_reductions.reduce_block(member, across, self._terms())
            if member.node not in self.sums:  # a sum along an axis of a row that is not the last one
                self.lines.append(f"if (stores && t == 0) {self._entry(member)} = {name};")
                continue
            partial = entry(f"g{member.node.number}", ZERO, member.strides)
            added = combine(member.node).format(partial, name)
            self.lines.append(f"if (stores && t == 0) {partial} = fresh ? {name} : {added};")
        return [*self.lines, "}"]

    def _count(self, axes: tuple[int, ...]) -> str:
        """The number of indices of some axes in a tile."""
        fixed = self._fixed(axes)
        return f"count * {fixed}" if 0 in axes and fixed != 1 else "count" if 0 in axes else str(fixed)

    def _terms(self) -> int:
        """The largest number of inner indices in a tile."""
        rows = ROWS if 0 in self.layout.inner else 1
        return rows * self._fixed(self.layout.inner)

    def _fixed(self, axes: tuple[int, ...]) -> int:
        return size(tuple(self.loop.axes[axis] for axis in axes if axis)).fixed

    def _label(self) -> str:
        return next((node.label for node in self.loop.members if node.label), "of a step")

    def _indices(self, axes: tuple[int, ...], flat: str) -> list[str]:
        lines = [f"int {flat}_left = {flat};"]
        for axis in reversed(axes[1:]):
            lines.append(f"const int i{axis} = {flat}_left % {self.dims[axis]}; {flat}_left /= {self.dims[axis]};")
        if axes and axes[0] == 0:
            lines.append(f"const int r = {flat}_left; const I i0 = begin + r;")
        elif axes:
            lines.append(f"const int i{axes[0]} = {flat}_left;")
        return lines

    def _at(self, place: Place, strides: Strides) -> str:
        return self.text.at(place, strides)
