"""Compares mlpcore's estimators with scikit-learn's: fits at the defaults, predictions of one row and of many.

Run ``python -m benchmarks.estimators``; contenders alternate in every round, and the ratio is that of the medians.
Fits are limited to ``--epochs`` where the default of 200 would take minutes; both run the same number of epochs.
"""

import argparse
import statistics
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier as Theirs

from mlpcore.bench.measure import alternate, repeat
from mlpcore.sklearn import MLPClassifier

BATCHES = (1, 100_000)


class Case(NamedTuple):
    """A table with labels, and the epochs of a fit."""

    name: str
    x: np.ndarray
    y: np.ndarray
    epochs: int


def cases(epochs: int | None) -> Iterator[Case]:
    """Yield the three tables in float32: the digits, and two generated ones with ten classes."""
    x, y = load_digits(return_X_y=True)
    yield Case("digits 1797 x 64", (x / 16).astype(np.float32), y, epochs or 200)
    for rows, columns, least in ((20_000, 50, 10), (50_000, 784, 2)):
        x, y = make_classification(rows, columns, n_informative=20, n_classes=10, random_state=0)
        yield Case(f"{rows:,} x {columns}", x.astype(np.float32), y, epochs or least)


def contenders(case: Case) -> dict[str, Any]:
    """Both estimators, not fitted."""
    words = {"random_state": 0, "max_iter": case.epochs}
    return {"scikit-learn": Theirs(**words), "mlpcore": MLPClassifier(**words)}


def shown(label: str, runs: dict[str, Callable[[], Any]], rounds: int, seconds: float, note: str = "") -> None:
    """Measure, and print a line."""
    samples = alternate({name: repeat(run) for name, run in runs.items()}, rounds, seconds)
    theirs, ours = (statistics.median(samples[name]) for name in ("scikit-learn", "mlpcore"))
    print(f"{label:34} {theirs * 1e3:12.3f} {ours * 1e3:12.3f} {theirs / ours:8.2f} x  {note}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="of a contender in a round")
    parser.add_argument("--epochs", type=int, help="of every fit")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(f"{'ms':34} {'scikit-learn':>12} {'mlpcore':>12}   faster")
    for case in cases(arguments.epochs):
        models = contenders(case)
        for model in models.values():
            model.fit(case.x, case.y)
        scores = ", ".join(f"{model.score(case.x, case.y):.3f}" for model in models.values())
        fits = {name: partial(model.fit, case.x, case.y) for name, model in models.items()}
        shown(f"fit {case.name}, {case.epochs} epochs", fits, arguments.rounds, arguments.seconds, f"accuracy {scores}")
        for batch in BATCHES:
            rows = np.resize(case.x, (batch, case.x.shape[1]))
            predictions = {name: partial(model.predict_proba, rows) for name, model in models.items()}
            for predict in predictions.values():
                predict()
                predict()  # a shape is compiled at its second call
            shown(f"predict_proba {batch:,} x {rows.shape[1]}", predictions, arguments.rounds, arguments.seconds)


if __name__ == "__main__":
    main()
