"""Reads large plain files by polars: those in which every line is a row and every separator separates."""

import os
from collections.abc import Sequence
from typing import Any

from mlpcore.tables.table import BATCH_CELLS
from mlpcore.tabular.dependencies import load_polars
from mlpcore.tabular.dialect import Dialect

LARGE = 16 << 20  # bytes


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


def copy_plain(path: str, names: Sequence[str], dialect: Dialect, copy: str) -> Any:
    """The lazy frame of a plain file as stripped texts, copied to a Parquet file, which can be read in parts."""
    polars = load_polars()
    frame = polars.scan_csv(
        path,
        separator=dialect.separator,
        quote_char=None,
        has_header=False,
        skip_lines=int(dialect.header),
        schema=dict.fromkeys(names, polars.String),
        empty_string_is_null=False,
        glob=False,
    )
    rows = max(1024, BATCH_CELLS // len(names))
    frame.select(polars.all().str.strip_chars()).sink_parquet(copy, compression="lz4", row_group_size=rows)
    return polars.scan_parquet(copy)
