"""compute-sanitizer over a short script: ``python -m benchmarks.device.sanitizer TOOL OUT``."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.device.files import Record
from benchmarks.device.provenance import sanitizer
from benchmarks.device.running import run_cases

SCRIPT = [sys.executable, "-m", "benchmarks.device.sanitized"]
TEXT = 3000  # characters of a report that are kept


def alone() -> list[Record]:
    """The script without a tool, which also compiles its kernels."""
    began = time.perf_counter()
    run = subprocess.run(SCRIPT, capture_output=True, text=True, check=False)
    record: Record = {"status": run.returncode, "seconds": round(time.perf_counter() - began, 1)}
    return [record if run.returncode == 0 else record | {"failed": (run.stdout + run.stderr)[-TEXT:]}]


def under(tool: str) -> list[Record]:
    """The script under a tool: the number of errors and the first lines of the report."""
    program = sanitizer()
    if program is None:
        return [{"absent": "compute-sanitizer"}]
    began = time.perf_counter()
    command = [program, "--tool", tool, "--error-exitcode", "99", *SCRIPT]
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    return [judged(run.stdout + run.stderr, run.returncode) | {"seconds": round(time.perf_counter() - began, 1)}]


def judged(output: str, status: int) -> Record:
    """The record of a report: it is good only if the tool says so and the script came to its end."""
    summary = re.search(r"(?:ERROR SUMMARY: (\d+) errors?|RACECHECK SUMMARY: (\d+) hazards?)", output)
    errors = int(summary.group(1) or summary.group(2)) if summary else None
    record: Record = {"status": status, "errors": errors, "finished": "finished" in output}
    if errors == 0 and status == 0 and record["finished"]:
        return record
    first = output.find("=========")
    return record | {"failed": output[max(first, 0) :][:TEXT]}


def main(argv: Sequence[str]) -> int:
    """Run the script alone and under the tool."""
    tool, out = argv
    return run_cases(Path(out), tool, {"the script alone": alone, tool: partial(under, tool)})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
