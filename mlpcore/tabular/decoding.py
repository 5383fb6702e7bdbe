"""Reads a file of text as lines: decompressed, and decoded by what its first bytes say."""

import gzip
import io
import zlib
from collections.abc import Generator, Iterator
from typing import IO, cast

from mlpcore.errors import DataError
from mlpcore.tabular.dependencies import load_polars

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
FALLBACKS = ("cp1252", "latin-1")  # for files that are not UTF-8; in the last one every byte is a character


def possible_encodings(path: str) -> tuple[str, ...]:
    """The encodings to try for a file, in order."""
    if _begins_with(path, ZSTD):
        return ("utf-8",)
    with _open(path) as file:
        try:
            head = file.read(1024)
        except (EOFError, gzip.BadGzipFile, zlib.error):
            head = b""  # read_lines says what is wrong
    for mark, encoding in MARKS.items():
        if head.startswith(mark):
            return (encoding,)
    # In UTF-16 letters, digits and separators have one byte that is zero; in other encodings no byte is.
    low, high = head[0::2].count(0), head[1::2].count(0)
    if max(low, high) > len(head) // 4:
        return ("utf-16-le" if high > low else "utf-16-be",)
    return ("utf-8", *FALLBACKS)


def read_lines(path: str, encoding: str) -> Generator[str]:
    """Yield the lines of a file with their ends. UnicodeDecodeError for bytes that are no text in this encoding."""
    if _begins_with(path, ZSTD):
        yield from _zstd_lines(path)
        return
    with _open(path) as file, io.TextIOWrapper(file, encoding, newline="") as text:
        try:
            yield from text
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{path}: the compressed file is truncated or damaged: {error}") from None


def _zstd_lines(path: str) -> Iterator[str]:
    """The lines of a file compressed by zstd, which Python before 3.14 lacks and polars has."""
    polars = load_polars()
    try:
        for batch in polars.scan_lines(path).collect_batches(chunk_size=1 << 16):
            yield from (f"{line}\n" for line in batch["line"].to_list())
    except (polars.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path}: no text in UTF-8, compressed by zstd: {error}") from None


def _begins_with(path: str, magic: bytes) -> bool:
    with open(path, "rb") as file:
        return file.read(len(magic)) == magic


def _open(path: str) -> IO[bytes]:
    """The file opened for bytes, decompressed if it is a gzip file."""
    return cast(IO[bytes], gzip.open(path) if _begins_with(path, GZIP) else open(path, "rb"))
