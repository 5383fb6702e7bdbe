"""Reads the text of a table's cells: numbers, missing values, and numbers in other notations."""

import re
from collections.abc import Sequence

import numpy as np

EMPTY = {"", "na", "n/a", "nan", "null"}  # cells that mean "no value", whatever their case
MISSING = EMPTY | {"none", "?"}  # the last two only in columns of numbers; elsewhere they may be labels
_MARKS = "' \u2019\u00a0\u202f"  # thousands separators besides comma and point: apostrophes and spaces
_THOUSANDS = re.compile(rf"[+-]?\d{{1,3}}([,{_MARKS}]\d{{3}})+(\.\d+)?")
_POINTED = re.compile(rf"[+-]?\d{{1,3}}([.{_MARKS}]\d{{3}})+(,\d+)?")
_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")


def as_numbers(cells: Sequence[str]) -> np.ndarray | None:
    """The cells as float64, NaN for missing values; None if a cell is neither a number nor missing."""
    filled = ["nan" if cell.strip().lower() in MISSING else cell for cell in cells]
    if any("_" in cell for cell in filled):  # Python parses 2020_01 as a number
        return None
    try:
        return np.array(filled, dtype=np.float64)
    except ValueError:
        return None


def number_in(cell: str) -> float | None:
    """The finite number in a cell, else None."""
    values = as_numbers([cell])
    return None if values is None or not np.isfinite(values[0]) else float(values[0])


def values_of(column: np.ndarray) -> np.ndarray | None:
    """The column as numbers, NaN for gaps; None for a column of strings."""
    if column.dtype == object:
        return as_numbers(column.tolist())
    return None if column.dtype.kind == "U" else column


def other_notation(cell: str) -> str:
    """The description of a number in another notation, and how to write it; empty if the cell is no number.

    >>> other_notation("1.234,5 %")
    'a number with a thousands separator and a decimal comma and a percent sign: write 1234.5'
    """
    number = cell.rstrip(f"%{_MARKS}")
    point, marks = number.replace(",", "."), re.sub(f"[,{_MARKS}]", "", number)
    odd, plain = [], number
    if _COMMA.fullmatch(number) and _THOUSANDS.fullmatch(number):
        odd, plain = ["a thousands separator or a decimal comma"], f"{marks} or {point}"
    elif _COMMA.fullmatch(number):
        odd, plain = ["a decimal comma"], point
    elif _THOUSANDS.fullmatch(number):
        odd, plain = ["a thousands separator"], marks
    elif _POINTED.fullmatch(number):
        odd = ["a thousands separator", *["a decimal comma"] * ("," in number)]
        plain = re.sub(f"[.{_MARKS}]", "", number).replace(",", ".")
    if "%" in cell and (odd or number_in(number) is not None):
        odd = [*odd, "a percent sign"]
    return f"a number with {' and '.join(odd)}: write {plain}" if odd else ""


def text_in(column: np.ndarray) -> str:
    """A description of the first cell that is neither a number nor a gap: short repr, row (from 1), and a hint."""
    cells = column.tolist()
    row = next((i for i, cell in enumerate(cells) if as_numbers([cell]) is None), 0)
    shown = repr(cells[row] if len(cells[row]) <= 30 else cells[row][:27] + "...")
    looks = other_notation(cells[row])
    return f"{shown} in data row {row + 1}{looks and f', which looks like {looks}'}"
