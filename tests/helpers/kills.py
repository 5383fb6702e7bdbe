"""Kills fits at random moments and resumes them: ``python tests/helpers/kills.py SEED NUMBER``, or from a test.

Every attempt is a process of its own, forked from one that has imported mlpcore and trained nothing. A kill comes at a
moment drawn uniformly over the time that the fit takes without one.
"""

import json
import mmap
import os
import pickle
import re
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from kill_jobs import JOBS, Job, Result

from mlpcore.compiler import build
from mlpcore.compiler.program import BoundProgram
from mlpcore.files import writing
from mlpcore.temporary import TemporaryFolder
from mlpcore.training.checkpoints import Checkpoints
from mlpcore.training.loop import Trainer

# Where a fit stood when it was killed: the innermost of these calls, by number.
PHASES: list[tuple[str, Any, str]] = [
    ("between", None, ""),
    ("in an epoch", Trainer, "epoch_calls"),
    ("in a compiled chunk", BoundProgram, "run_steps"),
    ("making a checkpoint", Checkpoints, "write"),
    ("writing a file", writing, "replace_file"),
    ("reading a checkpoint", Checkpoints, "resume"),
    ("compiling", build, "build"),
]


KEPT = re.compile(
    r"run|rows\.npy|begun\.npy|mlpcore-pruned|[0-9a-f-]{65}\.so|\d\.\w+|(\d{6}-epoch-\d+-step-\d+|best)\.safetensors"
)


class Reference(NamedTuple):
    """A fit that nobody killed: what it ends with, and how long it took, in seconds."""

    result: Result
    seconds: float


class Killed(NamedTuple):
    """A fit that was killed, once or several times, and then ended."""

    result: Result
    phases: list[str]  # where it stood at each kill
    left: list[str]  # files that no fit keeps


def reference(job: Job, backend: str = "numpy") -> Reference:
    """The fit in a process of its own, undisturbed, twice: the second finds its libraries, and its time counts."""
    for _ in range(2 if job.__name__ != "anew" else 1):
        with folder() as path:
            begun = time.monotonic()
            result, _ = attempt(job, path, backend)
            seconds = time.monotonic() - begun
            assert result is not None
    return Reference(result, seconds)


def killed(
    job: Job,
    seconds: float,
    random: np.random.Generator,
    how: int = signal.SIGKILL,
    backends: Sequence[str] = ("numpy",),
) -> Killed:
    """The fit in one folder: killed one to three times, each within so many seconds, and then to its end.

    ``backends`` are those of the attempts, the last of them of all further ones.
    """
    phases: list[str] = []
    wanted = int(random.integers(1, 4))
    with folder() as path:
        while True:
            backend = backends[min(len(phases), len(backends) - 1)]
            moment = random.uniform(0, seconds) if len(phases) < wanted else None
            result, phase = attempt(job, path, backend, moment, how)
            if result is None:
                phases.append(phase)
                continue
            return Killed(result, phases, leftovers(path))


def attempt(
    job: Job, path: Path, backend: str, moment: float | None = None, how: int = signal.SIGKILL
) -> tuple[Result | None, str]:
    """What the fit ends with in a process of its own; None if it is killed ``moment`` seconds after it began.

    The text says where it stood.
    """
    os.makedirs(path / "temporary", exist_ok=True)
    place, out = mmap.mmap(-1, 1), path.parent / f"{path.name}.result"
    child = os.fork()
    if not child:
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            warnings.simplefilter("ignore")
            tempfile.tempdir = os.environ["TMPDIR"] = str(path / "temporary")
            watch(place)
            result = job(path, backend)
            out.write_bytes(pickle.dumps(result))
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(1)
    if moment is not None:
        time.sleep(moment)
        os.kill(child, how)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code == 0 or (code == -how and moment is not None), f"{job.__name__} ended with {code}"
    phase = PHASES[place[0]][0]
    result = pickle.loads(out.read_bytes()) if code == 0 else None
    out.unlink(missing_ok=True)
    return result, phase


