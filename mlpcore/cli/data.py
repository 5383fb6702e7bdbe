"""The data of ``mlpcore train``: its arguments, what it is taken for, and which rows are held out."""

import argparse

import numpy as np

from mlpcore.cli.output import one_line
from mlpcore.cli.parts import Parts, encode, encode_rows, fit_encoder
from mlpcore.cli.splits import split_rows
from mlpcore.cli.tables import DATA, add_reading, column_lines, read_data, told_names, told_types
from mlpcore.configuration import check_number
from mlpcore.errors import ConfigurationError, DataError
from mlpcore.tables import Table, listed
from mlpcore.tabular import TableEncoder
from mlpcore.tabular.columns import LEFT_OUT
from mlpcore.tabular.description import Description
from mlpcore.tabular.target import TASKS, understand_target

TEST = "0.1"


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say what the data are."""
    parser.add_argument("data", metavar="DATA", help=f"{DATA}, or: digits")
    parser.add_argument("--target", help="the column to predict, by name or index (-1: the last); .npz: an array, y")
    parser.add_argument(
        "--types",
        action="append",
        default=[],
        metavar="NAME=KIND,...",
        help="numeric, categorical or date, for columns",
    )
    parser.add_argument("--ignore", action="append", default=[], metavar="NAME,...", help="columns to leave out")
    parser.add_argument(
        "--task", choices=("auto", *TASKS), default="auto", help="auto (the default) chooses by the target"
    )
    group = parser.add_argument_group("rows held out")
    group.add_argument(
        "--validation",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="of the rows, to choose the epoch by (0.1); 0: none",
    )
    group.add_argument(
        "--test",
        default=TEST,
        metavar="SHARE|FILE",
        help="of the rows, to measure the result with (0.1; 0: none), or a file of such rows",
    )
    group.add_argument("--time", metavar="COLUMN", help="hold out the latest rows by this column, in place of any rows")
    group.add_argument("--group", metavar="COLUMN", help="hold out whole groups of rows that share an entry")
    add_reading(parser)


def told_shares(arguments: argparse.Namespace) -> tuple[float, float | None]:
    """The shares of rows to validate and to test with, None where a file has these; ConfigurationError for others."""
    try:
        test = float(arguments.test)
    except ValueError:
        test = None
    for name, value in (("validation", arguments.validation), ("test", test or 0.0)):
        check_number("mlpcore train", **{name: value}, least=0, below=1)
    if arguments.validation + (test or 0.0) >= 1:
        raise ConfigurationError(
            f"--validation {arguments.validation} and --test {test} leave no rows to train with; take shares below 1 "
            "in all"
        )
    if arguments.time is not None and arguments.group is not None:
        raise ConfigurationError("--time and --group are both given, expected one of them to hold rows out by")
    return arguments.validation, test


def prepare(arguments: argparse.Namespace, validation: float, test: float | None) -> Parts:
    """The encoded parts of the file's table, with these shares; prints what the target and the columns are, and why."""
    table = read_data(arguments, "y" if arguments.target is None else arguments.target)
    name = _target_name(table, arguments.target)
    target, why = understand_target(table, name, arguments.task)
    hint = "; --task decides otherwise" if arguments.task == "auto" else ""
    print(one_line(f"{target.task} of {name!r}, {why}{hint}"))
    types, ignore = told_types(arguments.types, table), told_names(arguments.ignore, table)
    time, group = (None if column is None else table.find(column) for column in (arguments.time, arguments.group))
    ignore += [] if group is None else [group]
    features = [column for column in table.names if column != name]
    if not features:
        raise DataError(f"{table.source}: {name!r} is the only column, expected at least one to predict it from")
    if name in {*types, *ignore, time}:
        raise ConfigurationError(
            f"--types, --ignore, --time or --group names the target {name!r}; leave it out, --task says what the "
            "target is"
        )
    # What is not encoded needs no notation.
    typed = table.read_as(dict.fromkeys([name, *ignore], LEFT_OUT) | types)
    shares = (validation, test or 0.0)
    rows = split_rows(typed, target, target.read(table), shares, arguments.seed, time=time, group=group)
    encoder = fit_encoder(TableEncoder(types, ignore), typed, features, rows.train, arguments.seed)
    notations = {column: notation for column, notation in typed.notations.items() if column in encoder.encoders}
    print(*column_lines(encoder.columns, notations), sep="\n", flush=True)
    parts = encode(typed, Description(encoder, target, table.named, notations), rows, arguments.dtype)
    if test is not None:
        return parts
    return parts._replace(test=_test_pair(arguments, parts.description))


def _test_pair(arguments: argparse.Namespace, description: Description) -> tuple[np.ndarray, np.ndarray]:
    """The encoded rows of the file ``--test`` that have a target."""
    raw = read_data(argparse.Namespace(**vars(arguments) | {"data": arguments.test}), description.target.name)
    if description.target.name not in raw.names:
        raise DataError(f"{raw.source}: there is no column {description.target.name!r}, expected the target there")
    y = description.target.read(raw)
    known = np.flatnonzero(~np.isnan(y))
    if not len(known):
        raise DataError(f"{raw.source}: no row has a {description.target.name!r}, expected rows to test with")
    (pair,) = encode_rows(description.matched(raw), description, y, [known], arguments.dtype)
    return pair


def _target_name(table: Table, target: str | None) -> str:
    """The name of the target column; DataError if it is not told or not there."""
    if table.named and target is None:
        raise DataError(f"{table.source}: which column is to be predicted? Name one by --target: {listed(table.names)}")
    name = table.find(str(target)) if table.named else target or "y"
    if name not in table.names:
        raise DataError(
            f"{table.source}: there is no array {name!r}, expected the target there; --target names another"
        )
    return name
