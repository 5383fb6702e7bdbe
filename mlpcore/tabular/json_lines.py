"""Bounds on JSON lines: how long a line, how many columns, how deep they nest, and how empty the table may be."""

import json
import os
from typing import Any

from mlpcore.errors import DataError
from mlpcore.tabular.decoding import bounded_lines

SCHEMA_LINES = 100_000  # from which the columns are found
MAX_FIELDS = 1 << 14  # columns, with the parts of nested ones; polars takes 4 kB for each
DEEPEST = 32  # levels; the time of polars grows with the cube of their number
EMPTY_CELLS, CELLS_PER_BYTE = 1 << 21, 0.5  # of the table, few of which may be in a small file


def check_json_lines(path: str, source: str) -> None:
    """DataError for a line that is too long or no JSON, for too many or too deep columns, and for mostly empty tables.

    A cell that is missing takes as much memory as another one, so that a small file could hold a very large table.
    """
    names, parts, lines = set[str](), set[int](), 0
    with open(path, "rb") as file:
        for line in bounded_lines(file, source):  # polars would hold a line whole, however long it is
            lines += 1
            if lines > SCHEMA_LINES or not line.strip():
                continue
            try:
                fields = json.loads(line, parse_int=str, parse_float=str)
                names.update(fields)
                _add_parts(fields, parts)
            except (TypeError, ValueError, RecursionError) as error:
                raise DataError(
                    f"{source}: the file cannot be read: line {lines} is no JSON object of at most {DEEPEST} levels "
                    f"({type(error).__name__}); use a copy"
                ) from None
            if len(names) + len(parts) > MAX_FIELDS:
                raise DataError(
                    f"{source}: more than {MAX_FIELDS:,} columns, expected at most so many in JSON lines; write the "
                    "table as a text or as Parquet"
                )
    if lines * len(names) > max(EMPTY_CELLS, CELLS_PER_BYTE * os.path.getsize(path)):
        raise DataError(
            f"{source}: {lines:,} lines have few of the {len(names):,} columns each; write the table as a text"
        )


def _add_parts(value: Any, parts: set[int], above: int = 0, depth: int = 0) -> None:
    """Add the fields below the first level to the known ones; RecursionError if they are too deep."""
    if depth > DEEPEST:
        raise RecursionError
    for name, field in value.items() if isinstance(value, dict) else ((None, field) for field in value):
        if isinstance(field, dict | list):
            here = hash((above, name))
            parts.add(here)
            _add_parts(field, parts, here, depth + 1)
        elif depth and name is not None:
            parts.add(hash((above, name)))
