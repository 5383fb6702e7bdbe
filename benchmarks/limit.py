"""How much of the rows/s that the matrix products alone would allow does `Model.fit` reach? Both in one run.

Run ``python -m benchmarks.limit``. The products are those of a step at the same shapes and dtype: x @ W forward for
every layer, x.T @ dy and, but for the first layer, dy @ W.T backward. Rounds alternate; medians are reported.
"""

import argparse
import statistics
import time
from itertools import pairwise

import numpy as np

import mlpcore as mc


def products(batch: int, widths: list[int], dtype: str):
    """A function that does the matrix products of one training step, and nothing else."""
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=shape).astype(dtype) for shape in pairwise(widths)]
    rows = [rng.normal(size=(batch, width)).astype(dtype) for width in widths]

    def step() -> None:
        for x, weight in zip(rows[:-1], weights, strict=True):
            x @ weight
        for i, (x, dy, weight) in reversed(list(enumerate(zip(rows[:-1], rows[1:], weights, strict=True)))):
            x.T @ dy
            if i:
                dy @ weight.T

    return step


def main() -> None:
    """Measure and print one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--widths", default="784,512,512,10")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    widths = [int(width) for width in arguments.widths.split(",")]
    rows = arguments.batch * arguments.steps
    rng = np.random.default_rng(1)
    x = rng.normal(size=(rows, widths[0])).astype(arguments.dtype)
    y = rng.integers(0, widths[-1], rows)
    layers: list = []
    for n_in, n_out in pairwise(widths):
        layers += [mc.Linear(n_in, n_out), mc.ReLU()]
    model = mc.Model(
        mc.Sequential(*layers[:-1]), loss=mc.SoftmaxCrossEntropy(), optimizer=mc.Adam(1e-3), dtype=arguments.dtype
    )
    step = products(arguments.batch, widths, arguments.dtype)
    fits, limits = [], []
    model.fit(x, y, epochs=1, batch_size=arguments.batch)
    for _ in range(arguments.rounds):
        began = time.perf_counter()
        for _ in range(arguments.steps):
            step()
        limits.append(rows / (time.perf_counter() - began))
        fits += model.fit(x, y, epochs=1, batch_size=arguments.batch).rows_per_second
    fit, limit = statistics.median(fits), statistics.median(limits)
    print(f"{arguments.widths}, batch {arguments.batch}, {arguments.dtype}, Adam, shuffled epochs of {rows} rows")
    print(f"fit {fit:,.0f} rows/s, products alone {limit:,.0f} rows/s: {fit / limit:.0%} of the limit")


if __name__ == "__main__":
    main()
