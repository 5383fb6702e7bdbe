"""The share of its own quiet speed that each contender keeps beside as many busy processes as there are cores.

Run ``python -m benchmarks.busy``: every workload, threads as the libraries choose them. A contender is timed quiet and
busy by turns, and the share is the median of the rounds' own.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from benchmarks.results import Writer
from mlpcore.bench.about import cores
from mlpcore.bench.contenders import OURS, Skipped, ready
from mlpcore.bench.measure import Run, fitting, timed
from mlpcore.bench.suite import Record, about_case
from mlpcore.bench.tables import TextTable, as_text, count, rate, ratio
from mlpcore.bench.workloads import WORKLOADS, Workload, make_task

NAMES = (OURS + "numpy", "jax scan", "torch eager", "scikit-learn")


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Within it, so many processes of Python compute without a pause."""
    code = "print(flush=True)\nwhile True: pass"
    running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(processes)]
    try:
        for process in running:
            assert process.stdout
            process.stdout.readline()  # it has begun
        yield
    finally:
        for process in running:
            process.kill()
            process.communicate()


def measured(workload: Workload, name: str, rounds: int, seconds: float) -> list[Record]:
    """Records of an epoch when all is quiet and beside busy processes; none where the contender cannot run.

    A tenth of the rows of the larger workloads: some contenders become a hundred times slower.
    """
    workload = workload if workload.name == "tiny" else replace(workload, steps=max(1, workload.steps // 10))
    task = make_task(workload)
    try:
        train = ready(name, task).train
    except Skipped:
        return []
    epochs = fitting(train, seconds / 8)
    quiet, beside = [], []
    for _ in range(rounds):
        quiet.append(turn(train, epochs, seconds))
        with busy(cores()):
            beside.append(turn(train, epochs, seconds))
    about = about_case("busy", workload, task.dtype, "cpu") | {"name": name}
    return [about | {"contender": what, "seconds": some} for what, some in (("quiet", quiet), ("busy", beside))]


def turn(train: Run, epochs: int, seconds: float) -> float:
    """Seconds an epoch: so many epochs at a time until ``seconds`` have passed, once at least."""
    took, done = 0.0, 0
    while took < seconds:
        took += timed(train, epochs)
        done += epochs
    return took / done


def busy_table(records: Sequence[Record]) -> TextTable:
    """Rows/s of each contender when all is quiet, and the share that is left."""
    found: dict[str, dict[str, list[Record]]] = {}
    for record in records:
        if record["what"] == "busy":
            found.setdefault(record["workload"], {}).setdefault(record["name"], []).append(record)
    rows = []
    for workload, contenders in found.items():
        cells = []
        for name in NAMES:
            quiet, beside = contenders.get(name, (None, None))
            share = ratio(beside, quiet)
            cells.append("-" if share is None else f"{count(rate(quiet))}, {share:.2f}")
        rows.append([workload, *cells])
    return TextTable(
        "rows/s when all is quiet, and the share beside as many busy processes as cores", ["", *NAMES], rows
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", help="the JSON file to write")
    parser.add_argument("--workloads", default=",".join(one.name for one in WORKLOADS))
    parser.add_argument("--contenders", default=",".join(NAMES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.4, help="of a quiet turn")
    arguments = parser.parse_args(argv)
    writer = Writer(arguments.out, "cpu", rounds=arguments.rounds, seconds=arguments.seconds)
    for workload in WORKLOADS:
        for name in arguments.contenders.split(","):
            if workload.name in arguments.workloads.split(","):
                writer.add(measured(workload, name, arguments.rounds, arguments.seconds))
    print(as_text(busy_table(writer.records)))


if __name__ == "__main__":
    main()
