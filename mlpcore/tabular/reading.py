"""Reads tables from files: delimited text of any dialect, Parquet, Arrow IPC, JSON lines, and .npz archives."""

import contextlib
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import Any, TypeVar

from mlpcore.errors import DataError
from mlpcore.signals import signals_pass
from mlpcore.tables import RATIO, SMALL, Table, read_archive
from mlpcore.tabular.arrow_bounds import check_arrow
from mlpcore.tabular.decoding import possible_encodings, read_lines
from mlpcore.tabular.delimited import read_delimited
from mlpcore.tabular.dependencies import load_polars, polars_errors
from mlpcore.tabular.dialect import GUESSED_FROM, guess_dialect
from mlpcore.tabular.file_table import FileTable
from mlpcore.tabular.json_lines import SCHEMA_LINES, check_json_lines
from mlpcore.tabular.parquet_bounds import check_parquet
from mlpcore.tabular.plain_text import copy_plain, is_plain
from mlpcore.tabular.wide_table import WIDE, WideTable
from mlpcore.temporary import TemporaryFolder

T = TypeVar("T")
SPOOL_CELLS = 1 << 19  # in a batch of cells as Python's strings, about 30 MB
SPOOL_CHARACTERS = 1 << 22  # in a batch at most, but for its last row
GUESSED_CHARACTERS = 1 << 20  # of the lines that the dialect is guessed from, but for the last one
SCANNED = 64 << 20  # bytes of JSON lines that are read at once; larger files become Parquet first
CELL = 8  # bytes


@signals_pass()
def read_table(path: str, target: str | None = "y", encoding: str | None = None, **dialect: Any) -> Table:
    """The table in a file, or on the standard input where ``path`` is "-".

    The kind of file is told by its content: Parquet, Arrow IPC, JSON lines, a .npz archive (array x, and array
    ``target`` if it exists), otherwise delimited text, plain or compressed by gzip or zstd. The encoding and the
    ``Dialect`` of a text are guessed; ``encoding`` and the fields of ``Dialect`` overrule. A large text is copied to a
    temporary folder in a form that can be read in parts. FileNotFoundError, and DataError for files that are no tables.
    """
    if path == "-" or (os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode)):
        return _read_stream(path, target, encoding, dialect)
    if not os.path.exists(path):
        raise FileNotFoundError(f"there is no file {path}")
    return _read_file(path, path, target, encoding, dialect)


def _read_stream(path: str, target: str | None, encoding: str | None, dialect: dict[str, Any]) -> Table:
    """The table in a pipe, which can be read only once and so is copied first."""
    if os.path.isdir(path):
        raise DataError(f"{path} is a directory, expected a file")
    folder = TemporaryFolder()
    copy = os.path.join(folder.path, "input")
    with (
        open(copy, "wb") as file,
        contextlib.nullcontext(sys.stdin.buffer) if path == "-" else open(path, "rb") as pipe,
    ):
        shutil.copyfileobj(pipe, file)
    table = _read_file(copy, "the standard input" if path == "-" else path, target, encoding, dialect)
    if isinstance(table, FileTable):
        table.folders.append(folder)  # which is removed with the table
    return table


def _read_file(path: str, source: str, target: str | None, encoding: str | None, dialect: dict[str, Any]) -> Table:
    """The table in a regular file."""
    with open(path, "rb") as file:
        head = file.read(4096)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")) or source.lower().endswith(".npz"):
        return read_archive(path, target)
    polars = load_polars()
    with polars_errors(source):
        if head.startswith(b"PAR1"):
            check_parquet(path, source)
            return _bounded(FileTable(source, polars.scan_parquet(path, glob=False)), path)
        if head.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
            check_arrow(path, source)
            stream = not head.startswith(b"ARROW1")
            frame = polars.read_ipc_stream(path).lazy() if stream else polars.scan_ipc(path, glob=False)
            return _bounded(FileTable(source, frame), path)
        if head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"{"):
            return _read_json_lines(path, source)
        return _read_text(path, source, encoding, dialect)


