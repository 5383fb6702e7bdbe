"""``mlpcore predict``: the raw table in, a CSV of labels with probabilities, or of values, out."""

import argparse
import contextlib
import csv
import sys
from typing import TextIO

import numpy as np

from mlpcore.backends import get_backend
from mlpcore.cli.encoding import Encoding, load_encoding
from mlpcore.files.tensors import check_target
from mlpcore.loading import load
from mlpcore.tables import read_table


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its arguments."""
    parser = commands.add_parser(
        "predict",
        help="predict the rows of a table with a model that mlpcore train made",
        description="Writes CSV: the label and the probability of every label, or the value in the target's units.",
    )
    parser.add_argument("model", metavar="MODEL", help="the model file")
    parser.add_argument(
        "data", metavar="DATA", help="CSV or .npz with the columns of training; the target may be there"
    )
    parser.add_argument("--out", help="the CSV file to write, instead of the standard output")
    parser.add_argument("--backend", default="numpy", help="numpy (the default), cupy, torch or jax")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Predict, and where the target is in the table, say how well."""
    if arguments.out:
        check_target(arguments.out)
    backend = get_backend(arguments.backend)
    encoding = load_encoding(arguments.model)
    model = load(arguments.model, backend)
    table = read_table(arguments.data, encoding.target)
    prediction = np.asarray(model.predict(encoding.inputs(table)))
    if encoding.amounts is not None:
        prediction = encoding.amounts.inverse(prediction)
    with contextlib.ExitStack() as stack:
        out = sys.stdout
        if arguments.out:
            out = stack.enter_context(open(arguments.out, "w", encoding="utf-8", newline=""))
        write(out, encoding, prediction)
    if encoding.target in table.columns:
        print(_quality(encoding, prediction, encoding.answers(table)), file=sys.stderr)
    return 0


def write(out: TextIO, encoding: Encoding, prediction: np.ndarray) -> None:
    """The prediction as CSV, each number with the digits that tell it from its neighbours in its dtype."""
    # Before Python 3.13 the writer leaves a carriage return in a label without the quotes that it needs.
    returns = any("\r" in str(label) for label in encoding.classes)
    writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL if returns else csv.QUOTE_MINIMAL)
    if not encoding.classes:
        writer.writerow(["prediction"])
        writer.writerows([str(value)] for value in prediction[:, 0])
        return
    writer.writerow(["prediction", *(f"probability_{label}" for label in encoding.classes)])
    for best, row in zip(prediction.argmax(axis=1), prediction, strict=True):
        writer.writerow([encoding.classes[best], *map(str, row)])


def _quality(encoding: Encoding, prediction: np.ndarray, answers: np.ndarray) -> str:
    """How good the prediction is, where the answers are known."""
    if encoding.classes:
        return f"accuracy {100 * np.mean(prediction.argmax(axis=1) == answers):.2f} % of {len(answers)} rows"
    error = np.sqrt(np.mean(np.square(prediction[:, 0] - answers)))
    return f"root mean squared error {error:.6g} over {len(answers)} rows, in the units of {encoding.target!r}"
