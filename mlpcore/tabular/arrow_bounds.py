"""Bounds on the columns of an Arrow file or stream, before polars reads it: how many, how deep, how large.

The description is a flatbuffer, in which a few bytes can name one column millions of times, or one text, or nest
without end.
"""

import os
import struct

from mlpcore.tabular.parquet_bounds import DEEPEST, check_described, damaged

SHARED = 4  # times that a part of an Arrow description may be used on average


def check_arrow(path: str, source: str) -> None:
    """DataError for an Arrow file or stream with too many columns, or a description that is nested or shared too much.

    Nested columns count with their parts.
    """
    with open(path, "rb") as file:
        head, size = file.read(8), os.path.getsize(path)
        if head.startswith(b"ARROW1"):
            file.seek(max(size - 10, 0))
            length, schema = int.from_bytes(file.read(4), "little"), 1
            file.seek(max(size - 10 - length, 0))
        else:
            length, schema = int.from_bytes(head[4:8], "little"), 2
        data = file.read(min(length, size))
    try:
        _Description(data, size, source).check(schema)
    except struct.error:
        raise damaged(source) from None


class _Description:
    """A flatbuffer: tables, which are found by offsets, so that one can be a part of many."""

    def __init__(self, data: bytes, size: int, source: str) -> None:
        self.data, self.size, self.source = data, size, source
        self.columns, self.left = 0, SHARED * len(data)

    def check(self, schema: int) -> None:
        """DataError if the columns of the table at this place of the root are too many, or take too much."""
        table = self._follow(self._follow(0), schema)
        self._texts(table, 2)
        self._columns(table, 1, 0)

    def _columns(self, table: int, place: int, depth: int) -> None:
        for column in self._vector(table, place):
            self.columns += 1
            check_described(self.columns, self.size, self.source)
            self._text(column, 0)
            self._texts(column, 6)
            if depth > DEEPEST:
                raise damaged(self.source)
            self._columns(column, 5, depth + 1)

    def _texts(self, table: int, place: int) -> None:
        """Count the texts of the pairs of a table."""
        for pair in self._vector(table, place):
            self._text(pair, 0)
            self._text(pair, 1)

    def _text(self, table: int, place: int) -> None:
        start = self._follow(table, place)
        self._count(self._number("<I", start) if start else 0)

    def _vector(self, table: int, place: int) -> list[int]:
        """The tables of a vector."""
        start = self._follow(table, place)
        count = self._number("<I", start) if start else 0
        self._count(4 * count)
        return [self._follow(start + 4 + 4 * item) for item in range(count)]

    def _count(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise damaged(self.source)

    def _follow(self, table: int, place: int | None = None) -> int:
        """Where the offset here points to, or that of this place of a table; 0 if the table has none."""
        if place is not None:
            vtable = table - self._number("<i", table)
            if 4 + 2 * place >= self._number("<H", vtable):
                return 0
            offset = self._number("<H", vtable + 4 + 2 * place)
            if not offset:
                return 0
            table += offset
        return table + self._number("<I", table)

    def _number(self, kind: str, start: int) -> int:
        if start < 0:
            raise struct.error
        return int(struct.unpack_from(kind, self.data, start)[0])
