"""``mlpcore predict``: predicts the rows of a table and writes CSV."""

import argparse
import csv
import sys
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from mlpcore.backends import get_backend
from mlpcore.cli.output import one_line
from mlpcore.cli.tables import DATA, add_reading, read_data
from mlpcore.errors import DataError
from mlpcore.files.writing import check_target, replace_file
from mlpcore.tables import Table
from mlpcore.tabular import load
from mlpcore.tabular.target import Label, Target


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command and its arguments."""
    parser = commands.add_parser(
        "predict",
        help="predict the rows of a table with a model that mlpcore train made",
        description="Writes CSV: the label and the probability of every label, or the value in the target's units.",
    )
    parser.add_argument("model", metavar="MODEL", help="the model file")
    parser.add_argument("data", metavar="DATA", help=f"{DATA}, with the columns of training; the target may be there")
    parser.add_argument("--out", help="the CSV file to write, in UTF-8, instead of the standard output")
    parser.add_argument("--backend", default="numpy", help="numpy (the default), cupy, torch or jax")
    add_reading(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Predict, and print the quality where the table has the target."""
    if arguments.out:
        check_target(arguments.out, {"the model": arguments.model, "the table": arguments.data})
    backend = get_backend(arguments.backend)
    model = load(arguments.model, backend)
    description = model.description
    target = description.target
    raw, no_target = _read(arguments, target.name)
    table, kept = description.matched(raw), list[np.ndarray]()

    def predictions() -> Iterator[np.ndarray]:
        for first, frame in table.batches(description.encoder.kept):
            prediction = model.outputs(frame, first, warn=not first)
            kept.append(prediction.argmax(axis=1) if target.labels else prediction[:, 0])
            yield prediction

    if arguments.out:
        encoded = (line.encode("utf-8", "backslashreplace") for line in lines(target.labels, predictions()))
        replace_file(arguments.out, encoded)
    else:
        sys.stdout.writelines(lines(target.labels, predictions()))
        sys.stdout.flush()
    if no_target or target.name in raw.names:
        print(one_line(no_target or _quality(target, np.concatenate(kept), raw)), file=sys.stderr)
    return 0


def _read(arguments: argparse.Namespace, target: str) -> tuple[Table, str]:
    """The table, and the reason why it is read without its target, if that cannot be read."""
    try:
        return read_data(arguments, target), ""
    except DataError as error:
        if arguments.data == "-":
            raise
        return read_data(arguments, None), f"no score: {error}"


def lines(labels: Sequence[Label], predictions: Iterable[np.ndarray]) -> Iterator[str]:
    """The predictions as lines of CSV, numbers with the shortest digits that identify them in their dtype."""
    # Before Python 3.13 the writer does not quote a label with a carriage return.
    returns = any("\r" in str(label) for label in labels)
    line = csv.writer(_Echo(), lineterminator="\n", quoting=csv.QUOTE_ALL if returns else csv.QUOTE_MINIMAL).writerow
    head = line(["prediction", *(f"probability_{label}" for label in labels)])
    for prediction in predictions:
        if head and not labels:
            head = line(["prediction", *(f"prediction_{i}" for i in range(2, prediction.shape[1] + 1))])
        yield head  # once there are predictions: an error in the first rows writes nothing
        head = ""
        for row in prediction:
            yield line([labels[row.argmax()], *map(str, row)] if labels else [*map(str, row)])


class _Echo:
    """A file for `csv.writer` whose ``write`` returns the line, so that ``writerow`` does too."""

    def write(self, text: str) -> str:
        return text


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
