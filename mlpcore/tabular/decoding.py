"""Reads a file of text as lines: decompressed piece by piece, and decoded by what its first bytes say.

A small compressed file may hold a very large text. Whatever it holds, memory is bounded by the longest line.
"""

import gzip
import io
import sys
import zlib
from collections.abc import Generator
from typing import IO, Any, AnyStr, cast

from mlpcore.errors import DataError, import_extra

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
FALLBACKS = ("cp1252", "latin-1")  # for files that are not UTF-8; in the last one every byte is a character
MAX_LINE = 1 << 21  # characters of a line, and of a row with its quoted line ends
WINDOW_LOG = 25  # zstd keeps 2^25 bytes of the text; its levels up to 20 need no more


def possible_encodings(path: str) -> tuple[str, ...]:
    """The encodings to try for a file, in order."""
    with _open(path) as file:
        try:
            head = file.read(1024)
        except _damage(path):
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
    """Yield the lines of a file with their ends. UnicodeDecodeError for bytes that are no text in this encoding.

    DataError for a damaged compressed file, and for a line of more than `MAX_LINE` characters.
    """
    with _open(path) as file, io.TextIOWrapper(file, encoding, newline="") as text:
        try:
            yield from bounded_lines(text, path)
        except _damage(path) as error:
            raise DataError(f"{path}: the compressed file is truncated or damaged: {error}; use a copy") from None


def bounded_lines(file: IO[AnyStr], source: str) -> Generator[AnyStr]:
    """Yield the lines of an open file; DataError for a line of more than `MAX_LINE` characters, or bytes."""
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            raise too_long(source, f"line {number}")
        yield line


def too_long(source: str, where: str) -> DataError:
    """The error for a line or row of more than `MAX_LINE` characters."""
    return DataError(
        f"{source}: {where} has more than {MAX_LINE:,} characters, which is no row of a table, or one with too many "
        "columns for a text; write such a table as .npz or Parquet"
    )


def load_zstd() -> Any:
    """The module for zstd: Python's own from 3.14 on, before that its backport, which the extra `tables` installs."""
    module = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    return import_extra(module, "tables", f"texts compressed by zstd are read by {module}, which")


def _damage(path: str) -> tuple[type[Exception], ...]:
    """The errors for damage of a compressed file."""
    if _begins_with(path, ZSTD):
        return (EOFError, load_zstd().ZstdError)
    return (EOFError, gzip.BadGzipFile, zlib.error)


def _begins_with(path: str, magic: bytes) -> bool:
    with open(path, "rb") as file:
        return file.read(len(magic)) == magic


def _open(path: str) -> IO[bytes]:
    """The file opened for bytes, decompressed if it is compressed by gzip or zstd."""
    if _begins_with(path, ZSTD):
        zstd = load_zstd()
        return cast(IO[bytes], zstd.open(path, options={zstd.DecompressionParameter.window_log_max: WINDOW_LOG}))
    return cast(IO[bytes], gzip.open(path) if _begins_with(path, GZIP) else open(path, "rb"))
