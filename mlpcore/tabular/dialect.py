"""The dialect of a delimited text: how cells are separated and quoted, what comes before the rows, how numbers look."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from mlpcore.configuration import check_choice
from mlpcore.errors import ConfigurationError

SEPARATORS = "\t;|,"  # in order of preference, as a comma may be part of a text or number
GUESSED_FROM = 200  # lines
_COMMA = re.compile(r"[+-]?(\d*,(\d{1,2}|\d{4,})([eE][+-]?\d+)?|0,\d+|\d{1,3}(\.\d{3})+,\d+|\d{1,3}(\.\d{3}){2,})")
_POINT = re.compile(r"[+-]?(\d{1,3}(,\d{3})+\.\d+|\d{1,3}(,\d{3}){2,}|\d*\.(\d{1,2}|\d{4,}))")


@dataclass(frozen=True)
class Dialect:
    """How a text of rows is written.

    ``separator`` stands between cells and ``quote`` around those that contain it; lines that begin with ``comment`` are
    skipped, and ``header`` says whether the first row has the names. ``decimal`` is "." or ",", the sign before the
    fraction of a number. ``missing`` are further cells that mean a missing value.
    """

    separator: str = ","
    quote: str = '"'
    comment: str = ""
    header: bool = True
    decimal: str = "."
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.separator) != 1 or self.separator in f"\r\n{self.quote}":
            raise ConfigurationError(f"separator is {self.separator!r}, expected one character such as ';' or a tab")
        check_choice("mlpcore", (".", ","), decimal=self.decimal)
        check_choice("mlpcore", ('"', "'"), quote=self.quote)


def guess_dialect(lines: Sequence[str], told: dict[str, Any]) -> tuple[Dialect, int]:
    """The dialect of a text by its first lines, and the number of lines before the header; ``told`` overrules."""
    skipped, said = _first_line(lines)
    comment = told.get("comment", "#" if _has_comments(lines[skipped:]) else "")
    rows = [line for line in lines[skipped:] if line.strip() and not (comment and line.startswith(comment))]
    quote = told.get("quote") or _guess_quote(rows)
    separator = told.get("separator") or said or guess_separator(rows, quote)
    unquoted = re.sub(f"{quote}[^{quote}]*({quote}|\\Z)", lambda match: match[0].replace(separator, " "), "".join(rows))
    cells = [cell.strip(f" \r\n{quote}") for line in unquoted.splitlines()[1:] for cell in line.split(separator)]
    guess = Dialect(separator, quote, comment, decimal=_guess_decimal(cells, separator))
    return replace(guess, **told), skipped


def guess_separator(lines: Sequence[str], quote: str = '"') -> str:
    """The separator with the same count in each of the first lines, else the most frequent one in the first line.

    Quoted text and empty lines are ignored. Spaces separate if nothing else does and each line has as many words.
    """
    first = itertools.islice((line for line in lines if line.strip()), GUESSED_FROM)
    text = re.sub(f"{quote}[^{quote}]*({quote}|\\Z)", "q", "".join(first))
    rows = [row for row in re.split(r"\r\n?|\n", text) if row.strip(" ")] or [""]

    def fit(mark: str) -> tuple[bool, int]:
        counts = {row.count(mark) for row in rows}
        return len(counts) == 1 and 0 not in counts, rows[0].count(mark)

    best = max(SEPARATORS, key=fit)
    words = {len(row.split()) for row in rows}
    spaced = len(rows) > 1 and len(words) == 1 and words != {1} and not any(mark in text for mark in SEPARATORS)
    return " " if spaced else best


def _first_line(lines: Sequence[str]) -> tuple[int, str]:
    """The number of lines to skip, and the separator in a first line such as ``sep=;``, which Excel writes."""
    match = re.fullmatch(r"sep=(.)\s*", lines[0].lstrip("\ufeff")) if lines else None
    return (1, match[1]) if match else (0, "")


def _has_comments(lines: Sequence[str]) -> bool:
    """Whether comments stand before the header: lines with ``#``, unless the only one is the header itself."""
    present = [line for line in lines if line.strip()]
    leading = list(itertools.takewhile(lambda line: line.startswith("#"), present))
    if not leading or len(leading) == len(present):
        return False
    mark = guess_separator(present[len(leading) :])
    return len(leading) > 1 or leading[0].count(mark) != present[1].count(mark) or mark not in leading[0]


def _guess_quote(lines: Sequence[str]) -> str:
    """The apostrophe if cells begin and end with it and none does with a double quote."""
    text = "".join(lines)
    # Spaces only: with tabs, which also separate, a row of empty cells would take time with the square of its length.
    single = re.search(r"(^|[\t;|,]) *'[^'\n]*' *\r?($|[\t;|,])", text, re.MULTILINE)
    return "'" if single and '"' not in text else '"'


def _guess_decimal(cells: Sequence[str], separator: str) -> str:
    """The decimal sign by the cells that can only be read with one of them; without any, "."."""
    commas, points = (sum(bool(form.fullmatch(cell)) for cell in cells) for form in (_COMMA, _POINT))
    return "," if commas > points else "."
