"""How many tiles an axis is cut into: a matter of shapes alone, so that results do not depend on threads."""

from collections.abc import Sequence
from typing import NamedTuple

from mlpcore.compiler.places import Size, size


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

    def largest(self, rows: int, work: Size) -> int:
        """The most rows that a tile has for any number of rows up to this one."""
        last = [rows, 2 * self.rows - 1, self.most * self.many - 1]  # before there is one tile more
        if work.per_row:
            last += [(tiles * self.work - work.fixed - 1) // work.per_row for tiles in range(2, self.most + 1)]
        return max(self.of_rows(one, work.at(one)) for one in last if 0 < one <= rows)

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
