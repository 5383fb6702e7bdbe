"""``mlpcore predict``: predicts the rows of a table and writes CSV."""

import argparse
import csv
import sys
from collections.abc import Iterator

import numpy as np

from mlpcore.backends import get_backend
from mlpcore.cli.encoding import Encoding, load_encoding
from mlpcore.cli.output import one_line
from mlpcore.errors import DataError
from mlpcore.files.writing import check_target, replace_file
from mlpcore.loading import load
from mlpcore.tables import Table, read_table


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command and its arguments."""
    parser = commands.add_parser(
        "predict",
        help="predict the rows of a table with a model that mlpcore train made",
        description="Writes CSV: the label and the probability of every label, or the value in the target's units.",
    )
    parser.add_argument("model", metavar="MODEL", help="the model file")
    parser.add_argument(
        "data", metavar="DATA", help="CSV or .npz with the columns of training; the target may be there"
    )
    parser.add_argument("--out", help="the CSV file to write, in UTF-8, instead of the standard output")
    parser.add_argument("--backend", default="numpy", help="numpy (the default), cupy, torch or jax")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Predict, and print the quality where the table has the target."""
    if arguments.out:
        check_target(arguments.out, {"the model": arguments.model, "the table": arguments.data})
    backend = get_backend(arguments.backend)
    encoding = load_encoding(arguments.model)
    model = load(arguments.model, backend)
    table, no_target = _read(arguments.data, encoding.target)
    prediction = np.asarray(model.predict(encoding.scaled(encoding.rows(table))))
    if encoding.target_scaler is not None:
        prediction = encoding.target_scaler.inverse(prediction)
    if arguments.out:
        replace_file(arguments.out, (line.encode("utf-8", "backslashreplace") for line in lines(encoding, prediction)))
    else:
        sys.stdout.writelines(lines(encoding, prediction))
        sys.stdout.flush()
    if no_target or encoding.target in table.columns:
        print(one_line(no_target or _quality(encoding, prediction, table)), file=sys.stderr)
    return 0


def _read(path: str, target: str) -> tuple[Table, str]:
    """The table, and the reason why it is read without its target, if that cannot be read."""
    try:
        return read_table(path, target), ""
    except DataError as error:
        return read_table(path, None), f"no score: {error}"


def lines(encoding: Encoding, prediction: np.ndarray) -> Iterator[str]:
    """The prediction as lines of CSV, numbers with the shortest digits that identify them in their dtype."""
    # Before Python 3.13 the writer does not quote a label with a carriage return.
    returns = any("\r" in str(label) for label in encoding.classes)
    line = csv.writer(_Echo(), lineterminator="\n", quoting=csv.QUOTE_ALL if returns else csv.QUOTE_MINIMAL).writerow
    yield line(["prediction", *(f"probability_{label}" for label in encoding.classes)])
    for row in prediction:
        yield line([encoding.classes[row.argmax()], *map(str, row)] if encoding.classes else [str(row[0])])


class _Echo:
    """A file for `csv.writer` whose ``write`` returns the line, so that ``writerow`` does too."""

    def write(self, text: str) -> str:
        return text


def _quality(encoding: Encoding, prediction: np.ndarray, table: Table) -> str:
    """A line with the quality of the prediction, or why it is unknown."""
    try:
        targets = encoding.targets(table)
    except DataError as error:
        return f"no score: {error}"
    if encoding.classes:
        return f"accuracy {100 * np.mean(prediction.argmax(axis=1) == targets):.2f} % of {len(targets)} rows"
    errors = prediction[:, 0] - targets
    largest = np.abs(errors).max() or 1.0  # errors are scaled by it, as the square of a large error may overflow
    typical = largest * np.sqrt(np.mean(np.square(errors / largest)))
    return f"root mean squared error {typical:.6g} over {len(targets)} rows, in the units of {encoding.target!r}"
