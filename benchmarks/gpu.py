"""Tests and measurements on a machine with one NVIDIA GPU: one part of ``benchmarks/gpu.sh PART FOLDER``.

Every part writes ``FOLDER/gpu-PART.json`` after each case, starts no case that would exceed its time budget, and prints
a short table at the end. To try it without a GPU set ``MLPCORE_GPU_BACKEND=numpy`` (cupy by default) and
``MLPCORE_GPU_SECONDS`` (of a round). ``MLPCORE_GPU_BUDGET`` is the time budget of a part in seconds.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from benchmarks.compare import BACKENDS, BATCHES, PREDICTORS, sweep_table
from benchmarks.results import Writer
from benchmarks.steps import steps
from benchmarks.targets import prediction_table, summary_tables
from mlpcore.bench.about import about
from mlpcore.bench.contenders import OURS, PEERS
from mlpcore.bench.suite import Record, epochs, predictions
from mlpcore.bench.tables import TextTable, as_text, count, rate, where
from mlpcore.bench.workloads import SWEEP, WORKLOADS

BACKEND = os.environ.get("MLPCORE_GPU_BACKEND", "cupy")
SECONDS = float(os.environ.get("MLPCORE_GPU_SECONDS", "0.3"))
BUDGET = float(os.environ.get("MLPCORE_GPU_BUDGET", "480"))
DEVICE = "cpu" if BACKEND == "numpy" else "cuda"
ROUNDS = 3
WORDS: dict[str, Any] = {"device": DEVICE, "rounds": ROUNDS, "seconds": SECONDS}


class Clock:
    """The time budget of a part: a job is started only if one as long as the longest so far would still fit."""

    def __init__(self) -> None:
        self.began, self.longest, self.left_out = time.perf_counter(), 0.0, 0

    def each(self, jobs: Iterable[Callable[[], object]]) -> None:
        """Run the jobs that fit, and count the others."""
        for job in jobs:
            start = time.perf_counter()
            if start - self.began + self.longest > BUDGET:
                self.left_out += 1
                continue
            job()
            self.longest = max(self.longest, time.perf_counter() - start)


def tests(folder: Path, clock: Clock) -> list[TextTable]:
    """Run the tests that need a GPU, except tests/laws."""
    return _tests(folder, "tests", "tests", "--ignore=tests/laws")


def laws(folder: Path, clock: Clock) -> list[TextTable]:
    """Run the laws of layers, losses and optimizers on a GPU."""
    return _tests(folder, "laws", "tests/laws")


def _tests(folder: Path, part: str, *where: str) -> list[TextTable]:
    report, before = folder / f"gpu-{part}.xml", time.perf_counter()
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", *where, f"--junitxml={report}"]
    # The tests keep JAX on the CPU unless JAX_PLATFORMS is set; empty means any platform.
    environment = os.environ | {"JAX_PLATFORMS": ""}
    report.unlink(missing_ok=True)
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(command, check=False, timeout=BUDGET, env=environment)
    # Without a report the tests did not finish, which counts as an error.
    suite = {"errors": "1"}
    if report.exists():
        (testsuite,) = ElementTree.parse(report).getroot().iter("testsuite")
        suite = dict(testsuite.items())
    counts = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
    seconds = time.perf_counter() - before
    case = {"what": "tests", "workload": "tests", "batch": 0, "widths": [], "dtype": "-", "device": DEVICE}
    writer(folder, part).add([case | {"contender": OURS + BACKEND, "counts": counts}])
    return [
        TextTable(f"{part} that need a GPU", [*counts, "seconds"], [[*map(str, counts.values()), f"{seconds:.0f}"]])
    ]


def step(folder: Path, clock: Clock) -> list[TextTable]:
    """Measure steps of the six workloads, and the sweep of batch sizes with the limit."""
    out = writer(folder, "step")
    clock.each(partial(_keep, out, steps, workload, BACKEND, "float32", **WORDS) for workload in WORKLOADS)
    clock.each(partial(_keep, out, epochs, workload, [OURS + BACKEND], **WORDS) for workload in SWEEP)
    rows = [
        [record["workload"], f"{record['batch']:,}", count(rate(record))]
        for record in out.records
        if record["what"] == "step"
    ]
    step_table = TextTable("training steps", ["workload", "batch", "rows/s"], rows)
    return [step_table, sweep_table(out.records, [OURS + BACKEND])]


def peers(folder: Path, clock: Clock) -> list[TextTable]:
    """Measure whole shuffled epochs and predictions, with torch, eager and compiled, and JAX."""
    out = writer(folder, "peers")
    ours = [OURS + name for name in dict.fromkeys((BACKEND, *BACKENDS[DEVICE]))]
    names = [*ours, *(name for name in PEERS if DEVICE == "cpu" or name != "scikit-learn")]
    clock.each(partial(_keep, out, epochs, workload, names, **WORDS) for workload in WORKLOADS)
    names = [*ours, *(name for name in PREDICTORS if name in names)]
    clock.each(partial(_keep, out, predictions, workload, BATCHES, names, **WORDS) for workload in WORKLOADS)
    predicted = [record for record in out.records if record["what"] == "predict"]
    return [*summary_tables(out.records), prediction_table(predicted)]


def _keep(out: Writer, measure: Callable[..., Iterable[Record]], *arguments: Any, **words: Any) -> None:
    out.add(measure(*arguments, **words))


PARTS = {"tests": tests, "laws": laws, "step": step, "peers": peers}


def writer(folder: Path, part: str) -> Writer:
    return Writer(folder / f"gpu-{part}.json", DEVICE, rounds=ROUNDS, seconds=SECONDS, budget=BUDGET)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a part; returns 1 if a test failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args(argv)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    clock = Clock()
    tables = PARTS[arguments.part](arguments.folder, clock)
    print(where(about(DEVICE)))
    print(f"{arguments.part}: {time.perf_counter() - clock.began:.0f} s, {clock.left_out} cases left out")
    print(*(as_text(table) for table in tables), sep="\n\n")
    return 0 if arguments.part not in ("tests", "laws") or tables[0].rows[0][1:3] == ["0", "0"] else 1


if __name__ == "__main__":
    sys.exit(main())
