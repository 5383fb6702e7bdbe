"""Reads rows of cells separated by commas, semicolons or tabs."""

import csv
import itertools
import re
from collections.abc import Iterator, Sequence

DELIMITERS = "\t;,"  # in order of preference, as a comma may be part of a text or number
GUESSED_FROM = 100  # lines


def guess_delimiter(lines: Sequence[str]) -> str:
    """The delimiter with the same count in each of the first lines, else the most frequent one in the first line.

    Quoted text and empty lines are ignored.
    """
    first = itertools.islice((line for line in lines if line.strip()), GUESSED_FROM)
    text = re.sub(r'"[^"]*("|\Z)', "", "".join(first))
    rows = [row for row in re.split(r"\r\n?|\n", text) if row.strip(" ")] or [""]

    def fit(mark: str) -> tuple[bool, int]:
        counts = {row.count(mark) for row in rows}
        return len(counts) == 1 and 0 not in counts, rows[0].count(mark)

    return max(DELIMITERS, key=fit)


def read_rows(lines: Sequence[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield ``(line, cells)`` for every row that is not empty, without spaces around cells and their quotes.

    ``line`` is the number, from 1, of the row's last line. csv.Error for a quote that is not closed.
    """
    spaces = " \r\n" if delimiter == "\t" else None  # a line of tabs is a row of empty cells
    # Not strict, to allow spaces after a closing quote. The added last line shows whether all quotes are closed.
    reader = csv.reader(itertools.chain(lines, ["end"]), delimiter=delimiter, skipinitialspace=True)
    start = 1
    try:
        for cells in reader:
            end = reader.line_num
            if end > len(lines):
                break
            if end > start or lines[end - 1].strip(spaces):
                yield end, [cell.strip() for cell in cells]
            start = end + 1
    except csv.Error as error:
        raise csv.Error(f"{error}, in line {start} or below") from None
    if start <= len(lines):
        raise csv.Error(f"a quote is opened in line {start} and never closed")
