"""Reads large plain files by polars: those in which every line is a row and every separator separates."""

import os
from collections.abc import Sequence

from mlpcore.tabular.dependencies import load_polars
from mlpcore.tabular.dialect import Dialect

LARGE = 16 << 20  # bytes
BLOCK = 8 << 20  # bytes that are copied at once


def is_plain(path: str, encoding: str, dialect: Dialect, columns: int) -> bool:
    """Whether a file is large, and UTF-8 without quotes, comments or blank lines, with rows of this many columns.

    For such a file polars reads the same cells as `mlpcore.tabular.delimited`, about ten times as fast. It would accept
    others too: it fills short rows in silence, and takes blank lines for rows.
    """
    if os.path.getsize(path) < LARGE or encoding != "utf-8" or dialect.comment or dialect.separator == " ":
        return False
    polars = load_polars()
    line = polars.col("line")
    odd = (
        (line.str.count_matches(dialect.separator, literal=True) != columns - 1)
        | line.str.contains(dialect.quote, literal=True)
        | line.str.contains("\r.")
        | (line.str.strip_chars(" ").str.len_bytes() == 0)
    )
    try:
        return not polars.scan_lines(path).select(odd.any()).collect(engine="streaming").item()
    except polars.exceptions.PolarsError:  # no UTF-8, for example
        return False


def copy_plain(path: str, names: Sequence[str], dialect: Dialect, folder: str) -> list[str]:
    """The Parquet files to which a plain file is copied, as stripped texts; these can be read in parts.

    The file is read in blocks of whole lines: polars' own stream needs four times the memory, and as much time.
    """
    polars, parts = load_polars(), list[str]()
    with open(path, "rb") as file:
        if dialect.header:
            file.readline()
        while block := file.read(BLOCK):
            frame = polars.read_csv(
                block + file.readline(),
                separator=dialect.separator,
                quote_char=None,
                has_header=False,
                schema=dict.fromkeys(names, polars.String),
                empty_string_is_null=False,
            )
            parts.append(os.path.join(folder, f"{len(parts)}.parquet"))
            frame.select(polars.all().str.strip_chars()).write_parquet(parts[-1], compression="lz4")
    return parts
