"""Small files of tables that hold very much: refused, or read in parts, within 64 MB; and rows without end."""

import gzip
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bounded import MOST, refused_within
from optional import optional

from mlpcore.errors import DataError
from mlpcore.tables import read_archive
from mlpcore.tables.table import MAX_COLUMNS
from mlpcore.tabular import decoding, delimited, read_table

optional("polars")

GIGABYTE, PIECE = 1 << 30, bytes(1 << 20)


def zipped(path: Path, content: Callable[[int], bytes], size: int, head: bytes = b"a,b\n1,") -> Path:
    """A text of pieces, compressed by what the path says."""
    with gzip.open(path, "wb", 5) if path.suffix == ".gz" else decoding.load_zstd().open(path, "wb") as file:
        file.write(head)
        for _ in range(size // len(PIECE)):
            file.write(content(len(PIECE)))
    return path


def zeros(length: int) -> bytes:
    return PIECE


def one_line(length: int) -> bytes:
    return b"1" * length


def separators(length: int) -> bytes:
    return b"," * length


def a_quote(length: int) -> bytes:
    return b'"1' * (length // 2)


def lines_in_quotes(length: int) -> bytes:
    return b'"1\n",' * (length // 5)


def empty_lines(length: int) -> bytes:
    return b"\n" * length


def tabs(length: int) -> bytes:
    return b"\t" * length


def wide_characters(length: int) -> bytes:
    return "\U0001f600".encode() * (length // 4)


WITHOUT_ROWS = [zeros, one_line, separators, a_quote, tabs, wide_characters]
WITHOUT_ROWS += [pytest.param(lines_in_quotes, marks=pytest.mark.long)]


@pytest.mark.parametrize("suffix", ["gz", "zst"])
@pytest.mark.parametrize("content", WITHOUT_ROWS)
def test_a_small_compressed_file_without_end_of_its_row(content: Callable, suffix: str, tmp_path: Path) -> None:
    refused_within(zipped(tmp_path / f"t.{suffix}", content, 8 << 20), "characters|field|cells|columns")


@pytest.mark.long
@pytest.mark.parametrize("suffix", ["gz", "zst"])
@pytest.mark.parametrize("content", [zeros, one_line, tabs])
def test_a_gigabyte_in_a_small_file(content: Callable, suffix: str, tmp_path: Path) -> None:
    path = zipped(tmp_path / f"t.{suffix}", content, GIGABYTE)
    assert path.stat().st_size < 6 << 20
    refused_within(path, "characters|field")


@pytest.mark.long
@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_gigabyte_of_rows_is_read_in_parts(suffix: str, tmp_path: Path) -> None:
    """There is no limit on how well a table may be compressed."""
    row = b"1," + b"0" * 1020 + b"\n"
    path = zipped(tmp_path / f"t.{suffix}", lambda length: row * 1025, GIGABYTE, b"a,b\n")
    tracemalloc.start()
    assert read_table(str(path)).rows == 1025 * 1024
    assert tracemalloc.get_traced_memory()[1] < MOST
    tracemalloc.stop()


@pytest.mark.parametrize("head", [b"", pytest.param(b"a,b\n", marks=pytest.mark.long)])
def test_a_million_columns(head: bytes, tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(head + b"1," * 1_000_000)
    refused_within(tmp_path / "t", "1,000,001 columns or more, expected at most 65,536|1000001 cells")


@pytest.mark.long
def test_as_many_columns_as_are_allowed_are_read(tmp_path: Path) -> None:
    path, names = tmp_path / "t", [f"c{i}" for i in range(MAX_COLUMNS)]
    path.write_text("\n".join([",".join(names), ",".join(["1"] * len(names))]))
    assert read_table(str(path)).names == names


def test_an_archive_of_a_million_columns(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", x=np.zeros((1, 1_000_000), np.int8))
    refused_within(tmp_path / "t.npz", "1,000,000 columns or more, expected at most 65,536")


def test_a_line_of_a_hundred_megabytes(tmp_path: Path) -> None:
    for begin in (b"a,b\n1,", b'{"a":"'):
        with open(tmp_path / "t", "wb") as file:
            file.write(begin)
            for _ in range(100):
                file.write(b"x" * (1 << 20))
        refused_within(tmp_path / "t", "line . has more than 2,097,152 characters")


def test_a_row_of_many_lines_in_quotes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "MAX_LINE", 10_000)
    (tmp_path / "t").write_bytes(b"a,b\n1,2\n" + b'"x\n",' * 10_000)
    refused_within(tmp_path / "t", "row that begins in line 3 has more than")


def test_an_archive_that_holds_much_more_than_its_size(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "t.npz", x=np.zeros((1 << 14, 1 << 9)), y=np.zeros(1 << 14))
    refused_within(tmp_path / "t.npz", "may be a trap; if it is none, write it without compression, by numpy.savez")


@pytest.mark.parametrize("shape", ["(1000000000, 1000000000)", "(9000000000000000000, 2)", "(100000000, 9)"])
def test_an_archive_whose_header_promises_more_than_is_there(shape: str, tmp_path: Path) -> None:
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    with zipfile.ZipFile(tmp_path / "t.npz", "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(64))
    tracemalloc.start()
    with pytest.raises(DataError, match="archive of plain arrays"):
        read_archive(str(tmp_path / "t.npz"), "y")
    assert tracemalloc.get_traced_memory()[1] < MOST
    tracemalloc.stop()


def test_a_well_compressed_archive_is_read(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "t.npz", x=np.zeros((1000, 1000)), y=np.zeros(1000))
    assert read_table(str(tmp_path / "t.npz")).rows == 1000
