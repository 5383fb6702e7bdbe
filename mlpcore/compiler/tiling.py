"""The number of tiles of an axis, from shapes alone, so that results do not depend on the number of threads."""

from collections.abc import Sequence
from typing import NamedTuple

from mlpcore.compiler.places import Size, size


class Tiling(NamedTuple):
    """The numbers and the least sizes of tiles.

    - most: The largest number of tiles.
    - rows: Rows are cut into two tiles if each has at least this many rows.
    - many: Rows are cut into ``most`` tiles if each has at least this many rows: every tile of a product reads all
      weights, so tiles should be few and long.
    - work: Multiplications and other operations that a tile of rows has at least.
    - entries: Entries that a tile of a loop over a vector has at least.
    - sum: A sum over rows whose result has at least this many entries is cut by columns of the result, because partial
      results would take longer.
    - columns: Columns that a tile of such a sum has at least.
    """

    most: int = 4
    rows: int = 96
    many: int = 384
    work: int = 1_000_000
    entries: int = 1 << 15
    sum: int = 1 << 17
    columns: int = 256

    def of_rows(self, rows: int, work: int) -> int:
        """The rows of each tile but the last, for a number of rows and of operations."""
        tiles = self.most if rows >= self.most * self.many else min(self.most, 2) if rows >= 2 * self.rows else 1
        return _each(rows, min(tiles, work // self.work))

    def largest(self, rows: int, work: Size) -> int:
        """The largest tile for any number of rows up to ``rows``."""
        last = [
            rows,
            2 * self.rows - 1,
            self.most * self.many - 1,
        ]  # the largest numbers of rows before a tile is added
        if work.per_row:
            last += [(tiles * self.work - work.fixed - 1) // work.per_row for tiles in range(2, self.most + 1)]
        return max(self.of_rows(count, work.at(count)) for count in last if count <= rows)

    def of_loop(self, axes: Sequence[int]) -> int:
        """The indices of each tile but the last along the first of the axes of a loop."""
        return _each(axes[0], min(self.most, size(tuple(axes)).fixed // self.entries))

    def of_columns(self, columns: int) -> int:
        """The columns of each tile but the last of the result of a product."""
        return _each(columns, min(self.most, columns // self.columns))


def _each(length: int, tiles: int) -> int:
    """The length of a tile, a multiple of 16 where it is long."""
    each = -(-length // max(1, tiles))
    return min(length, -(-each // 16) * 16 if each > 64 else each)


DEFAULT = Tiling()
