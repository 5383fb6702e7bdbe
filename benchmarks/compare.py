"""Compares mlpcore with its peers: training, prediction and a sweep of batch sizes, in alternating rounds.

Run ``python -m benchmarks.compare --out benchmarks/results/cpu-NAME.json``; `benchmarks.report` writes the page from
it.
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
    parser.add_argument("--workloads", default=",".join(workload.name for workload in WORKLOADS))
    parser.add_argument("--backends", help="of mlpcore; by default all that run on the device")
    parser.add_argument("--peers", default=",".join(PEERS), help="comma between; empty for none")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.7, help="of a contender in a round; in the sweep a third")
    arguments = parser.parse_args(argv)
    backends = arguments.backends.split(",") if arguments.backends else BACKENDS[arguments.device]
    ours, peers = [OURS + name for name in backends], [name for name in arguments.peers.split(",") if name]
    chosen = [workload for workload in WORKLOADS if workload.name in arguments.workloads.split(",")]
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
    for by_contender in cases(records).values():
        print(as_text(table(by_contender)), flush=True, end="\n\n")


def sweep_table(records: list, names: Sequence[str]) -> TextTable:
    """The table of rows/s of each backend at each batch size of the sweep, with the share of the limit."""
    rows = []
    swept = {workload.name for workload in SWEEP}
    for (task, name, batch, *_), by_contender in cases(records).items():
        if task == "epoch" and name in swept:
            limit, backends = by_contender.get(LIMIT), [by_contender.get(backend) for backend in names]
            cells = [f"{count(rate(record))} ({share(ratio(record, limit))})" for record in backends]
            rows.append(
                [f"{name} {'-'.join(map(str, next(iter(by_contender.values()))['widths']))}", f"{batch:,}", *cells]
            )
    return TextTable("throughput against batch size, rows/s (share of the limit)", ["network", "batch", *names], rows)


if __name__ == "__main__":
    main()
