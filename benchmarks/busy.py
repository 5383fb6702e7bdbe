"""Measures how much of its speed each contender keeps while as many busy processes run as there are cores.

Run ``python -m benchmarks.busy``: every workload, with the libraries' own choice of threads. A contender is timed on
the quiet and on the busy machine in turn; the share is the median of the ratios of each round.
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
    """A context in which ``processes`` Python processes compute without a pause."""
    code = "print(flush=True)\nwhile True: pass"
    running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(processes)]
    try:
        for process in running:
            assert process.stdout
            process.stdout.readline()  # the process has started
        yield
    finally:
        for process in running:
            process.kill()
            process.communicate()


def measured(workload: Workload, name: str, rounds: int, seconds: float) -> list[Record]:
    """The records of an epoch on the quiet and on the busy machine; none where the contender cannot run.

    Larger workloads are measured with a tenth of their rows, as some contenders become a hundred times slower.
    """
    workload = workload if workload.name == "tiny" else replace(workload, steps=max(1, workload.steps // 10))
    task = make_task(workload)
    try:
        train = ready(name, task).train
    except Skipped:
        return []
    epochs = fitting(train, seconds / 8)
    quiet_times, busy_times = [], []
    for _ in range(rounds):
        quiet_times.append(turn(train, epochs, seconds))
        with busy(cores()):
            busy_times.append(turn(train, epochs, seconds))
    about = about_case("busy", workload, task.dtype, "cpu") | {"name": name}
    return [
        about | {"contender": condition, "seconds": times}
        for condition, times in (("quiet", quiet_times), ("busy", busy_times))
    ]


def turn(train: Run, epochs: int, seconds: float) -> float:
    """The seconds of an epoch: ``epochs`` at a time are timed until ``seconds`` have passed."""
    took, epochs_done = 0.0, 0
    while took < seconds:
        took += timed(train, epochs)
        epochs_done += epochs
    return took / epochs_done


def busy_table(records: Sequence[Record]) -> TextTable:
    """The table of rows/s of each contender on the quiet machine, and the share on the busy one."""
    by_workload: dict[str, dict[str, list[Record]]] = {}
    for record in records:
        if record["what"] == "busy":
            by_workload.setdefault(record["workload"], {}).setdefault(record["name"], []).append(record)
    rows = []
    for workload, contenders in by_workload.items():
        cells = []
        for name in NAMES:
            quiet_record, busy_record = contenders.get(name, (None, None))
            share = ratio(busy_record, quiet_record)
            cells.append("-" if share is None else f"{count(rate(quiet_record))}, {share:.2f}")
        rows.append([workload, *cells])
    return TextTable(
        "rows/s when all is quiet, and the share beside as many busy processes as cores", ["", *NAMES], rows
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", help="the JSON file to write")
    parser.add_argument("--workloads", default=",".join(workload.name for workload in WORKLOADS))
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
