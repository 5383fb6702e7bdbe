"""The class Table: named columns of equal length, read whole or in batches of rows."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mlpcore.errors import DataError

NAMES_SHOWN = 10
BATCH_CELLS, FEWEST_ROWS = 1 << 20, 32  # in a batch; there may be `MAX_COLUMNS` cells in a row
MAX_COLUMNS = 1 << 16


class Table:
    """Columns of equal length by name, from ``source``; ``named`` is False where the names are only places.
    ``notations`` are those in which columns of texts were read.

    This class holds NumPy arrays; `mlpcore.tabular.reading.FileTable` has the same methods for files.
    """

    def __init__(
        self,
        source: str,
        columns: Mapping[str, np.ndarray],
        named: bool = True,
        notations: Mapping[str, Any] | None = None,
    ) -> None:
        self.source, self.columns, self.named, self._read = source, dict(columns), named, dict(notations or {})

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return list(self.columns)

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(next(iter(self.columns.values())))

    @property
    def batch_rows(self) -> int:
        """The number of rows in a batch."""
        return max(FEWEST_ROWS, BATCH_CELLS // len(self.names))

    def find(self, column: str) -> str:
        """The name of a column given by name or, where no column has that name, by index (-1: the last)."""
        names = self.names
        if column in set(names):
            return column
        try:
            return names[int(column)]
        except (ValueError, IndexError):
            raise DataError(
                f"{self.source}: there is no column {column!r}, expected one of {listed(names)}, or an index from "
                f"{-len(names)} to {len(names) - 1}"
            ) from None

    def cells(self, name: str) -> Iterator[list[Any]]:
        """Yield the entries of a column as in the file, in batches: texts or numbers, None where they are missing."""
        yield self.columns[name].tolist()

    def numbers(self, name: str) -> np.ndarray | None:
        """A column as float64, NaN where it is missing; None if it holds texts."""
        column = self.columns[name]
        if column.dtype.kind == "O":  # texts, or whole numbers with gaps
            entries = [math.nan if entry is None else entry for entry in column.tolist()]
            return np.array(entries, np.float64) if any(isinstance(entry, int) for entry in entries) else None
        return None if column.dtype.kind in "UM" else column.astype(np.float64)

    def read_as(self, kinds: Mapping[str, str], known: Mapping[str, Any] | None = None) -> "Table":
        """The table with columns of texts read as these kinds; the columns of arrays have theirs."""
        return self

    @property
    def notations(self) -> dict[str, Any]:
        """The notations in which columns of texts were read: of arrays as they came, none."""
        return self._read

    def take(self, rows: np.ndarray, names: Sequence[str]) -> Any:
        """These rows, in ascending order, of the columns, as a frame."""
        return {name: self.columns[name][rows] for name in names}

    def batches(self, names: Sequence[str]) -> Iterator[tuple[int, Any]]:
        """Yield ``(number of the first row, frame)`` for batches of rows of the columns."""
        count = self.batch_rows
        for first in range(0, self.rows, count):
            yield first, {name: self.columns[name][first : first + count] for name in names}

    def renamed(self, names: Mapping[str, str]) -> "Table":
        """The table with other names for some columns."""
        columns = {names.get(name, name): values for name, values in self.columns.items()}
        return Table(self.source, columns, self.named, self._read)


def check_columns(count: int, source: str) -> None:
    """DataError for more than `MAX_COLUMNS` columns: each takes memory, however few rows there are."""
    if count > MAX_COLUMNS:
        raise DataError(f"{source}: {count:,} columns or more, expected at most {MAX_COLUMNS:,}; leave some out")


def listed(names: Sequence[Any], show: Any = repr) -> str:
    """The first names, separated by commas, and the number of further ones."""
    more = [f"and {len(names) - NAMES_SHOWN} more"] if len(names) > NAMES_SHOWN else []
    return ", ".join([show(name) for name in names[:NAMES_SHOWN]] + more)