def watch(place: mmap.mmap) -> None:
    """Note in shared memory which of `PHASES` the process is in."""

    def noting(function: Callable[..., Any], number: int) -> Callable[..., Any]:
        def called(*arguments: Any, **words: Any) -> Any:
            before, place[0] = place[0], number
            try:
                return function(*arguments, **words)
            finally:
                place[0] = before

        return called

    for number, (_, owner, name) in enumerate(PHASES):
        for where in [owner, *(m for m in list(sys.modules.values()) if owner in (writing, build))]:
            if where is not None and getattr(where, name, None) is getattr(owner, name) and where is not owner:
                setattr(where, name, noting(getattr(owner, name), number))
        if owner is not None:
            function = getattr(owner, name)
            if name == "epoch_calls":  # a generator: its place is that of its calls, between which it is suspended
                setattr(owner, name, generator_noting(function, number, place))
            else:
                setattr(owner, name, noting(function, number))


def generator_noting(function: Callable[..., Any], number: int, place: mmap.mmap) -> Callable[..., Any]:
    """As ``noting``, for a generator that is run to its end."""

    def called(*arguments: Any, **words: Any) -> Iterator[Any]:
        before, place[0] = place[0], number
        try:
            return (yield from function(*arguments, **words))
        finally:
            place[0] = before

    return called


@contextmanager
def folder() -> Iterator[Path]:
    """A new folder for one fit."""
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        path = Path(name, "fit")
        path.mkdir()
        yield path


def leftovers(path: Path) -> list[str]:
    """The files in the folder that no fit keeps, after the next temporary folder was made."""
    before, tempfile.tempdir = tempfile.tempdir, str(path / "temporary")
    try:
        TemporaryFolder().remove()  # the last fit makes none if the killed one had its library in the cache already
    finally:
        tempfile.tempdir = before
    files = (file for file in path.rglob("*") if not file.is_dir())
    return sorted(str(file.relative_to(path)) for file in files if not KEPT.fullmatch(file.name))


def same(one: Any, other: Any, tolerance: float = 0.0) -> bool:
    """Whether two results are equal, to the bit or with a tolerance for floating-point numbers."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name], tolerance) for name in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(same(a, b, tolerance) for a, b in zip(one, other, strict=True))
    if tolerance and isinstance(one, (float, np.ndarray)) and np.asarray(one).dtype.kind == "f":
        return np.shape(one) == np.shape(other) and np.allclose(one, other, tolerance, tolerance, equal_nan=True)
    return bool(np.array_equal(one, other))


class Tally:
    """What many killed fits have shown."""

    def __init__(self) -> None:
        self.fits = self.different = 0
        self.kills, self.left = Counter[str](), list[str]()

    def add(self, job: Job, fit: Killed, equal: bool) -> None:
        """Count a fit, and print it where something was wrong."""
        self.fits += 1
        self.different += not equal
        self.kills.update(fit.phases)
        self.left += fit.left
        if fit.left or not equal:
            print(f"{job.__name__}, killed {'; '.join(fit.phases)}: {'equal' if equal else 'different'}", *fit.left)

    def text(self) -> str:
        """The figures as JSON."""
        figures = {"fits": self.fits, "kills": self.kills.total(), "different": self.different}
        return json.dumps({**figures, "files left": len(self.left), "where": self.kills})


def kill_many(jobs: Sequence[Job], seed: int, kills: int, how: int = signal.SIGKILL) -> Tally:
    """Fits of the jobs in turn until so many kills have hit one; each is compared with one that nobody killed."""
    random, tally = np.random.default_rng(seed), Tally()
    undisturbed = {job.__name__: reference(job) for job in jobs}
    while tally.kills.total() < kills:
        job = jobs[tally.fits % len(jobs)]
        fit = killed(job, undisturbed[job.__name__].seconds, random, how)
        tally.add(job, fit, same(fit.result, undisturbed[job.__name__].result))
    return tally


if __name__ == "__main__":
    found = kill_many(JOBS, *map(int, sys.argv[1:]))
    print(found.text())
    raise SystemExit(bool(found.different or found.left))
