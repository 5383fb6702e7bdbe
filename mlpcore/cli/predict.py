"""``mlpcore predict``: predicts the rows of a table and writes CSV or Parquet."""

import argparse
import sys
from collections.abc import Iterator
from itertools import repeat

import numpy as np

from mlpcore.backends import get_backend
from mlpcore.backends.choice import AUTO
from mlpcore.cli.backends import NAMED
from mlpcore.cli.output import one_line
from mlpcore.cli.predictions import Predicted, check_kept, entries, lines, parquet
from mlpcore.cli.tables import DATA, add_reading, read_data, told_names
from mlpcore.errors import DataError
from mlpcore.files.writing import check_target, replace_file
from mlpcore.tables import Table
from mlpcore.tabular import load
from mlpcore.tabular.columns import LEFT_OUT
from mlpcore.tabular.dependencies import load_polars
from mlpcore.tabular.target import Target


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command and its arguments."""
    parser = commands.add_parser(
        "predict",
        help="predict the rows of a table with a model that mlpcore train made",
        description="Writes the label and the probability of every label, or the value in the target's units.",
    )
    parser.add_argument("model", metavar="MODEL", help="the model file")
    parser.add_argument("data", metavar="DATA", help=f"{DATA}, with the columns of training; the target may be there")
    parser.add_argument(
        "-o", "--out", help="the file to write, CSV in UTF-8 or *.parquet, instead of CSV on the standard output"
    )
    parser.add_argument(
        "--keep", action="append", default=[], metavar="NAME,...", help="columns of the data to write too, such as ids"
    )
    parser.add_argument("--backend", default="numpy", help=NAMED)
    add_reading(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Predict, and print the quality where the table has the target."""
    if arguments.out:
        check_target(arguments.out, {"the model": arguments.model, "the table": arguments.data})
    as_parquet = bool(arguments.out) and arguments.out.lower().endswith(".parquet")
    if as_parquet:
        load_polars()
    # A named backend is opened before the file is read, so that it fails early.
    model = load(arguments.model, AUTO if arguments.backend == AUTO else get_backend(arguments.backend))
    if model.backend_choice:
        print(one_line(f"backend: {model.backend_choice}"), file=sys.stderr)
    description = model.description
    target = description.target
    raw, no_target = _read(arguments, target.name)
    table, found = description.matched(raw), list[np.ndarray]()
    keep = told_names(arguments.keep, raw)
    check_kept(keep, target.labels)
    # In CSV, what is kept is as in the file; Parquet has types.
    others = set(raw.names).difference(keep)
    beside = raw.read_as(dict.fromkeys(others, LEFT_OUT)) if as_parquet and keep else raw

    def predictions() -> Iterator[Predicted]:
        kept_batches = beside.batches(keep) if keep else repeat((0, {}))
        for (first, frame), (_, kept) in zip(table.batches(description.encoder.kept), kept_batches, strict=False):
            prediction = model.outputs(frame, first, warn=not first)
            found.append(prediction.argmax(axis=1) if target.labels else prediction[:, 0])
            yield Predicted(entries(kept, keep), prediction)

    if as_parquet:
        replace_file(arguments.out, [parquet(target.labels, predictions())])
    elif arguments.out:
        encoded = (line.encode("utf-8", "backslashreplace") for line in lines(target.labels, predictions()))
        replace_file(arguments.out, encoded)
    else:
        sys.stdout.writelines(lines(target.labels, predictions()))
        sys.stdout.flush()
    if no_target or target.name in raw.names:
        print(one_line(no_target or _quality(target, np.concatenate(found), raw)), file=sys.stderr)
    return 0


def _read(arguments: argparse.Namespace, target: str) -> tuple[Table, str]:
    """The table, and the reason why it is read without its target, if that cannot be read."""
    try:
        return read_data(arguments, target), ""
    except DataError as error:
        if arguments.data == "-":
            raise
        return read_data(arguments, None), f"no score: {error}"


def _quality(target: Target, prediction: np.ndarray, table: Table) -> str:
    """A line with the quality of the predictions in the rows that have a target, or why it is unknown."""
    try:
        y = target.read(table)
    except DataError as error:
        return f"no score: {error}"
    known = ~np.isnan(y)
    if not known.any():
        return f"no score: {table.source}: no row has a {target.name!r}"
    if target.labels:
        return f"accuracy {100 * np.mean(prediction[known] == y[known]):.2f} % of {known.sum()} rows"
    errors = prediction[known] - y[known]
    largest = np.abs(errors).max() or 1.0  # errors are scaled by it, as the square of a large error may overflow
    typical = largest * np.sqrt(np.mean(np.square(errors / largest)))
    return f"root mean squared error {typical:.6g} over {known.sum()} rows, in the units of {target.name!r}"
