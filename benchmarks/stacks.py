"""Compares work on many networks at once with the same work one network after the other, and with other libraries.

Run ``python -m benchmarks.stacks WORK``; ``--help`` lists the works. Contenders alternate in every round. Times are
medians over the rounds, ratios medians of the ratios of each round.
"""

import argparse
import statistics
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier as Theirs

from mlpcore.bench.measure import alternate, repeat
from mlpcore.sklearn import MLPClassifier, StackedSearchCV

GRID = {"alpha": [1e-5, 1e-4, 1e-3, 1e-2], "learning_rate_init": [1e-3, 2e-3, 5e-3, 1e-2], "beta_1": [0.9, 0.95]}


def shown(runs: Mapping[str, Callable[[], Any]], rounds: int) -> None:
    """Measure, and print a line for each run, with its time relative to that of the first."""
    samples = alternate({name: repeat(run) for name, run in runs.items()}, rounds, seconds=0.0)
    first = next(iter(samples.values()))
    for name, times in samples.items():
        ratio = statistics.median(time / base for time, base in zip(times, first, strict=True))
        print(f"{name:44} {statistics.median(times):8.2f} s {ratio:8.2f} x", flush=True)


def search(arguments: argparse.Namespace) -> None:
    """A grid of 32 candidates on 5 folds of the digits, one hidden layer, float32; the same scores in all of ours."""
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    words = {"hidden_layer_sizes": (arguments.hidden,), "max_iter": arguments.epochs, "random_state": 0}
    ours, theirs = MLPClassifier(compile=arguments.compile, **words), Theirs(**words)
    count = arguments.jobs
    searches = {
        "StackedSearchCV, mlpcore": StackedSearchCV(ours, GRID, cv=5, refit=False),
        "GridSearchCV, mlpcore, n_jobs=1": GridSearchCV(ours, GRID, cv=5, refit=False),
        f"GridSearchCV, mlpcore, n_jobs={count}": GridSearchCV(ours, GRID, cv=5, refit=False, n_jobs=count),
        f"GridSearchCV, scikit-learn, n_jobs={count}": GridSearchCV(theirs, GRID, cv=5, refit=False, n_jobs=count),
    }
    shown({name: partial(one.fit, x, y) for name, one in searches.items()}, arguments.rounds)
    for name, one in searches.items():
        print(f"{name:44} best score {one.best_score_:.4f}, {one.best_params_}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    works = parser.add_subparsers(required=True, metavar="WORK")
    work = works.add_parser("search", help=search.__doc__)
    work.set_defaults(run=search)
    work.add_argument("--hidden", type=int, default=50)
    work.add_argument("--epochs", type=int, default=30)
    work.add_argument("--jobs", type=int, default=2, help="processes of GridSearchCV")
    work.add_argument("--auto", dest="compile", action="store_const", const="auto", default=True, help="compile='auto'")
    work.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    arguments.run(arguments)


if __name__ == "__main__":
    main()
