"""How much of a step several ranks spend on their sum, and a model of more ranks than a machine has.

``mpiexec -n 2 python -m mpi4py -m benchmarks.ranks`` measures on so many ranks and prints a line for each network;
``python -m benchmarks.ranks --model`` prints the model. Times are medians over epochs, on every rank one thread.
"""

import argparse
import statistics
import time
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

import mlpcore as mc
from mlpcore.distributed import communicator
from mlpcore.typing import Array


class Work(NamedTuple):
    """A network of these widths, and the rows of a batch of the whole job."""

    widths: tuple[int, ...]
    batch: int


WORKS = {
    "64-100-10": Work((64, 100, 10), 256),
    "784-256-128-10": Work((784, 256, 128, 10), 1024),
    "1024-1024-1024-10": Work((1024, 1024, 1024, 10), 2048),
}
STEPS, EPOCHS = 20, 7


def network(widths: tuple[int, ...]) -> mc.Sequential:
    layers: list[Any] = [mc.Linear(*widths[:2])]
    for pair in pairwise(widths[1:]):
        layers += [mc.ReLU(), mc.Linear(*pair)]
    return mc.Sequential(*layers)


def measure(work: Work) -> tuple[float, float, float, int]:
    """Seconds of a step, of these in the sum (with waiting for other ranks), of a sum alone; and the parameters."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(work.batch * STEPS, work.widths[0])).astype("float32")
    y = rng.integers(0, work.widths[-1], len(x))
    model = mc.Model(network(work.widths), mc.SoftmaxCrossEntropy(), compile=True)
    ranks, sums = model.trainer.communicator, list[float]()
    add = ranks.allreduce_sum

    def timed(flat: Array) -> Array:
        began = time.perf_counter()
        total = add(flat)
        sums.append(time.perf_counter() - began)
        return total

    ranks.allreduce_sum = timed  # type: ignore[method-assign]  # on this object only
    try:
        history = model.fit(x, y, epochs=1 + EPOCHS, batch_size=work.batch)
    finally:
        del ranks.allreduce_sum
    step = work.batch / statistics.median(history["rows_per_second"][1:])
    vector, alone = np.zeros(model.layout.size + 2, "float32"), list[float]()
    for _ in range(100):
        ranks.barrier()
        began = time.perf_counter()
        ranks.allreduce_sum(vector)
        alone.append(time.perf_counter() - began)
    waited = statistics.median(sums[STEPS:]) if ranks.size > 1 else 0.0
    return step, waited, statistics.median(alone), model.layout.size


def modelled(gradient: float, parameters: int, ranks: int, latency: float, bandwidth: float) -> tuple[float, float]:
    """``(step, efficiency)`` of weak scaling, every rank with as many rows as one has alone.

    A ring sends ``2 (p - 1) / p`` of the vector's bytes in ``2 (p - 1)`` messages, a tree the whole in ``2 log2 p``;
    the better is taken::

        ring = 2 (p - 1) latency + 2 (p - 1) / p * bytes / bandwidth
        tree = 2 log2(p) (latency + bytes / bandwidth)
        step = gradient + min(ring, tree)
    """
    size, messages = 4.0 * parameters, 2 * (ranks - 1)
    ring = messages * latency + messages / ranks * size / bandwidth
    tree = 2 * np.log2(ranks) * (latency + size / bandwidth)
    step = gradient + min(ring, float(tree))
    return step, gradient / step


def main() -> None:
    """Measure, or print the model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", action="store_true", help="print the model; all other arguments are its own")
    parser.add_argument("--gradient", type=float, default=5e-3, help="seconds that a rank computes in a step")
    parser.add_argument("--parameters", type=int, default=235_000)
    parser.add_argument("--latency", type=float, default=2e-6, help="seconds of a message")
    parser.add_argument("--bandwidth", type=float, default=12.5e9, help="bytes a second")
    arguments = parser.parse_args()
    if arguments.model:
        for ranks in (1, 2, 4, 16, 64, 256, 1024):
            step, efficiency = modelled(
                arguments.gradient, arguments.parameters, ranks, arguments.latency, arguments.bandwidth
            )
            print(f"{ranks:5} ranks: {1e3 * step:8.3f} ms a step, {100 * efficiency:5.1f} % of the speed of each alone")
        return
    for name, work in WORKS.items():
        step, waited, alone, parameters = measure(work)
        ranks = communicator("auto")
        if ranks.rank == 0:
            share = (
                f"{1e6 * waited:8.0f} us in the sum ({100 * waited / step:3.0f} %), {1e6 * alone:6.0f} us a sum alone"
            )
            about = f"{name:18} {parameters:9,} parameters, batch {work.batch:5}, {ranks.size} ranks"
            print(f"{about}: {1e6 * step:8.0f} us a step, {share}", flush=True)


if __name__ == "__main__":
    main()
