"""Runs tests against mutants: every mutant in a fork of one process that has collected the tests.

First every test runs once, and the lines that it executes are noted. A mutant is then met by the tests that execute its
line, the quickest and most thorough first, until one fails. Its code is put into the functions of the forked process
(`function.__code__`), so nothing is imported anew. What is computed at import (defaults, constants) needs a process of
its own; it is met by the tests that execute a line of its class or module, and by those that execute none of any.
"""

import gc
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest
from executed_lines import Recorder, fork
from mutant_texts import Mutant

MEMORY = 8 << 30  # bytes of address space of a mutant
Report = Callable[[Mutant, str, float], None]
HANGS = 300  # seconds after which a mutant that does not compute is ended


class Runs(Recorder):
    """A plugin for pytest that runs mutants in the place of the collected tests. ``report`` is given each outcome.

    ``budget`` are the CPU seconds that the tests of a mutant take at most.
    """

    def __init__(self, *given: Any, mutants: Sequence[Mutant], budget: float, report: Report, **words: Any) -> None:
        super().__init__(*given, **words)
        self.mutants, self.budget, self.report = mutants, budget, report

    def pytest_collection_finish(self) -> None:
        """Printed C is compiled without optimisation, in a quarter of the time."""
        quick()

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.record(session.items)
        items = {item.nodeid: item for item in session.items}
        running: dict[int, tuple[Mutant, float]] = {}
        if time.monotonic() > self.stop:  # not all is known of the tests
            return True
        for mutant in self.mutants:
            names = self.chosen(mutant)
            if not names:
                self.report(mutant, "untested", 0)
                continue
            if time.monotonic() > self.stop:
                break
            while len(running) >= self.jobs:
                self.collect(running)
            seconds = sum(self.tests[name].seconds for name in names)
            pid = self.start(mutant, [items[name] for name in names], 10 + int(5 * seconds))
            running[pid] = mutant, time.monotonic() + HANGS
        while running:
            self.collect(running)
        return True

    def chosen(self, mutant: Mutant) -> list[str]:
        """The tests that execute the mutant's line, as far as the budget goes: first those of most lines a second."""
        first, last = (mutant.line, mutant.line) if mutant.in_body else mutant.lines
        found = []
        for name, test in self.tests.items():
            lines = test.lines.get(mutant.file, ())
            if any(first <= line <= last for line in lines) or not (mutant.in_body or test.lines):
                found.append((-len(lines) / (test.seconds + 0.02), test.seconds, name))
        names, left = [], self.budget
        for _, seconds, name in sorted(found):
            if seconds <= left or not names:
                names.append(name)
                left -= seconds
        return names

    def start(self, mutant: Mutant, items: list[pytest.Item], seconds: int) -> int:
        """A process for a mutant; its exit status is 0 if all tests pass."""
        tree = mutant.tree((self.root / mutant.file).read_text())
        codes = _codes(compile(tree, str(self.root / mutant.file), "exec"))

        def child() -> None:
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            if not mutant.in_body or not exchange(codes, str(self.root / mutant.file)):
                command = [sys.executable, str(Path(__file__).with_name("mutants.py")), "--root", str(self.root)]
                os.execv(sys.executable, [*command, "--one", mutant.key, *(item.nodeid for item in items)])
            for item, after in zip(items, [*items[1:], None], strict=True):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
                if self.failed:
                    os._exit(1)

        return fork(child)

    def collect(self, running: dict[int, tuple[Mutant, float]]) -> None:
        """Wait a moment, and report what has ended."""
        time.sleep(0.005)
        for pid, (mutant, end) in list(running.items()):
            done, status, usage = os.wait4(pid, os.WNOHANG)
            if not done and time.monotonic() > end:
                os.killpg(pid, signal.SIGKILL)
                done, status, usage = os.wait4(pid, 0)
            if done:
                del running[pid]
                code = os.waitstatus_to_exitcode(status)
                outcome = {0: "survived", -signal.SIGXCPU: "timeout", -signal.SIGKILL: "timeout"}.get(code, "killed")
                self.report(mutant, outcome, usage.ru_utime + usage.ru_stime)


def quick() -> None:
    """From now on printed C is compiled without optimisation."""
    if "mlpcore.compiler.build" in sys.modules:
        build = sys.modules["mlpcore.compiler.build"]
        build.FLAGS = tuple("-O0" if flag == "-O2" else flag for flag in build.FLAGS)  # type: ignore[attr-defined]


def exchange(codes: dict[tuple[str, int], CodeType], file: str) -> bool:
    """Put new code into all functions of a file; False where a function has other free variables than before."""
    for function in gc.get_objects():
        if isinstance(function, FunctionType) and function.__code__.co_filename == file:
            new = codes.get((function.__code__.co_qualname, function.__code__.co_firstlineno))
            if new is not None and new != function.__code__:
                try:
                    function.__code__ = new
                except ValueError:
                    return False
    return True


def _codes(module: CodeType) -> dict[tuple[str, int], CodeType]:
    found: dict[tuple[str, int], CodeType] = {}
    for constant in module.co_consts:
        if isinstance(constant, CodeType):
            found |= {(constant.co_qualname, constant.co_firstlineno): constant} | _codes(constant)
    return found
