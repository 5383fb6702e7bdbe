"""Measures cold starts: a fresh process from import to a trained network, contenders alternating in every round.

Run ``python -m benchmarks.cold_start``. All do what scikit-learn's `MLPClassifier` does at its defaults: one hidden
layer of 100 ReLU, Adam, L2, batches of 200, at most 200 epochs, an end after 10 epochs that lower the loss by less than
1e-4; on float32 rows. PyTorch and JAX use hand-written loops. The time is from a contender's imports to the trained
network; mlpcore is measured with an empty and with a full cache of compiled libraries. Threads can be limited by
``taskset`` and ``OPENBLAS_NUM_THREADS``. Install the package, or compile it by ``python -m compileall mlpcore``, as the
others come with byte code; with PYTHONDONTWRITEBYTECODE mlpcore would be compiled to byte code in every process.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cold_loops import LOOPS

CONTENDERS = ("scikit-learn", "mlpcore, empty cache", "mlpcore, full cache", "torch", "jax")


def tables() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield name, float32 rows and labels of every table, columns standardised (pixels scaled to [0, 1])."""
    from sklearn.datasets import load_digits, load_iris, make_classification

    x, y = load_iris(return_X_y=True)
    yield "iris", ((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32), y
    x, y = load_digits(return_X_y=True)
    yield "digits", (x / 16).astype(np.float32), y
    x, y = make_classification(30_000, 32, n_informative=20, n_classes=8, random_state=0)
    yield "table", ((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32), y


def train(name: str, path: str) -> None:
    """Train a contender in this process, and print seconds, epochs and accuracy as JSON."""
    with np.load(path) as file:  # NumPy is already imported, for all contenders
        x, y = file["x"], file["y"]
    began = time.perf_counter()
    predict, epochs = LOOPS[name](x, y)
    seconds = time.perf_counter() - began
    accuracy = float(np.mean(predict(x) == y))
    print(json.dumps({"seconds": seconds, "epochs": epochs, "accuracy": accuracy}))


def measure(contender: str, path: Path, cache: Path) -> dict[str, Any]:
    """The output of `train` in a fresh process; ``cache`` is the directory of compiled libraries that it uses."""
    words = [sys.executable, "-W", "ignore", "-m", "benchmarks.cold_start", "--train", contender.partition(",")[0]]
    run = subprocess.run(
        [*words, str(path)], env=os.environ | {"MLPCORE_CACHE_DIR": str(cache)}, capture_output=True, text=True
    )
    if run.returncode:
        raise RuntimeError(f"{contender}: {run.stderr}")
    return json.loads(run.stdout)


def compare(path: Path, contenders: Sequence[str], rounds: int) -> dict[str, list[dict[str, Any]]]:
    """The measurements of each contender in each round; the order of the contenders rotates."""
    samples: dict[str, list[dict[str, Any]]] = {name: [] for name in contenders}
    full = path.parent / "full"
    if "mlpcore, full cache" in contenders:
        measure("mlpcore", path, full)
    for i in range(rounds):
        for name in [*contenders[i % len(contenders) :], *contenders[: i % len(contenders)]]:
            with tempfile.TemporaryDirectory() as empty:
                samples[name].append(measure(name, path, full if "full" in name else Path(empty)))
    return samples


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and print a Markdown table of median and least seconds, epochs and accuracy."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tables", default="iris,digits,table")
    parser.add_argument("--contenders", default=";".join(CONTENDERS), help="semicolons between")
    parser.add_argument("--train", nargs=2, metavar=("NAME", "FILE"), help="one contender, in this process")
    arguments = parser.parse_args(argv)
    if arguments.train:
        train(*arguments.train)
        return
    from mlpcore.bench.about import about

    where, contenders = about(), arguments.contenders.split(";")
    print(f"{where['date']}, {where['cpu']}, {where['cores']} core(s), {where['blas']}, {where['versions']}\n")
    print("| table | " + " | ".join(contenders) + " |\n|---" + "|---" * len(contenders) + "|")
    with tempfile.TemporaryDirectory() as folder:
        for name, x, y in tables():
            if name in arguments.tables.split(","):
                np.savez(path := Path(folder) / f"{name}.npz", x=x, y=y)
                samples = compare(path, contenders, arguments.rounds)
                print(
                    f"| {name} {x.shape[0]:,} x {x.shape[1]} | " + " | ".join(map(_cell, samples.values())) + " |",
                    flush=True,
                )


def _cell(runs: list[dict[str, Any]]) -> str:
    seconds = [run["seconds"] for run in runs]
    learnt = f"{runs[0]['epochs']} epochs, {runs[0]['accuracy']:.3f}"
    return f"{statistics.median(seconds):.2f} s ({min(seconds):.2f}; {learnt})"


if __name__ == "__main__":
    main()