def _bounded(table: FileTable, path: str) -> FileTable:
    """The table; DataError if it has many more cells than its file has bytes."""
    cells = table.rows * len(table.names)
    if CELL * cells > max(SMALL, RATIO * os.path.getsize(path)):
        raise DataError(
            f"{table.source}: {table.rows:,} rows of {len(table.names):,} columns in {os.path.getsize(path):,} bytes, "
            "which may be a trap; if it is none, write the file without compression"
        )
    return table


def _read_json_lines(path: str, source: str) -> FileTable:
    """A table of JSON lines: a field is missing where a line lacks it. Fields of texts may be dates."""
    polars = load_polars()
    check_json_lines(path, source)
    frame = polars.scan_ndjson(path, infer_schema_length=SCHEMA_LINES)
    if os.path.getsize(path) <= SCANNED:
        return FileTable(source, frame.collect().lazy(), texts=("date",))
    folder = TemporaryFolder()
    copy = os.path.join(folder.path, "rows.parquet")
    frame.sink_parquet(copy)
    return FileTable(source, polars.scan_parquet(copy), texts=("date",), folders=[folder])


def _read_text(path: str, source: str, encoding: str | None, told: dict[str, Any]) -> Table:
    """A table of delimited text."""
    tried = (encoding,) if encoding else possible_encodings(path)
    for name in tried:
        try:
            return _read_encoded(path, source, name, told)
        except UnicodeDecodeError as error:
            problem = f"{error.reason} at byte {error.start}"
        except LookupError:
            problem = "there is no such encoding"
    raise DataError(
        f"{source}: no text in {tried[-1]} ({problem}); name another encoding, or convert the file to UTF-8"
    )


def _read_encoded(path: str, source: str, encoding: str, told: dict[str, Any]) -> Table:
    """A table of delimited text in this encoding; UnicodeDecodeError if it is in another one."""
    polars = load_polars()
    with contextlib.closing(read_lines(path, encoding)) as lines:
        head = _take(lines, GUESSED_FROM, GUESSED_CHARACTERS, len)
        dialect, skipped = guess_dialect(head, told)
        names, rows = read_delimited(chain(head[skipped:], lines), dialect, source, skipped)
        if len(names) >= WIDE:
            return WideTable(source, names, map(_cells, _batches(2 * len(names), rows)), dialect)
        words: dict[str, Any] = {"texts": ("numeric", "date"), "dialect": dialect}
        if skipped == 0 and is_plain(path, encoding, dialect, len(names)):
            folder = TemporaryFolder()
            copies = copy_plain(path, names, dialect, folder.path)
            return FileTable(source, polars.scan_parquet(copies), folders=[folder], **words)
        frames = _frames(names, rows)
        first = next(frames)
        second = next(frames, None)
        if second is None:
            return FileTable(source, first.lazy(), **words)
        folder = TemporaryFolder()
        parts = list[str]()
        for number, frame in enumerate(chain([first, second], frames)):
            parts.append(os.path.join(folder.path, f"{number}.parquet"))
            frame.write_parquet(parts[-1], compression="lz4")
    return FileTable(source, polars.scan_parquet(parts), folders=[folder], **words)


def _take(items: Iterator[T], count: int, characters: int, length: Callable[[T], int]) -> list[T]:
    """The next ``count`` lines or rows, or fewer with more than so many characters: the last may be longer."""
    taken, total = list[T](), 0
    for item in islice(items, count):
        taken.append(item)
        total += length(item)
        if total > characters:
            break
    return taken


def _batches(width: int, rows: Iterator[list[str]]) -> Iterator[list[list[str]]]:
    """Yield the rows in batches of bounded size."""
    while batch := _take(rows, max(1, SPOOL_CELLS // width), SPOOL_CHARACTERS, lambda row: sum(map(len, row))):
        yield batch


def _cells(batch: list[list[str]]) -> list[str]:
    """The cells of rows, column after column."""
    return list(chain.from_iterable(zip(*batch, strict=True)))


def _frames(names: list[str], rows: Iterator[list[str]]) -> Iterator[Any]:
    """Yield the rows as frames of stripped texts."""
    polars = load_polars()
    for batch in _batches(len(names), rows):
        columns = zip(names, zip(*batch, strict=True), strict=True)
        frame = polars.DataFrame([polars.Series(name, cells, dtype=polars.String) for name, cells in columns])
        yield frame.select(polars.all().str.strip_chars())
