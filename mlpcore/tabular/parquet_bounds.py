"""Bounds on the columns of a Parquet file, before polars reads it: how many, and how deep they nest.

The description is at the end of the file, in Thrift's compact protocol: a version, then a list of the columns and their
parts, depth first. polars takes 3 kB for a column, and ends the process if columns nest some thousand times.
"""

import os

from mlpcore.errors import DataError
from mlpcore.tables import check_columns

DEEPEST = 64  # levels of nested columns
FEW, LEAST_BYTES = 1 << 14, 100  # columns in any file, and the bytes of the file for each one if there are more
TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
CHILDREN = 5  # the field with the number of a column's parts


def check_parquet(path: str, source: str) -> None:
    """DataError for a Parquet file whose columns, counted with their parts, are too many or too deep."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        file.seek(max(size - 8, 0))
        length = int.from_bytes(file.read(4), "little")
        file.seek(max(size - 8 - length, 0))
        description = _Thrift(file.read(min(length, size)))
    try:
        children = description.table(source, size)
    except IndexError:
        raise damaged(source) from None
    left = [1]  # parts that are still to come, at each level
    for count in children:
        if not left or len(left) > DEEPEST:
            raise damaged(source)
        left[-1] -= 1
        left += [count] if count > 0 else []
        while left and left[-1] == 0:
            left.pop()


def check_described(columns: int, size: int, source: str) -> None:
    """DataError for too many columns, or for many in a file that is too small to hold them."""
    check_columns(columns, source)
    if columns > FEW and columns * LEAST_BYTES > size:
        raise DataError(
            f"{source}: {columns:,} columns in {size:,} bytes, expected {LEAST_BYTES} bytes for each; write the table "
            "as a text"
        )


def damaged(source: str) -> DataError:
    """The error for a description that cannot be followed."""
    return DataError(f"{source}: the file cannot be read: the description of its columns is damaged; use a copy")


class _Thrift:
    """Bytes of the compact protocol, read from the front. IndexError where they are something else."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def table(self, source: str, size: int) -> list[int]:
        """The number of parts of each column."""
        if self._byte() != 0x10 | I32:
            raise IndexError
        self._number()
        if self._byte() != 0x10 | LIST:
            raise IndexError
        count, kind = self._list()
        if kind != STRUCT:
            raise IndexError
        check_described(count - 1, size, source)  # the first one is the table
        return [self._struct(0) for _ in range(count)]

    def _struct(self, depth: int) -> int:
        """Pass over a struct; the value of its field `CHILDREN`, a whole number."""
        number = children = 0
        if depth > DEEPEST:
            raise IndexError
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._signed()
            if number == CHILDREN and head & 15 == I32:
                children = self._signed()
            else:
                self._pass(head & 15, depth)
        return children

    def _pass(self, kind: int, depth: int) -> None:
        if kind in (I16, I32, I64):
            self._number()
        elif kind in (BYTE, DOUBLE):
            self.place += 1 if kind == BYTE else 8
        elif kind == BINARY:
            size = self._number()
            self.place += size
        elif kind == STRUCT:
            self._struct(depth + 1)
        elif kind not in (TRUE, FALSE):  # no column has lists
            raise IndexError

    def _list(self) -> tuple[int, int]:
        """The length of a list, and the type of its items."""
        head = self._byte()
        return (self._number() if head >> 4 == 15 else head >> 4), head & 15

    def _signed(self) -> int:
        number = self._number()
        return number >> 1 ^ -(number & 1)

    def _number(self) -> int:
        value = shift = 0
        while (byte := self._byte()) > 127:
            value |= (byte & 127) << shift
            shift += 7
            if shift > 63:
                raise IndexError
        return value | byte << shift

    def _byte(self) -> int:
        byte = self.data[self.place]
        self.place += 1
        return byte
