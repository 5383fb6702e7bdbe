"""Which lines of some files a piece of code executes, and a record of it for every test."""

import hashlib
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import pytest


class ExecutedLines:
    """A context whose value becomes the lines that are executed in it, by name; ``files`` maps paths to names."""

    def __init__(self, files: dict[str, str]) -> None:
        self.files, self.lines = files, dict[str, set[int]]()
        self.left: dict[CodeType, set[int]] = {}  # lines of a function that were not executed so far

    def __enter__(self) -> dict[str, set[int]]:
        self.before = sys.gettrace(), threading.gettrace()
        threading.settrace(self.call)
        sys.settrace(self.call)
        return self.lines

    def __exit__(self, *error: object) -> None:
        own, new_threads = self.before
        sys.settrace(own)
        threading.settrace(new_threads)  # type: ignore[arg-type]

    def call(self, frame: FrameType, event: str, value: Any) -> Any:
        """The tracer of a frame: none outside the files and where all lines are known."""
        code = frame.f_code
        name = self.files.get(code.co_filename)
        if name is None:
            return None
        if code not in self.left:
            self.left[code] = {line for *_, line in code.co_lines() if line}
        left, lines = self.left[code], self.lines.setdefault(name, set())
        if not left:
            return None

        def local(frame: FrameType, event: str, value: Any) -> Any:
            lines.add(frame.f_lineno)
            left.discard(frame.f_lineno)
            return local

        return local(frame, event, value)


class Test(NamedTuple):
    """What a test executes, and its CPU seconds."""

    __test__ = False
    seconds: float
    lines: dict[str, list[int]]


class Recorder:
    """A plugin for pytest that runs every test once: ``tests``, those that passed, by name, and ``broken`` ones.

    ``files`` are those in ``root`` of which lines are noted. The file ``kept`` keeps the record: it holds for tests
    whose file, and all ``files``, are as they were.
    """

    def __init__(self, root: Path, files: Sequence[str], jobs: int, stop: float, kept: Path | None) -> None:
        self.root, self.files, self.jobs, self.stop, self.kept = root, files, jobs, stop, kept
        self.failed = self.skipped = False
        self.tests: dict[str, Test] = {}
        self.left_out: set[str] = set()
        self.broken: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed |= report.failed
        self.skipped |= report.skipped

    def record(self, items: list[pytest.Item]) -> None:
        """Run every test once, in several processes, and note what it executes; not those that the record has."""
        files = {str(self.root / file): file for file in self.files}
        sources = digest("".join(_text_digest(self.root / file) for file in self.files))
        stamps = {item.nodeid: _text_digest(item.path) + sources for item in items}
        with tempfile.TemporaryDirectory() as folder:
            kept = self.kept or Path(folder) / "kept"
            kept.touch()
            self._read(kept, stamps)
            todo = [item for item in items if item.nodeid not in {*self.tests, *self.left_out, *self.broken}]
            shares = [Path(folder) / str(job) for job in range(self.jobs)]
            runs = [
                fork(lambda job=job: self._run(todo[job :: self.jobs], files, stamps, shares[job]))
                for job in range(self.jobs)
            ]
            for pid, share in zip(runs, shares, strict=True):
                os.waitpid(pid, 0)
                with kept.open("a") as file:
                    file.write(share.read_text())
            self._read(kept, stamps)

    def _read(self, kept: Path, stamps: dict[str, str]) -> None:
        for line in kept.read_text().splitlines():
            name, stamp, outcome, *test = json.loads(line)
            if stamps.get(name) == stamp and outcome == "passed":
                self.tests[name] = Test(*test)
            elif stamps.get(name) == stamp:
                (self.left_out if outcome == "skipped" else self.broken).add(name)

    def _run(self, items: list[pytest.Item], files: dict[str, str], stamps: dict[str, str], share: Path) -> None:
        with share.open("w") as file:
            for item, after in zip(items, [*items[1:], None], strict=True):
                if time.monotonic() > self.stop:
                    return
                self.failed = self.skipped = False
                begin = os.times()
                with ExecutedLines(files) as lines:
                    item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
                seconds = sum(os.times()[:4]) - sum(begin[:4])
                outcome = "failed" if self.failed else "skipped" if self.skipped else "passed"
                executed = {name: sorted(numbers) for name, numbers in lines.items()}
                file.write(json.dumps([item.nodeid, stamps[item.nodeid], outcome, seconds, executed]) + "\n")


def digest(text: str) -> str:
    """Twelve digits for a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@cache
def _text_digest(path: Path) -> str:
    return digest(path.read_text())


def fork(run: Callable[[], None]) -> int:
    """Run a function in a fork, in a group of its own and without output; an exception is status 1."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setsid()
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
            run()
            status = 0
        finally:
            os._exit(status)
    return pid
