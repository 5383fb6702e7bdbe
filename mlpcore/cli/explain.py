"""``mlpcore explain``: trains a small network and writes a page that shows, step by step, how it learns."""

import argparse
import os
from typing import Any

import numpy as np

from mlpcore.cli.data import prepare
from mlpcore.cli.lesson import Lesson, Rows, page, train
from mlpcore.cli.lesson.network import NAMES
from mlpcore.cli.lesson.rows import EXAMPLES, SHARE
from mlpcore.cli.output import INTERRUPTED, one_line
from mlpcore.cli.parts import Pair, Parts
from mlpcore.cli.recipe import widths
from mlpcore.cli.tables import DATA, add_reading
from mlpcore.configuration import check_count, check_number
from mlpcore.errors import ConfigurationError, DataError
from mlpcore.files.writing import check_target, replace_file
from mlpcore.tabular.categories import CategoryEncoder
from mlpcore.tabular.encoder import TableEncoder
from mlpcore.tabular.one_hot import MOST, one_hot
from mlpcore.tabular.target import TASKS

FILES = {"hidden": (8, 4), "epochs": 40, "learning_rate": 0.1, "batch_size": 16}  # what is not told for a table
MOST_LAYERS = 6  # that are hidden, so that a page stays below 2 MB


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command and its arguments."""
    parser = commands.add_parser(
        "explain",
        help="write a page that shows step by step how a small network learns",
        description="Trains a small network by gradient descent and writes one HTML page, which works offline: the "
        "network drawn, every step forward and backward with its formula and its numbers for a row, the loss over the "
        "epochs, and what the network says of all points between rows of two columns. For learners and teachers.",
    )
    parser.add_argument("data", metavar="DATA", help=f"{', '.join(EXAMPLES)}, or {DATA}")
    parser.add_argument("--target", help="the column to predict, by name or index (-1: the last); .npz: an array, y")
    parser.add_argument("--types", action="append", default=[], metavar="NAME=KIND,...", help="as of mlpcore train")
    parser.add_argument("--ignore", action="append", default=[], metavar="NAME,...", help="columns to leave out")
    parser.add_argument(
        "--task", choices=("auto", *TASKS), default="auto", help="auto (the default) chooses by the target"
    )
    group = parser.add_argument_group("network", "What is not told suits the example.")
    group.add_argument("--hidden", type=widths, metavar="N,N,...", help="widths of the hidden layers, such as 4,3")
    group.add_argument("--activation", choices=NAMES, default="tanh", help="after each hidden layer (tanh)")
    group.add_argument("--epochs", type=int, metavar="N", help="passes over the rows")
    group.add_argument("--batch-size", type=int, metavar="N", help="rows for each step")
    group.add_argument("--learning-rate", type=float, metavar="RATE", help="of gradient descent")
    parser.add_argument("--seed", type=int, default=0, help="determines rows, initial weights and row orders")
    parser.add_argument("-o", "--out", help="the page, by default named like the data, in the current directory")
    add_reading(parser)
    parser.set_defaults(run=run, time=None, group=None, dtype="float64")


def run(arguments: argparse.Namespace) -> int:
    """Train, write the page, and print where it is."""
    example = EXAMPLES.get(arguments.data)
    usual = FILES if example is None else example._asdict()
    check_number("mlpcore explain", seed=arguments.seed, least=0, below=1 << 64)
    settings = {name: _told(arguments, usual, name) for name in ("epochs", "learning_rate", "batch_size")}
    check_count("mlpcore explain", epochs=settings["epochs"], batch_size=settings["batch_size"])
    check_number("mlpcore explain", learning_rate=settings["learning_rate"], above=0)
    hidden = _told(arguments, usual, "hidden")
    if len(hidden) > MOST_LAYERS:
        raise ConfigurationError(
            f"--hidden has {len(hidden)} layers, expected up to {MOST_LAYERS}, for which a page has room"
        )
    for i, width in enumerate(hidden):
        check_count("mlpcore explain", **{f"hidden[{i}]": width})
    name = "stdin" if arguments.data == "-" else os.path.splitext(os.path.basename(arguments.data))[0]
    out = check_target(arguments.out or f"{name}.html", {} if example else {"the table": arguments.data})
    if example and (arguments.target or arguments.types or arguments.ignore or arguments.task != "auto"):
        raise ConfigurationError(
            f"explain {arguments.data}: its columns are fixed; leave out --target, --types, --ignore and --task, which "
            "are for files"
        )
    rows = example.rows(arguments.seed) if example else rows_of(name, prepare(arguments, SHARE, 0.0))
    lesson = train(rows, hidden, arguments.activation, seed=arguments.seed, **settings)
    text = page(lesson, arguments.seed).encode()
    replace_file(out, [text])
    print(one_line(_result(lesson)))
    print(one_line(f"page: {out}, {len(text) / 1e6:.1f} MB; open it in a browser"))
    return INTERRUPTED if lesson.history.stopped == "interrupted" else 0


def rows_of(name: str, parts: Parts) -> Rows:
    """The rows of a table, with categories as columns of 0 and 1; amounts are standardised."""
    encoder, target = parts.description.encoder, parts.description.target

    def pair(part: Pair) -> Pair:
        return one_hot(part[0], encoder.category_sizes), part[1]

    notes = "Columns of amounts are standardised: 0 is their mean, and 1 a standard deviation above it."
    if not target.labels:
        notes += " So is the target."
    columns = column_names(encoder)
    if not columns:
        raise DataError(
            f"{name}: no column is left that a network could use, expected at least one; see --types and --ignore"
        )
    validation = None if parts.validation is None else pair(parts.validation)
    labels = tuple(map(str, target.labels))
    return Rows(name, notes, columns, target.name, labels, pair(parts.train), validation)


def column_names(encoder: TableEncoder) -> tuple[str, ...]:
    """The names of the columns after `one_hot`: those of numbers, and ``town = Rome`` for a level."""
    levels = [
        f"{name} = {'missing' if level is None else level}"
        for name, one in encoder.encoders.items()
        if isinstance(one, CategoryEncoder)
        for level in one.levels[:MOST]
    ]
    return (*encoder.names[: encoder.numeric_columns], *levels)


def _told(arguments: argparse.Namespace, usual: dict[str, Any], name: str) -> Any:
    told = getattr(arguments, name)
    return usual[name] if told is None else told


def _result(lesson: Lesson) -> str:
    """A line with the network and how good it is."""
    widths, last = lesson.widths, lesson.measures[-1]
    shown = [f"{label.replace('val_', 'validation ')} {np.round(value, 4):g}" for label, value in last.items()]
    return f"{lesson.rows.name}: {'-'.join(map(str, widths))}, {lesson.epochs[-1]} epochs; {', '.join(shown)}"
