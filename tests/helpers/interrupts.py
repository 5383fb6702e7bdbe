"""Interrupts calls at random moments and looks at what is left: ``python tests/helpers/interrupts.py SEED NUMBER``.

A moment is a time, or a point of mlpcore's code at which Python handles signals, after a call or a jump back. Then
comes SIGINT, or SIGTERM or SIGALRM with a user's handler that raises SystemExit or TimeoutError.
"""

import gc
import os
import random as standard_random
import re
import signal
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dis import Bytecode, get_instructions
from functools import cache, partial
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np
from interrupted_calls import CALLS, Call
from shortages import same

import mlpcore
from mlpcore.compiler import blas_threads

PACKAGE = str(Path(mlpcore.__file__).parent)
SECONDS = 20.0  # that threads have to end


def ours(thread: threading.Thread) -> bool:
    """Whether it is no thread of joblib's pool, which stays where joblib is interrupted while it starts one."""
    return not (thread.daemon and re.search(r"\((worker|_handle_\w+)\)$", thread.name))


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)  # the last not in a search, which scores an error as NaN
RAISED: list[BaseException] = []  # by their handlers
Point = tuple[str, int, int]  # a file, a line, and the number of a byte of the function's code
CHECKS = {
    "CALL",
    "CALL_KW",
    "CALL_FUNCTION_EX",
    "RESUME",
    "JUMP_BACKWARD",
}  # instructions that handle signals at their end


@cache
def points_of(code: CodeType) -> frozenset[int]:
    """The instructions before which Python handles signals that have come: those after `CHECKS`.

    But not where a generator resumes in ``yield from``: there the inner one alone sees them. A signal belongs to the
    instruction before. Where that one alone is within a ``with`` or ``try``, as at the end of their blocks, the trace
    function would raise outside of it, so that such points are left out.
    """
    found, before = set[int](), None
    entries = Bytecode(code).exception_entries

    def handler(offset: int) -> int | None:
        return next((entry.target for entry in entries if entry.start <= offset < entry.end), None)

    for instruction in get_instructions(code):
        checks = before is not None and before.opname in CHECKS and (before.opname != "RESUME" or before.argval < 2)
        if before is not None and checks and handler(before.offset) == handler(instruction.offset):
            found.add(instruction.offset)
        if instruction.opname == "JUMP_BACKWARD" and handler(instruction.offset) == handler(instruction.argval):
            found.add(instruction.argval)
        before = instruction
    return frozenset(found)


class Points:
    """Counts the passes of all points of mlpcore's code at which the main thread handles signals.

    ``act`` is called at a pass of the point ``at``.
    """

    def __init__(self, at: Point | None = None, number: int = 0, act: Callable[[], None] = lambda: None) -> None:
        self.passes, self.at, self.number, self.act = Counter[Point](), at, number, act
        self.where = "" if at is None else f"{os.path.relpath(at[0], PACKAGE)}:{at[1]} ({at[2]}), pass {number}"

    def enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        """The trace function of a frame that begins."""
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self.instruction

    def instruction(self, frame: FrameType, event: str, argument: Any) -> Any:
        """The trace function of instructions."""
        if event == "opcode" and frame.f_lasti in points_of(frame.f_code):
            point = frame.f_code.co_filename, frame.f_lineno or 0, frame.f_lasti
            self.passes[point] += 1
            if point == self.at and self.passes[point] == self.number:
                self.act()
        return self.instruction

    def __enter__(self) -> "Points":
        self.before = sys.gettrace()
        sys.settrace(self.enter)
        return self

    def __exit__(self, *error: object) -> None:
        sys.settrace(self.before)


class Timed:
    """Sends a signal to this process after so many seconds."""

    def __init__(self, seconds: float, number: int) -> None:
        self.where = f"after {seconds:.4f} s"
        self.timer = threading.Timer(seconds, os.kill, (os.getpid(), number))

    def __enter__(self) -> "Timed":
        self.timer.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.timer.cancel()
        self.timer.join()


def raising(kind: Callable[[], BaseException]) -> Callable[..., None]:
    """A user's handler that raises an error and notes it."""

    def handle(*_: Any) -> None:
        RAISED.append(kind())
        raise RAISED[-1]

    return handle


HANDLERS = (raising(KeyboardInterrupt), raising(SystemExit), raising(TimeoutError))


@contextmanager
def own_folders() -> Iterator[Path]:
    """A new folder for a call's files, temporary files and libraries, in which it runs."""
    with tempfile.TemporaryDirectory(prefix="interrupts-") as name:
        path = Path(name)
        before = tempfile.tempdir, os.environ.get("TMPDIR"), os.environ.get("MLPCORE_CACHE_DIR")
        (path / "temporary").mkdir()
        tempfile.tempdir = os.environ["TMPDIR"] = str(path / "temporary")
        try:
            yield path
        finally:
            tempfile.tempdir = before[0]
            for variable, value in zip(("TMPDIR", "MLPCORE_CACHE_DIR"), before[1:], strict=True):
                os.environ.pop(variable, None)
                if value is not None:
                    os.environ[variable] = value


