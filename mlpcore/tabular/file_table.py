"""The class FileTable: a table in a file, whose columns are read in parts, and its texts in their notation."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from mlpcore.errors import DataError
from mlpcore.tables import Table
from mlpcore.tabular.cells import CODE, TEXT, Notation, failed, fitting, notations, present, read_as
from mlpcore.tabular.dependencies import column, load_polars, polars_errors
from mlpcore.tabular.dialect import Dialect

T = TypeVar("T")
SAMPLE = 1000  # rows that choose the notations to try on all rows
SMALL = 1 << 22  # cells of a table that is kept in memory
EXPRESSIONS = 500  # that are computed at once


class FileTable(Table):
    """A lazy frame of polars with the methods of `Table`.

    ``texts`` are the kinds that columns of texts may turn out to be, "numeric" or "date": none for files that declare
    types.
    """

    def __init__(
        self,
        source: str,
        frame: Any,
        texts: Sequence[str] = (),
        dialect: Dialect | None = None,
        folders: Sequence[Any] = (),
    ) -> None:
        self.source, self.named, self.frame, self.texts = source, True, frame, tuple(texts)
        self.dialect, self.folders = dialect or Dialect(), list(folders)
        polars = load_polars()
        self.schema, self._found = dict(frame.collect_schema()), dict[str, Notation]()
        self._read: dict[str, Notation] = {}
        self._rows = int(self._collect(frame.select(polars.len())).item())
        if not self._rows or not self.schema:
            raise DataError(f"{source}: the table has no rows or no columns, expected at least one of each")

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return list(self.schema)

    @property
    def notations(self) -> dict[str, Notation]:
        """The notations in which columns of texts were read."""
        return self._read

    @property
    def rows(self) -> int:
        """The number of rows."""
        return self._rows

    def batches(self, names: Sequence[str]) -> Iterator[tuple[int, Any]]:
        """Yield ``(number of the first row, frame)`` for batches of rows of the columns."""
        count = self.batch_rows
        for first in range(0, self.rows, count):
            frame = self._collect(self.frame.slice(first, count).select(column(*names)))
            self._check_batch(frame, min(count, self.rows - first))
            yield first, frame

    def take(self, rows: np.ndarray, names: Sequence[str]) -> Any:
        """These rows, in ascending order, of the columns, as a frame of polars."""
        parts = []
        for first, frame in self.batches(names):
            begin, end = np.searchsorted(rows, [first, first + len(frame)])
            if end > begin:
                parts.append(frame[rows[begin:end] - first])
        return load_polars().concat(parts)

    def cells(self, name: str) -> Iterator[list[Any]]:
        """Yield the entries of a column in batches: texts as in the file, None where they are missing."""
        if self._is_text(name):
            notation = self.notation(name)
            table = self._with(present(name, self.dialect) if notation != TEXT else read_as(name, TEXT, self.dialect))
        else:
            table = self
        plain = self.schema[name].is_numeric() or self.schema[name] == load_polars().Boolean
        for _, frame in table.batches([name]):
            entries = frame[name].to_list()
            yield entries if plain else [None if entry is None else str(entry) for entry in entries]

    def numbers(self, name: str) -> np.ndarray | None:
        """A column as float64, NaN where it is missing; None if it holds no numbers."""
        polars, kind = load_polars(), self.schema[name]
        expression = column(name)
        if self._is_text(name):
            notation = self.notation(name)
            if notation.kind not in ("integer", "number"):
                return None
            expression = read_as(name, notation, self.dialect)
        elif not kind.is_numeric():
            return None
        numbers = self._collect(self.frame.select(expression.cast(polars.Float64))).to_series()
        return numbers.fill_null(float("nan")).to_numpy()

    def notation(self, name: str) -> Notation:
        """The notation of all cells of a column of texts."""
        if name not in self._found:
            self._found |= self._notations({name: None}, {})
        return self._found[name]

    def read_as(self, kinds: Mapping[str, str], known: Mapping[str, Notation] | None = None) -> Table:
        """The table with its columns of texts read as these kinds; those that are not named as what all cells are.

        A kind is "numeric", "date", or another one for texts. ``known`` are notations to try first, such as those of
        the training table. DataError for cells that are not of the kind.
        """
        found = self._notations({name: kinds.get(name) for name in self.names if self._is_text(name)}, known or {})
        table = self._with(*(read_as(name, notation, self.dialect) for name, notation in found.items()))
        table.texts, table._read = (), found
        if self.rows * len(self.names) <= SMALL:
            table.frame = self._collect(table.frame).lazy()
        return table

    def renamed(self, names: Mapping[str, str]) -> "FileTable":
        """The table with other names for some columns."""
        return self._like(self.frame.rename(dict(names)))

    def _collect(self, frame: Any) -> Any:
        """The rows of a lazy frame, in the order of the file; DataError for a damaged file."""
        with polars_errors(self.source):
            return frame.collect(engine="streaming")

    def _check_batch(self, frame: Any, rows: int) -> None:
        """DataError for fewer rows than the file says, and for dates or times that Python does not have."""
        if len(frame) != rows:
            raise DataError(f"{self.source}: the file cannot be read: it has fewer than {self.rows:,} rows; use a copy")
        with polars_errors(self.source):
            for values in frame:
                if values.dtype.is_temporal():
                    values.min(), values.max()
                elif values.dtype.is_nested():
                    values.to_list()

    def _is_text(self, name: str) -> bool:
        return bool(self.texts) and self.schema[name] == load_polars().String

    def _with(self, *expressions: Any) -> "FileTable":
        return self._like(self.frame.with_columns(*expressions))

    def _like(self, frame: Any) -> "FileTable":
        """A table with the same rows and another frame."""
        other = object.__new__(FileTable)
        other.__dict__.update(self.__dict__)
        other.frame, other.schema, other._found = frame, dict(frame.collect_schema()), {}
        return other

    def _notations(self, kinds: Mapping[str, str | None], known: Mapping[str, Notation]) -> dict[str, Notation]:
        """The notation of each of these columns: by the first rows, then checked on all rows."""
        by_kind, found = notations(self.dialect), dict.fromkeys(kinds, TEXT)
        lists = dict[Any, list[Notation]]()  # one for all columns that have the same
        tried = dict[str, list[Notation]]()
        for name, kind in kinds.items():
            if kind in (None, *by_kind):
                every = [one for each in (self.texts if kind is None else (kind,)) for one in by_kind[each]]
                tried[name] = lists.setdefault((kind, known.get(name)), prefer(known.get(name), every))
        tried = self._fitting(tried, sample=True)
        while tried:  # the first notation of each column on all rows, and where it fails the next one
            first = {name: some[:1] for name, some in tried.items()}
            for name, good in self._fitting(first, sample=False).items():
                rest = tried.pop(name)[1:]
                if good:
                    found[name] = good[0]
                elif rest:
                    tried[name] = rest
        for name, kind in kinds.items():
            if found[name] == TEXT and kind in by_kind:
                raise self._refusal(name, str(kind), prefer(known.get(name), by_kind[str(kind)])[0])
        whole = [name for name, kind in kinds.items() if found[name].kind == "integer" and kind is None]
        return found | dict.fromkeys(self._with_codes(whole), TEXT)

    def _fitting(self, tried: Mapping[str, list[Notation]], sample: bool) -> dict[str, list[Notation]]:
        """The notations that all cells of each column are in; those of the first rows as a sample."""
        if sample:
            head = self._collect(self.frame.head(SAMPLE).select(column(*tried)))
            cells = load_polars().concat([texts.alias("cell") for texts in head], rechunk=True) if tried else None
            return fitting(cells, tried, self.dialect)
        pairs = [(name, notation) for name, some in tried.items() for notation in some]
        wrong = self._each(pairs, lambda pair: failed(*pair, self.dialect).any())
        left: dict[str, list[Notation]] = {name: [] for name in tried}
        for (name, notation), bad in zip(pairs, wrong, strict=True):
            left[name] += [] if bad else [notation]
        return left

    def _with_codes(self, names: Sequence[str]) -> list[str]:
        """The columns whose whole numbers have leading zeros, as postcodes have."""
        codes = self._each(names, lambda name: column(name).str.contains(CODE).any())
        return [name for name, has in zip(names, codes, strict=True) if has]

    def _each(self, items: Sequence[T], test: Callable[[T], Any]) -> list[bool]:
        """Whether the test, an expression of one row, holds for each item; polars takes some kB for an expression."""
        found = list[bool]()
        for first in range(0, len(items), EXPRESSIONS):
            some = items[first : first + EXPRESSIONS]
            found += self._collect(self.frame.select(test(item).alias(str(i)) for i, item in enumerate(some))).row(0)
        return found

    def _refusal(self, name: str, kind: str, notation: Notation) -> DataError:
        """The error for a column with cells that are not of the kind: their number, the first one and its row."""
        bad = failed(name, notation, self.dialect)
        first = column(name).filter(bad).first().alias("cell")
        facts = self.frame.select(bad.sum().alias("count"), first, bad.arg_true().first().alias("row"))
        count, cell, row = self._collect(facts).row(0)
        shown = repr(cell if len(cell) <= 30 else cell[:27] + "...")
        wanted = "numbers" if kind == "numeric" else "dates"
        return DataError(
            f"{self.source}: column {name!r} has {count} of {self.rows} cells that are no {wanted}, such as {shown} in "
            f"data row {row + 1}; correct them, or say which cells are missing (missing, --missing)"
        )


def prefer(known: Notation | None, notations: Sequence[Notation]) -> list[Notation]:
    """The notations, with a known one first."""
    return sorted(notations, key=lambda one: one != known)
