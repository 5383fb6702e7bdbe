"""Tests that need a GPU, by several processes of pytest at once; counts and failures are written every second.

``python -m benchmarks.device.suites PART OUT``, PART one of SUITES.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.device import shard
from benchmarks.device.cases import DEVICE, REHEARSAL
from benchmarks.device.files import PartFile, Record
from benchmarks.device.runner import INCOMPLETE
from benchmarks.device.running import Clock
from mlpcore.bench.about import about, cores

ROOT = Path(__file__).parents[2]
COUNTS = "tests/backends/test_device_counts.py"
KERNELS = ("tests/backends/test_captured.py", "tests/backends/test_cublas.py", "tests/compiler/cuda",
           "tests/compiler/test_functions.py")  # fmt: skip
KEPT = 60  # failures whose text is kept
STARTS = 6  # of a process that crashes
DONE = "done.jsonl"  # the log of an earlier run of the same tests, which ran out of time


class Suite(NamedTuple):
    """Tests: the files, the words for pytest, and what a rehearsal runs in their place. Absent files are recorded."""

    paths: Sequence[str]
    words: Sequence[str] = ()
    rehearsal: Sequence[str] = ()
    processes: int = 12


SUITES = {
    "kernels": Suite(KERNELS, rehearsal=("tests/compiler/cuda/test_wide.py",)),
    "suite": Suite(
        ("tests",),
        ("--ignore=tests/laws", f"--ignore={COUNTS}", *(f"--ignore={path}" for path in KERNELS)),
        ("tests/test_trees.py",),
    ),
    "laws": Suite(("tests/laws",), rehearsal=("tests/test_metrics.py",)),
    "calls": Suite((COUNTS,), rehearsal=(f"{COUNTS}::test_arrays_that_are_read_together",), processes=3),
    "cublaslt": Suite(("tests/backends/test_cublaslt.py",), processes=4),
    "narrow": Suite(("tests/compiler/cuda/test_row_tiles.py",), processes=4),
}


def command(suite: Suite) -> list[str]:
    """pytest with its arguments."""
    paths = suite.rehearsal if REHEARSAL and suite.rehearsal else suite.paths
    plugins = ["-p", "benchmarks.device.shard", "-p", "no:cacheprovider"]
    options = ["-q", "-m", "gpu", "-o", "faulthandler_timeout=60", "-rN", "--tb=short"]
    options.append("--continue-on-collection-errors")
    return [sys.executable, "-m", "pytest", *plugins, *options, *suite.words, *paths]


class Shard:
    """A process of pytest with its log."""

    def __init__(self, words: Sequence[str], number: int, count: int, folder: Path) -> None:
        self.words, self.log, self.starts = words, folder / f"{number}.jsonl", 0
        # The tests keep JAX on the CPU unless JAX_PLATFORMS is set; empty means any platform.
        platforms = {} if REHEARSAL else {"JAX_PLATFORMS": os.environ.get("JAX_PLATFORMS", "")}
        self.environment = os.environ | platforms | {
            "DEVICE_SHARD": f"{number}/{count}",
            "DEVICE_SHARD_LOG": str(self.log),
            "DEVICE_SHARD_DONE": str(folder / DONE),
            "OPENBLAS_NUM_THREADS": "1",
        }  # fmt: skip
        self.start()

    def start(self) -> None:
        """Start it, or start it again."""
        self.starts += 1
        self.process = subprocess.Popen(self.words, env=self.environment, cwd=ROOT)

    def running(self) -> bool:
        """Whether it runs; a crashed process is started again, without the tests that it had begun."""
        status = self.process.poll()
        if status is None:
            return True
        if status in (0, 1, 2, 3, 4, 5) or self.starts >= STARTS:  # those of pytest
            return False
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f'\n{{"crash": {status}}}\n')
        self.start()
        return True


def tally(logs: Iterable[Sequence[dict[str, Any]]]) -> Record:
    """The numbers of tests by outcome, the failures, the reasons of skips, and the tests that did not end."""
    outcomes, failures, begun, modules = dict[str, str](), list[Record](), set[str](), dict[str, str]()
    reasons, total, crashes, seconds = Counter[str](), 0, 0, dict[str, float]()
    for log in logs:
        total += max((line["share"] for line in log if "share" in line), default=0)
        crashes += sum("crash" in line for line in log)
        for line in log:
            if "test" not in line:
                continue
            name, outcome = line["test"], line["outcome"]
            if line.get("module"):  # seen by every process
                modules[name] = outcome
                if outcome == "error" and name not in {failure["test"] for failure in failures}:
                    failures.append({"test": name, "text": line["text"]})
            elif outcome == "begun":
                begun.add(name)
            else:
                outcomes[name] = outcome if outcomes.get(name) != "error" else "error"
                seconds[name] = line["seconds"]
                if outcome in ("failed", "error"):
                    failures.append({"test": name, "text": line["text"]})
                elif outcome == "skipped":
                    reasons[" ".join(line["text"].removeprefix("Skipped: ").split())[:200]] += 1
    counts = Counter(outcomes.values())
    counts["error"] += sum(outcome == "error" for outcome in modules.values())
    return {
        "counts": {"tests": total, **{word: counts[word] for word in ("passed", "failed", "error", "skipped")}},
        "not run": total - len(outcomes),
        "not ended": sorted(begun - outcomes.keys()),
        "crashes": crashes,
        "failures": failures[:KEPT],
        "reasons of skips": dict(reasons.most_common()),
        "slowest": sorted(((s, name) for name, s in seconds.items()), reverse=True)[:8],
    }


def run(out: Path, part: str, names: Sequence[str]) -> int:
    """Run suites one after the other; the exit status of the part."""
    file, clock = PartFile(out, part, about(DEVICE)), Clock(reserve=3)
    whole = True
    for name in file.pending(names):
        suite = SUITES[name]
        if not any((ROOT / path.partition("::")[0]).exists() for path in suite.paths):
            file.end(name, [{"absent": f"there is no {' or '.join(suite.paths)}"}])
            continue
        file.begin(name)
        earlier = next((record.get("log", []) for record in file.records if record["case"] == name), [])
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / DONE).write_text("".join(json.dumps(line) + "\n" for line in earlier))
            count = 1 if REHEARSAL else max(1, min(suite.processes, cores() - 1))
            shards = [Shard(command(suite), i, count, Path(folder)) for i in range(count)]
            began, record = time.perf_counter(), Record()
            while sum(one.running() for one in shards) and clock.fits():
                time.sleep(0.5)
                record = _written(file, name, shards, began, earlier)
            for one in shards:
                one.process.kill()
                one.process.wait()
            record = _written(file, name, shards, began, earlier)
        if record["not run"] > len(record["not ended"]) or not clock.fits():
            whole = False
        else:
            file.end(name, [])
        print(name, record["counts"], flush=True)
    return 0 if whole else INCOMPLETE


def _written(
    file: PartFile, name: str, shards: Sequence[Shard], began: float, earlier: Sequence[dict[str, Any]]
) -> Record:
    """The tally so far, written to the part's file, with the lines of tests that have ended until all have."""
    logs = [earlier, *(shard.lines(one.log) for one in shards)]
    record = tally(logs) | {"processes": len(shards), "seconds": round(time.perf_counter() - began, 1)}
    ended = [line for log in logs for line in log if line.get("outcome", "begun") != "begun" and "module" not in line]
    file.replace(name, record | ({"log": ended} if record["not run"] else {}))
    return record


def main(argv: Sequence[str]) -> int:
    """Run the suites of a part: one of SUITES, or the probes of what may be absent."""
    part, out = argv
    return run(Path(out), part, ("cublaslt", "narrow") if part == "probes" else (part,))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
