"""Reads rows of cells from lines of text, and names the columns."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from mlpcore.errors import DataError
from mlpcore.tables import check_columns, listed
from mlpcore.tabular.decoding import MAX_LINE, too_long
from mlpcore.tabular.dialect import Dialect

Row = tuple[int, list[str]]  # the number, from 1, of its last line, and its cells


def read_delimited(
    lines: Iterable[str], dialect: Dialect, source: str, skipped: int = 0
) -> tuple[list[str], Iterator[list[str]]]:
    """The names of the columns, and the rows under them, each with a cell for every name.

    ``skipped`` is the number of lines of the file before these.
    DataError for a text without rows, a header of numbers, rows of another length, a quote that is not closed, rows of
    more than `MAX_LINE` characters and too many columns.
    """
    rows = _rows(_Lines(lines, dialect.comment, skipped), dialect, source)
    first = next(rows, None)
    if first is None:
        raise DataError(f"{source}: the file is empty, expected a header and rows")
    check_columns(len(first[1]), source)
    second = next(rows, None)
    if not dialect.header:
        names, rows = [""] * len(first[1]), chain([first], [second] if second else [], rows)
        return name_columns(names), _equally_long(rows, names, dialect, source)
    names = [name.strip() for name in first[1]]
    _check_header(names, source)
    if second is None:
        raise DataError(f"{source}: no rows under the header, expected at least one")
    if len(second[1]) == len(names) + 1:  # a separator after the last cell, or R's names of the rows
        names = [*names, ""] if not second[1][-1].strip() else ["", *names]
    return name_columns(names), _equally_long(chain([second], rows), names, dialect, source)


def name_columns(names: Sequence[str]) -> list[str]:
    """Distinct names: "column 2" for a blank second one, "a (2)" for a second "a"."""
    filled = [name or f"column {place}" for place, name in enumerate(names, start=1)]
    taken, given, numbers = set(filled), dict[str, None](), Counter[str]()
    for name in filled:
        other = name
        while other in given or (other != name and other in taken):
            numbers[name] += 1
            other = f"{name} ({numbers[name] + 1})"
        given[other] = None
    return list(given)


class _TooLong(Exception):
    """A row has more than `MAX_LINE` characters."""


class _Lines:
    """Lines without comments, and one more at the end, which shows whether all quotes are closed."""

    def __init__(self, lines: Iterable[str], comment: str, number: int) -> None:
        self.lines, self.comment, self.number = lines, comment, number
        self.pending, self.last, self.finished = 0, "", False  # pending are the lines of the row that is read
        self.characters = 0  # of these lines

    def __iter__(self) -> Iterator[str]:
        for line in self.lines:
            self.number += 1
            if self.comment and not self.pending and line.startswith(self.comment):
                continue  # but not within a quoted cell
            self.characters = self.characters + len(line) if self.pending else len(line)
            self.pending += 1
            if self.characters > MAX_LINE:
                raise _TooLong
            self.last = line
            yield line
        self.finished = True
        yield "end"


def _rows(counted: _Lines, dialect: Dialect, source: str) -> Iterator[Row]:
    """Yield the rows that are not empty."""
    # Not strict, to allow spaces after a closing quote.
    reader = csv.reader(counted, delimiter=dialect.separator, quotechar=dialect.quote, skipinitialspace=True)
    blank = " \r\n" if dialect.separator == "\t" else None  # a line of tabs is a row of empty cells
    try:
        for cells in reader:
            if counted.finished and counted.pending == 0:
                return
            if counted.finished:
                opened = counted.number - counted.pending + 1
                raise DataError(
                    f"{source}: no CSV: a quote is opened in line {opened} and never closed; close or remove it"
                )
            if counted.pending > 1 or counted.last.strip(blank):
                yield counted.number, cells
            counted.pending = 0
    except _TooLong:
        opened = counted.number - counted.pending + 1
        raise too_long(source, f"the row that begins in line {opened}") from None
    except csv.Error as error:
        opened = counted.number - counted.pending + 1
        raise DataError(f"{source}: no CSV: {error}, in line {opened} or below; correct the file") from None


def _equally_long(rows: Iterable[Row], names: Sequence[str], dialect: Dialect, source: str) -> Iterator[list[str]]:
    """Yield the cells of the rows; DataError where a row is not as long as the header."""
    for line, cells in rows:
        if len(cells) != len(names):
            if dialect.separator == " " and len(cells) == len(names) + 1 and not cells[-1]:
                cells.pop()  # a space at the end of the line
            else:
                quotes = f"; cells with {dialect.separator!r} in them need quotes" if len(cells) > len(names) else ""
                raise DataError(
                    f"{source}, line {line}: {len(cells)} cells, expected {len(names)} as in the header{quotes}"
                )
        yield cells


def _check_header(names: Sequence[str], source: str) -> None:
    """DataError for a header of numbers, which is a row; the numbers of the columns are names."""
    numbered = list(names) in ([str(i) for i in range(start, start + len(names))] for start in (0, 1))
    if not numbered and all(map(_is_number, names)):
        raise DataError(
            f"{source}: the first line holds numbers only, expected a header with the names of the columns; "
            f"without one (header=False, --no-header) they are called {listed(name_columns([''] * len(names)))}"
        )


def _is_number(cell: str) -> bool:
    try:
        return float(cell) is not None
    except ValueError:
        return not cell
