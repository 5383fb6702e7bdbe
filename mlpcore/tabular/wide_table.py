"""The class WideTable: a text of thousands of columns, for each of which a frame of polars would take some 5 kB."""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mlpcore.errors import DataError
from mlpcore.tables import Table
from mlpcore.tabular.cells import CODE, Notation, fitting, read_as
from mlpcore.tabular.dependencies import load_polars
from mlpcore.tabular.dialect import Dialect
from mlpcore.tabular.file_table import FileTable

WIDE = 1000  # columns, from which on a text is read as a wide table


class WideTable(FileTable):
    """Texts in memory, in one series for each batch of rows, whose columns follow one another.

    Some 20 bytes for each cell. What is done with all columns is done with all their cells at once. `read_as` gives a
    `Table` of arrays.
    """

    def __init__(self, source: str, names: Sequence[str], batches: Iterable[Sequence[str]], dialect: Dialect) -> None:
        polars = load_polars()
        self.source, self.named, self.dialect, self.texts = source, True, dialect, ("numeric", "date")
        self._places, self._read = {name: place for place, name in enumerate(names)}, {}
        self._batches = [polars.Series("cell", cells, dtype=polars.String).str.strip_chars() for cells in batches]
        self._rows = sum(map(len, self._batches)) // len(self._places)
        if not self._rows:
            raise DataError(f"{source}: the table has no rows, expected at least one")

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return list(self._places)

    def batches(self, names: Sequence[str]) -> Iterator[tuple[int, Any]]:
        """Yield ``(number of the first row, frame)`` for batches of rows of the columns, as texts."""
        return self._narrow(names).batches(names)

    def cells(self, name: str) -> Iterator[list[Any]]:
        """Yield the entries of a column in batches: texts as in the file, None where they are missing."""
        return self._narrow([name]).cells(name)

    def numbers(self, name: str) -> np.ndarray | None:
        """A column as float64, NaN where it is missing; None if it holds no numbers."""
        return self._narrow([name]).numbers(name)

    def read_as(self, kinds: Mapping[str, str], known: Mapping[str, Notation] | None = None) -> Table:
        """The table as arrays, its columns read as these kinds, and those that are not named as what all cells are.

        Texts are arrays of objects, None where they are missing. DataError for cells that are not of the kind.
        """
        found = self._notations({name: kinds.get(name) for name in self._places}, known or {})
        columns = dict[str, np.ndarray]()
        for notation in dict.fromkeys(found.values()):
            names = [name for name in self._places if found[name] == notation]
            parts = [
                cells.to_frame().select(read_as("cell", notation, self.dialect)).to_series()
                for cells in self._parts(names)
            ]
            columns |= {name: _array(_column(parts, place, len(names))) for place, name in enumerate(names)}
        return Table(self.source, {name: columns[name] for name in self._places}, notations=found)

    def renamed(self, names: Mapping[str, str]) -> "WideTable":
        """The table with other names for some columns."""
        other = copy.copy(self)
        other._places = {names.get(name, name): place for name, place in self._places.items()}
        return other

    def _fitting(self, tried: Mapping[str, list[Notation]], sample: bool) -> dict[str, list[Notation]]:
        """The notations that all cells of each column are in; those of the first batch as a sample."""
        left = dict(tried)
        for cells in self._parts(list(tried))[: 1 if sample else None]:
            left = fitting(cells, left, self.dialect)
        return left

    def _with_codes(self, names: Sequence[str]) -> list[str]:
        """The columns whose whole numbers have leading zeros, as postcodes have."""
        codes = np.zeros(len(names), dtype=bool)
        for cells in self._parts(names) if names else ():
            codes |= cells.str.contains(CODE).to_numpy().reshape(len(names), -1).any(axis=1)
        return [name for name, has in zip(names, codes, strict=True) if has]

    def _refusal(self, name: str, kind: str, notation: Notation) -> DataError:
        """The error for a column with cells that are not of the kind."""
        return self._narrow([name])._refusal(name, kind, notation)

    def _parts(self, names: Sequence[str]) -> list[Any]:
        """The batches with these columns alone, which are in the order of the file."""
        polars, wanted = load_polars(), np.zeros(len(self._places), dtype=bool)
        wanted[[self._places[name] for name in names]] = True
        return [cells.filter(polars.Series(np.repeat(wanted, len(cells) // len(wanted)))) for cells in self._batches]

    def _narrow(self, names: Sequence[str]) -> FileTable:
        """The table of these columns alone, as a frame."""
        count = len(self._places)
        columns = [_column(self._batches, self._places[name], count).alias(name) for name in names]
        return FileTable(self.source, load_polars().DataFrame(columns).lazy(), self.texts, self.dialect)


def _column(batches: Sequence[Any], place: int, count: int) -> Any:
    """One of ``count`` columns, which follow one another in each batch."""
    rows = [len(batch) // count for batch in batches]
    return load_polars().concat([batch.slice(place * n, n) for batch, n in zip(batches, rows, strict=True)])


def _array(column: Any) -> np.ndarray:
    """A column of polars as NumPy has it; as objects texts, and whole numbers with gaps that float64 would round."""
    rounded = column.dtype.is_integer() and column.has_nulls() and (column.abs() >= 2**53).any()
    if column.dtype == load_polars().String or rounded:
        return np.array(column.to_list(), dtype=object)
    return np.asarray(column.to_numpy())
