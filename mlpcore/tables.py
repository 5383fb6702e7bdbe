"""Tables from files: CSV and .npz read into named columns, and rows split into parts that keep the classes' shares.

Whatever stands in a file is data. Names go into messages as reprs, and nothing in a file is run or unpickled.
"""

import csv
import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlpcore.errors import DataError
from mlpcore.random import Stream

EMPTY = {"", "na", "n/a", "nan", "null"}  # cells that mean "no value", whatever their case
MISSING = EMPTY | {"none", "?"}  # and these among numbers; among labels they may be answers
NAMES_SHOWN = 10


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of equal length by name: float64 arrays, or object arrays of texts where a cell is no number.

    ``named`` is False where the file has no names for its columns (.npz); they are then "x[0]", "x[1]" and so on.
    """

    source: str
    columns: dict[str, np.ndarray]
    named: bool = True

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(next(iter(self.columns.values())))

    def find(self, column: str) -> str:
        """The name of a column given by name or, where no column has that name, by index (-1: the last)."""
        names = list(self.columns)
        if column in self.columns:
            return column
        try:
            return names[int(column)]
        except (ValueError, IndexError):
            raise DataError(
                f"{self.source}: there is no column {column!r}, expected one of {listed(names)}, or an index from "
                f"{-len(names)} to {len(names) - 1}"
            ) from None

    def numbers(self, names: Sequence[str]) -> np.ndarray:
        """These columns as a float64 array (rows, columns); a DataError names those that hold anything else."""
        texts = [name for name in names if self.columns[name].dtype == object]
        if texts:
            shown = [f"{name!r} (as in {_text_of(self.columns[name])})" for name in texts]
            raise DataError(f"{self.source}: not numbers in column {listed(shown, str)}; encode or drop these columns")
        made = np.column_stack([self.columns[name] for name in names])
        bad = ~np.isfinite(made)
        if bad.any():
            counts = bad.sum(axis=0)
            shown = [
                f"{name!r} ({count} of {self.rows} rows)" for name, count in zip(names, counts, strict=True) if count
            ]
            raise DataError(
                f"{self.source}: missing or infinite values in column {listed(shown, str)}; fill or drop them"
            )
        return made


def listed(names: Sequence[Any], show: Any = repr) -> str:
    """The first names, shown one by one, and how many more there are."""
    rest = [f"and {len(names) - NAMES_SHOWN} more"] if len(names) > NAMES_SHOWN else []
    return ", ".join([show(name) for name in names[:NAMES_SHOWN]] + rest)


def read_table(path: str, target: str = "y") -> Table:
    """The table in a file: a .npz archive (array x, and ``target`` where it is there), otherwise CSV with a header."""
    if not os.path.exists(path):
        raise FileNotFoundError(f"there is no file {path}")
    return _read_npz(path, target) if path.lower().endswith(".npz") else _read_csv(path)


def _read_csv(path: str) -> Table:
    """A header of distinct names, then rows of as many cells; commas, semicolons or tabs, whichever the header has."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            head = file.readline()
            file.seek(0)
            rows = _csv_rows(csv.reader(file, delimiter=max(",;\t", key=head.count), strict=True), path)
            names = next(rows, [])
            _check_names(names, path)
            columns = list(zip(*rows, strict=True))
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: no text in UTF-8 ({error.reason} at byte {error.start}), expected CSV or .npz"
        ) from None
    except csv.Error as error:
        raise DataError(f"{path}: no CSV: {error}") from None
    if not columns:
        raise DataError(f"{path}: no rows under the header")
    return Table(path, {name: _column(cells) for name, cells in zip(names, columns, strict=True)})


def _csv_rows(reader: Any, path: str) -> Iterator[list[str]]:
    """The rows, empty lines left out, each as long as the first."""
    width = None
    for cells in reader:
        if not cells:
            continue
        width = len(cells) if width is None else width
        if len(cells) != width:
            raise DataError(f"{path}, line {reader.line_num}: {len(cells)} cells, expected {width} as in the header")
        yield cells


