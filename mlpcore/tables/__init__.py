"""Reads tables from CSV and .npz files into named columns, and splits rows with the shares of classes kept.

File content is only data: names appear in messages as reprs, and nothing is executed or unpickled.
"""

import csv
import os
from collections import Counter
from collections.abc import Iterator

import numpy as np

from mlpcore.errors import DataError
from mlpcore.tables.archive import read_archive
from mlpcore.tables.cells import as_numbers
from mlpcore.tables.delimited import guess_delimiter, read_rows
from mlpcore.tables.splitting import split
from mlpcore.tables.table import Table, listed

__all__ = ["Table", "listed", "read_table", "split"]


def read_table(path: str, target: str | None = "y") -> Table:
    """The table in a file: a .npz archive (array x, and array ``target`` if it exists), otherwise CSV with a header."""
    if not os.path.exists(path):
        raise FileNotFoundError(f"there is no file {path}")
    return read_archive(path, target) if path.lower().endswith(".npz") else _read_csv(path)


def _read_csv(path: str) -> Table:
    """The table in a CSV file: a header of distinct names and rows of equal length; the delimiter is guessed."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines = list(file)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: no text in UTF-8 ({error.reason} at byte {error.start}), expected CSV or .npz"
        ) from None
    delimiter = guess_delimiter(lines)
    try:
        rows = _equally_long(read_rows(lines, delimiter), delimiter, path)
        names = next(rows, [])
        _check_names(names, path)
        columns = list(zip(*rows, strict=True))
    except csv.Error as error:
        raise DataError(f"{path}: no CSV: {error}") from None
    if not columns:
        raise DataError(f"{path}: no rows under the header")
    return Table(path, {name: np.array(cells, dtype=object) for name, cells in zip(names, columns, strict=True)})


def _equally_long(rows: Iterator[tuple[int, list[str]]], delimiter: str, path: str) -> Iterator[list[str]]:
    """Yield the cells of the rows; DataError where a row is not as long as the first."""
    width = None
    for line, cells in rows:
        width = len(cells) if width is None else width
        if len(cells) != width:
            hint = f"; cells with {delimiter!r} in them need quotes" if len(cells) > width else ""
            raise DataError(f"{path}, line {line}: {len(cells)} cells, expected {width} as in the header{hint}")
        yield cells


def _check_names(names: list[str], path: str) -> None:
    """DataError for a header with missing or repeated names, or of numbers."""
    if not names:
        raise DataError(f"{path}: the file is empty, expected a header and rows")
    if nameless := [i for i, name in enumerate(names) if not name.strip()]:
        raise DataError(
            f"{path}: column {listed(nameless)} has no name in the header; name it, or write no index column"
        )
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(f"{path}: the header has {listed(twice)} more than once, expected distinct column names")
    numbered = names in ([str(i) for i in range(start, start + len(names))] for start in (0, 1))
    if not numbered and as_numbers(names) is not None:
        raise DataError(f"{path}: the first line holds numbers only, expected a header with the names of the columns")
