"""Runs parts one after the other, each for a limited time; what they found is kept in OUT/summary.json.

Needs the standard library only. OUT holds few files at any time: the summary, the log of all parts, and the result file
and the log of the part that runs.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.device.files import PartFile, read, write

INCOMPLETE = 3  # the exit status of a part that left cases out, as its time was up
KILL = 3.0  # seconds from the polite signal to the one that cannot be refused; part of a part's limit
LOG_BYTES = 200_000  # of a part's output that are kept
RESTARTS = 12  # of a part that crashed in one of its cases


class Part(NamedTuple):
    """A part: its name, its share of the time in seconds of 600, and its command, which is given OUT."""

    name: str
    seconds: float
    command: Sequence[str]


def run(parts: Sequence[Part], out: Path, budget: float, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Run the parts that are not complete, and return the summary.

    A part's limit is its share of ``budget`` seconds and what the parts before it have left over.
    """
    out.mkdir(parents=True, exist_ok=True)
    summary = read(out / "summary.json") or {"parts": {}}
    saved = 0.0
    for part in parts:
        limit = saved + part.seconds * budget / 600
        began = time.perf_counter()
        if summary["parts"].get(part.name, {}).get("state") != "done":
            say(f"== {part.name}: {limit:.0f} s at most")
            state = _attempt(part, out, limit, summary["parts"].get(part.name))
            found = read(out / f"{part.name}.json")
            took = time.perf_counter() - began
            summary["parts"][part.name] = found | {"state": state, "took": round(took, 1), "limit": round(limit, 1)}
            write(out / "summary.json", json.dumps(summary, indent=0) + "\n")
            (out / f"{part.name}.json").unlink(missing_ok=True)
            _pack(out, part.name)
            say(f"== {part.name}: {state}, {took:.0f} s")
        saved = max(0.0, limit - (time.perf_counter() - began))
    return summary


def _attempt(part: Part, out: Path, limit: float, earlier: dict[str, Any] | None) -> str:
    """Run a part, anew after a crash in one of its cases; its state.

    "done", "incomplete" (cases were left out), "timed out" or "failed".
    """
    file = out / f"{part.name}.json"
    if earlier and not file.exists():  # what an earlier run has measured of an incomplete part
        write(file, json.dumps(earlier))
    ends = time.perf_counter() + limit
    for _ in range(1 + RESTARTS):
        left = ends - time.perf_counter() - KILL
        if left <= 0:
            return "timed out"
        status = _launch(part, out, left)
        if status in (0, INCOMPLETE):
            return "done" if status == 0 else "incomplete"
        if status is None:
            return "timed out"
        if not file.exists() or PartFile(out, part.name).crashed(f"the process ended with status {status}") is None:
            break
    return "failed"


def _launch(part: Part, out: Path, seconds: float) -> int | None:
    """The exit status of the part's command, None if it was killed as its time was up.

    ``timeout`` puts the command into a group of processes of its own and kills all of them.
    """
    command = ["timeout", f"--kill-after={KILL}", f"{seconds:.1f}", *part.command, str(out)]
    environment = os.environ | {"DEVICE_SECONDS": f"{seconds:.1f}", "DEVICE_PART": part.name}
    with open(out / f"{part.name}.log", "ab") as log:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        try:
            status = process.wait(seconds + 2 * KILL)
        except subprocess.TimeoutExpired:  # a process that waits for a device may be deaf to every signal
            process.send_signal(signal.SIGKILL)
            return None
    late = time.perf_counter() - began >= seconds
    return None if status == 124 or (late and status in (137, -signal.SIGKILL)) else status


def _pack(out: Path, name: str) -> None:
    """Move the end of a part's log to the log of all parts."""
    log = out / f"{name}.log"
    if log.exists():
        with open(out / "logs.txt", "ab") as logs:
            logs.write(f"\n===== {name} =====\n".encode() + log.read_bytes()[-LOG_BYTES:])
        log.unlink()


def module(name: str, *words: str) -> list[str]:
    """The command of a module of this package."""
    return [sys.executable, "-u", "-m", f"benchmarks.device.{name}", *words]
