"""Arguments of the commands that read tables, and the table of what the columns are."""

import argparse
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mlpcore.cli.output import one_line
from mlpcore.errors import ConfigurationError
from mlpcore.tables import Table
from mlpcore.tabular import read_table
from mlpcore.tabular.cells import Notation
from mlpcore.tabular.columns import KINDS, LEFT_OUT, Column

DATA = "CSV, Parquet, Arrow or JSON lines, also compressed, a .npz file with x and y, or - for the standard input"
SEPARATORS = {"tab": "\t", "\\t": "\t", "space": " "}
NAME_SHOWN = 60  # characters of a column's name, to whose width all lines are filled
READING = ("separator", "decimal", "comment", "encoding", "header", "missing")


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that overrule what is guessed of a text file."""
    group = parser.add_argument_group("text files", "How a text is written is guessed from it; these decide otherwise.")
    group.add_argument("--separator", metavar="CHARACTER", help="between cells: a character, tab or space")
    group.add_argument("--decimal", choices=(".", ","), help="the sign before the fraction of a number")
    group.add_argument("--comment", metavar="TEXT", help="lines that begin with it are skipped")
    group.add_argument("--encoding", help="such as utf-8, utf-16 or latin-1")
    group.add_argument("--no-header", dest="header", action="store_const", const=False, help="the first line is a row")
    group.add_argument(
        "--missing", metavar="CELL,...", help="further cells that mean a missing value, besides NA and ?"
    )


def read_data(arguments: argparse.Namespace, target: str | None) -> Table:
    """The table that the arguments of a command name."""
    told: dict[str, Any] = {name: getattr(arguments, name) for name in READING if getattr(arguments, name) is not None}
    if "separator" in told:
        told["separator"] = SEPARATORS.get(told["separator"], told["separator"])
    if "missing" in told:
        told["missing"] = tuple(told["missing"].split(","))
    return read_table(arguments.data, target, **told)


def told_types(texts: Iterable[str], table: Table) -> dict[str, str]:
    """The kinds of columns in ``--types NAME=KIND,...``."""
    kinds = "|".join(kind for kind in KINDS if kind != LEFT_OUT)
    types, present = dict[str, str](), set(table.names)
    for text in texts:
        pairs, begin = list[tuple[str, str]](), 0
        for match in re.finditer(rf"=({kinds})(?:,|$)", text):  # names may hold "," and "="
            pairs.append((text[begin : match.start()], match[1]))
            begin = match.end()
        if ",".join("=".join(pair) for pair in pairs) != text or not all(name for name, _ in pairs):
            raise ConfigurationError(
                f"--types is {text!r}, expected NAME=KIND,... with a KIND of {kinds.replace('|', ', ')}"
            )
        types |= {name if name in present else table.find(name): kind for name, kind in pairs}
    return types


def told_names(texts: Iterable[str], table: Table) -> list[str]:
    """The columns in arguments such as ``--ignore NAME,...``; a text that is a name is one column, commas included."""
    present = set(table.names)
    names = [name for text in texts for name in ([text] if text in present else text.split(","))]
    return [name if name in present else table.find(name) for name in names]


def column_lines(columns: Sequence[Column], notations: Mapping[str, Notation]) -> list[str]:
    """The lines of a table that says what each column is, and why; those that are left out come last."""
    ordered = sorted(columns, key=lambda column: column.kind == LEFT_OUT)
    forms = {name: f", {form}" for name, (_, form) in notations.items() if form}
    reasons = [f"{column.reason}{forms.get(column.name, '')}" for column in ordered]
    names = [one_line(column.name, NAME_SHOWN) for column in ordered]
    rows = [(name, c.kind, one_line(reason)) for name, c, reason in zip(names, ordered, reasons, strict=True)]
    cells = [("column", "taken as", "because"), *rows]
    widths = [max(len(row[i]) for row in cells) for i in (0, 1)]
    return [f"  {name:<{widths[0]}}  {kind:<{widths[1]}}  {reason}".rstrip() for name, kind, reason in cells]
