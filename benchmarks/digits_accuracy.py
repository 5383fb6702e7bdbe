"""Measures the accuracy of `mlpcore train digits`: five seeds on its fixed stratified 20 % test split, and the mean.

Run ``python -m benchmarks.digits_accuracy``. A seed determines the validation rows, initial weights, row orders and
masks; the test rows are the same for all: scikit-learn's ``train_test_split`` with ``random_state=0``. The settings
were chosen on the splits 1 to 5, which ``--split`` can select. The time includes preparation and training.
"""

import argparse
import statistics
import time

import numpy as np

from mlpcore.backends import get_backend
from mlpcore.cli import digits
from mlpcore.cli.fitting import fit, shape_of
from mlpcore.cli.parts import encode
from mlpcore.cli.splits import split_rows
from mlpcore.tabular.members import new_model


def main() -> None:
    """Train once for each seed and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--backend", default="numpy")
    parser.add_argument("--split", type=int, default=digits.SPLIT)
    arguments = parser.parse_args()
    table, description, test = digits.load(arguments.split)
    backend, reached = get_backend(arguments.backend), []
    for seed in range(arguments.seeds):
        began = time.perf_counter()
        y = description.target.read(table)
        rows = split_rows(table, description.target, y, (0.1, 0.0), seed, test=test)
        parts = encode(table, description, rows, "float32")
        recipe = digits.RECIPE.build(shape_of(parts), parts.train[0])
        words = {"backend": backend, "dtype": "float32", "metrics": ["accuracy"]}
        model = new_model(recipe, parts.train[0], None, seed, words)
        epochs = len(fit(model, recipe, parts)[0])
        seconds = time.perf_counter() - began
        reached.append(100 * model.evaluate(*parts.test)["accuracy"])
        print(f"seed {seed}: test accuracy {reached[-1]:.2f} %, {epochs} epochs, {seconds:.1f} s", flush=True)
    spread = statistics.stdev(reached) if len(reached) > 1 else np.nan
    print(f"mean of {len(reached)} seeds: {statistics.mean(reached):.2f} % (standard deviation {spread:.2f} %)")


if __name__ == "__main__":
    main()
