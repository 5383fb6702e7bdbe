"""The peers side by side: training, prediction and the sweep of batch sizes, contenders taking turns in every round.

Run ``python -m benchmarks.compare --out benchmarks/results/cpu-NAME.json``; `benchmarks.report` makes the page of it.
"""

import argparse
from collections.abc import Sequence
from typing import Any

from benchmarks.results import Writer
from mlpcore.bench.contenders import OURS, PEERS
from mlpcore.bench.suite import LIMIT, epochs, predictions
from mlpcore.bench.tables import TextTable, as_text, cases, count, rate, ratio, share, table
from mlpcore.bench.workloads import SWEEP, WORKLOADS

PARTS = ("epochs", "predict", "sweep")
BACKENDS = {"cpu": ("numpy", "jax", "torch"), "cuda": ("cupy", "jax", "torch")}
PREDICTORS = ("torch eager", "jax scan", "scikit-learn")
BATCHES = (1, 4096)  # of predictions


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, and write after every case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", help="the JSON file to write")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"of {','.join(PARTS)}")
    parser.add_argument("--workloads", default=",".join(one.name for one in WORKLOADS))
    parser.add_argument("--backends", help="of mlpcore; by default all that run on the device")
    parser.add_argument("--peers", default=",".join(PEERS), help="comma between; empty for none")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.7, help="of a contender in a round; in the sweep a third")
    arguments = parser.parse_args(argv)
    backends = arguments.backends.split(",") if arguments.backends else BACKENDS[arguments.device]
    ours, peers = [OURS + name for name in backends], [name for name in arguments.peers.split(",") if name]
    chosen = [one for one in WORKLOADS if one.name in arguments.workloads.split(",")]
    where: dict[str, Any] = {"dtype": arguments.dtype, "device": arguments.device, "rounds": arguments.rounds}
    writer = Writer(arguments.out, arguments.device, rounds=arguments.rounds, seconds=arguments.seconds)
    if "epochs" in arguments.parts.split(","):
        for workload in chosen:
            show(writer.add(epochs(workload, [*ours, *peers], **where, seconds=arguments.seconds)))
    if "predict" in arguments.parts.split(","):
        for workload in chosen:
            names = [*ours, *(name for name in PREDICTORS if name in peers)]
            show(writer.add(predictions(workload, BATCHES, names, **where, seconds=arguments.seconds)))
    if "sweep" in arguments.parts.split(","):
        for workload in SWEEP:
            writer.add(epochs(workload, ours, **where, seconds=arguments.seconds / 3))
        print(as_text(sweep_table(writer.records, ours)))


def show(records: list) -> None:
    """Print the tables of some records."""
    for found in cases(records).values():
        print(as_text(table(found)), flush=True, end="\n\n")


def sweep_table(records: list, names: Sequence[str]) -> TextTable:
    """Rows/s of each backend at each batch size of the sweep, with its share of the limit."""
    rows = []
    swept = {one.name for one in SWEEP}
    for (what, name, batch, *_), found in cases(records).items():
        if what == "epoch" and name in swept:
            limit, own = found.get(LIMIT), [found.get(one) for one in names]
            cells = [f"{count(rate(one))} ({share(ratio(one, limit))})" for one in own]
            rows.append([f"{name} {'-'.join(map(str, next(iter(found.values()))['widths']))}", f"{batch:,}", *cells])
    return TextTable("throughput against batch size, rows/s (share of the limit)", ["network", "batch", *names], rows)


if __name__ == "__main__":
    main()
