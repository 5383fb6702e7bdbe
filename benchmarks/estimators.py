"""mlpcore's estimators beside scikit-learn's in one run: fits at the defaults, predictions of one row and of many.

Run ``python -m benchmarks.estimators``; contenders take turns in every round, and the ratio is that of the medians. A
fit is cut to ``--epochs`` per case where the default of 200 would take minutes: both do the same epochs, whose numbers
are the same.
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
    """The three tables of the target, in float32; the made ones have ten classes that can be learnt."""
    x, y = load_digits(return_X_y=True)
    yield Case("digits 1797 x 64", (x / 16).astype(np.float32), y, epochs or 200)
    for rows, columns, least in ((20_000, 50, 10), (50_000, 784, 2)):
        x, y = make_classification(rows, columns, n_informative=20, n_classes=10, random_state=0)
        yield Case(f"{rows:,} x {columns}", x.astype(np.float32), y, epochs or least)


def contenders(case: Case) -> dict[str, Any]:
    """Both, not fitted."""
    words = {"random_state": 0, "max_iter": case.epochs}
    return {"scikit-learn": Theirs(**words), "mlpcore": MLPClassifier(**words)}


def shown(what: str, runs: dict[str, Callable[[], Any]], rounds: int, seconds: float, more: str = "") -> None:
    """Measure, and print a line."""
    taken = alternate({name: repeat(run) for name, run in runs.items()}, rounds, seconds)
    theirs, ours = (statistics.median(taken[name]) for name in ("scikit-learn", "mlpcore"))
    print(f"{what:34} {theirs * 1e3:12.3f} {ours * 1e3:12.3f} {theirs / ours:8.2f} x  {more}", flush=True)


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
        both = contenders(case)
        for one in both.values():
            one.fit(case.x, case.y)
        scores = ", ".join(f"{one.score(case.x, case.y):.3f}" for one in both.values())
        fits = {name: partial(one.fit, case.x, case.y) for name, one in both.items()}
        shown(f"fit {case.name}, {case.epochs} epochs", fits, arguments.rounds, arguments.seconds, f"accuracy {scores}")
        for batch in BATCHES:
            rows = np.resize(case.x, (batch, case.x.shape[1]))
            asked = {name: partial(one.predict_proba, rows) for name, one in both.items()}
            for ask in asked.values():
                ask()
                ask()  # a shape is compiled when it comes back
            shown(f"predict_proba {batch:,} x {rows.shape[1]}", asked, arguments.rounds, arguments.seconds)


if __name__ == "__main__":
    main()