def _check_names(names: list[str], path: str) -> None:
    """Distinct names that are there, and are names and not a first row of numbers."""
    if not names:
        raise DataError(f"{path}: the file is empty, expected a header and rows")
    if nameless := [i for i, name in enumerate(names) if not name.strip()]:
        raise DataError(
            f"{path}: column {listed(nameless)} has no name in the header; name it, or write no index column"
        )
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise DataError(f"{path}: the header has {listed(twice)} more than once, expected distinct column names")
    numbered = names in ([str(i) for i in range(start, start + len(names))] for start in (0, 1))
    if not numbered and _column(names).dtype != object:
        raise DataError(f"{path}: the first line holds numbers only, expected a header with the names of the columns")


def _column(cells: Sequence[str]) -> np.ndarray:
    """Numbers, NaN where a value is missing; or the texts themselves, where any cell is neither."""
    filled = ["nan" if cell.strip().lower() in MISSING else cell for cell in cells]
    try:
        if any("_" in cell for cell in cells):  # Python reads 2020_01 as a number, people do not
            raise ValueError
        return np.array(filled, dtype=np.float64)
    except ValueError:
        return np.array([cell.strip() for cell in cells], dtype=object)


def _read_npz(path: str, target: str) -> Table:
    """Arrays x (rows, columns) and, where it is there, the target (rows,)."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = archive.files
            arrays = {name: archive[name] for name in ("x", target) if name in names}
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: no .npz archive of plain arrays: {error}") from None
    if "x" not in arrays:
        raise DataError(f"{path}: there is no array 'x', only {listed(names) or 'nothing'}")
    x = arrays["x"]
    if x.ndim != 2 or 0 in x.shape:
        raise DataError(f"{path}: x has shape {x.shape}, expected (rows, columns), at least one of each")
    columns = {f"x[{i}]": _plain(x[:, i], "x", path) for i in range(x.shape[1])}
    if target in columns:
        raise DataError(f"{path}: {target!r} is a column of x, expected the name of another array as the target")
    if target in arrays and target != "x":
        y = arrays[target]
        if y.shape not in ((len(x),), (len(x), 1)):
            raise DataError(f"{path}: {target} has shape {y.shape}, expected ({len(x)},), one entry for every row of x")
        columns[target] = _plain(y.reshape(-1), target, path)
    return Table(path, columns, named=False)


def _plain(column: np.ndarray, name: str, path: str) -> np.ndarray:
    """Real numbers as float64, texts as objects."""
    if column.dtype.kind in "biuf":
        return column.astype(np.float64)
    if column.dtype.kind == "U":
        return column.astype(object)
    raise DataError(f"{path}: {name} has dtype {column.dtype}, expected real numbers or texts")


def _text_of(column: np.ndarray) -> str:
    """The first cell that is neither a number nor missing, as a short repr."""
    for cell in column:
        if cell.lower() not in MISSING and _column([cell]).dtype == object:
            return repr(cell if len(cell) <= 30 else cell[:27] + "...")
    return repr(column[0])


def split(rows: int, share: float, seed: int, labels: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers ``(rest, part)``, both ascending: ``part`` has ``share`` of the rows, drawn by ``seed``.

    With ``labels`` (rows,) every class keeps its share, rounded so that the whole part has the wanted size; a class
    always keeps a row in the rest, for what is not there cannot be learned.
    """
    order = Stream(seed, "split").order(rows)
    groups = np.zeros(rows, dtype=int) if labels is None else np.unique(labels, return_inverse=True)[1]
    counts = np.bincount(groups)
    wanted = share * counts
    taken = np.floor(wanted).astype(int)  # below the count, as the share is below 1
    missing = min(round(share * rows), rows - len(counts)) - taken.sum()
    for group in np.argsort(taken - wanted, kind="stable"):  # the largest remainders first
        if missing > 0 and taken[group] < counts[group] - 1:
            taken[group] += 1
            missing -= 1
    part = np.concatenate([order[groups[order] == group][:count] for group, count in enumerate(taken)])
    return np.setdiff1d(np.arange(rows), part), np.sort(part)