def process() -> dict[str, Any]:
    """What a call may not change for others."""
    return {
        "signals": [signal.getsignal(number) for number in SIGNALS],
        "floating-point errors": np.geterr(),
        "threads of BLAS": [setting.get() for setting in blas_threads.thread_settings()],
        "filters of warnings": warnings.filters[:],
    }


@contextmanager
def dropping() -> Iterator[list[BaseException]]:
    """The errors of handlers that Python drops, as they come in finalizers; those of its own weak dictionaries only."""
    dropped, before = list[BaseException](), sys.unraisablehook

    def hook(unraisable: Any) -> None:
        frames = traceback.extract_tb(unraisable.exc_traceback)
        if unraisable.exc_value in RAISED and not any(frame.filename.startswith(PACKAGE) for frame in frames):
            dropped.append(unraisable.exc_value)
        else:
            before(unraisable)

    sys.unraisablehook = hook
    try:
        yield dropped
    finally:
        sys.unraisablehook = before


def interrupted(call: Call, moment: Points | Timed) -> str:
    """Interrupt a call, and say what is wrong afterwards, or "" if nothing is."""
    with own_folders() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        thing = call.make(folder)
        threads, before, files = set(threading.enumerate()), process(), listed(folder)
        RAISED.clear()
        error: BaseException | None = None
        try:
            with dropping() as dropped, moment:
                call.run(thing)
        except BaseException as raised:
            error = raised
        faults = list(call.faults(thing))
        flagged = not RAISED and isinstance(error, KeyboardInterrupt)  # Ctrl-C, which some calls wait with
        if error is not (RAISED[0] if RAISED else None) and not flagged and not dropped:
            faults.append(f"{RAISED!r} became {error!r}")
        error = None
        RAISED.clear()
        dropped.clear()
        gc.collect()
        limit = time.monotonic() + SECONDS
        while (alive := {*filter(ours, threading.enumerate())} - threads) and time.monotonic() < limit:
            time.sleep(0.001)
            gc.collect()
        if alive:
            faults.append(f"threads {sorted(thread.name for thread in alive)}")
        for name, value in process().items():
            if value != before[name]:
                faults.append(f"{name}: {before[name]} became {value}")
        left = [name for name in listed(folder) - files if not call.keeps.fullmatch(name)]
        other = call.like(thing, folder)
        if not same(call.follow(thing), call.follow(other)):
            faults.append("the next call gives something else than on an object made anew in this state")
        if left and (left := [name for name in left if (folder / name).exists()]):
            faults.append(f"files {left}")
    return "; ".join(faults)


def listed(folder: Path) -> set[str]:
    """The names of all files in a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def moments(call: Call, random: standard_random.Random, number: int, timed: bool) -> Iterator[Points | Timed]:
    """So many moments in a call, each with one of the `SIGNALS`."""
    with own_folders() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        call.run(call.make(folder))  # what is only done once in a process
        thing = call.make(folder)
        begun = time.monotonic()
        with nullcontext() if timed else Points() as points:
            call.run(thing)
        seconds = time.monotonic() - begun
    for i in range(number):
        which = SIGNALS[i % (2 if "SearchCV" in call.name else 3)]
        if timed:
            yield Timed(random.uniform(0, seconds), which)
        else:
            file = random.choice(sorted({point[0] for point in points.passes}))  # else most are in the compiler's
            point = random.choice(sorted(point for point in points.passes if point[0] == file))
            number = random.randint(1, points.passes[point])
            yield Points(point, number, partial(signal.raise_signal, which))


def interrupt_many(seed: int, number: int, calls: list[Call] = CALLS) -> list[str]:
    """Interrupt the calls in turn at so many moments, every third of them a time; what was wrong."""
    random, wrong = standard_random.Random(seed), list[str]()
    before = [signal.signal(which, handler) for which, handler in zip(SIGNALS, HANDLERS, strict=True)]
    try:
        for i, call in enumerate(calls):
            share = number // len(calls) + (i < number % len(calls))
            for timed, part in ((False, share - share // 3), (True, share // 3)):
                for moment in moments(call, random, part, timed) if part else ():
                    fault = interrupted(call, moment)
                    if fault:
                        wrong.append(f"{call.name}, {moment.where}: {fault}")
                        print(wrong[-1], flush=True)
    finally:
        for which, handler in zip(SIGNALS, before, strict=True):
            signal.signal(which, handler)
    return wrong


if __name__ == "__main__":
    found = interrupt_many(*map(int, sys.argv[1:3]), [c for c in CALLS if not sys.argv[3:] or c.name in sys.argv[3:]])
    print(f"{sys.argv[2]} moments, {len(found)} with a fault")
    raise SystemExit(bool(found))
