"""What cannot fit into memory is refused before anything changes, and what is refused could not have run."""

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fitting import PLAIN, X, Y, make, state_of, with_extras
from shortages import same

import mlpcore as mc
from mlpcore import host_memory
from mlpcore.backends import get_backend

MIB = 1 << 20


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A function that gives the host so many bytes."""
    monkeypatch.setattr(host_memory, "SMALL", 0)

    def set_limit(most: int) -> None:
        monkeypatch.setattr(host_memory, "host_memory", lambda: most)

    return set_limit


# --- how much there is


def folders(root: Path, monkeypatch: pytest.MonkeyPatch, groups: str, files: dict[str, str]) -> None:
    """What Linux says under /proc and /sys: 100 kB of memory, 20 kB of swap."""
    files = {"proc/meminfo": "MemTotal: 100 kB\nSwapTotal: 20 kB\n", "proc/self/cgroup": groups, **files}
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.setattr(host_memory, "PROC", root / "proc")
    monkeypatch.setattr(host_memory, "CGROUPS", root / "cgroups")
    monkeypatch.setattr(host_memory, "_of_process", lambda: iter(()))


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("", {}, 120 << 10),
        ("0::/\n", {}, 120 << 10),
        ("0::/a/b\n", {"a/b/memory.max": "max\n", "a/b/memory.swap.max": "0\n"}, 120 << 10),
        ("0::/a/b\n", {"a/b/memory.max": "max\n", "a/memory.max": "5000\n", "a/memory.swap.max": "max"}, 5000 + 20480),
        ("0::/a\n", {"a/memory.max": "5000\n", "a/memory.swap.max": "700\n"}, 5700),
        ("4:cpu,memory:/a\n0::/\n", {"memory/a/memory.limit_in_bytes": "5000\n"}, 5000 + 20480),
        (
            "4:memory:/a\n",
            {"memory/memory.limit_in_bytes": "5000\n", "memory/memory.memsw.limit_in_bytes": "6000"},
            6000,
        ),
        ("4:cpuset:/a\n", {"memory/a/memory.limit_in_bytes": "5000\n"}, 120 << 10),
    ],
)
def test_the_least_limit_of_all_counts(
    groups: str, files: dict[str, str], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders(tmp_path, monkeypatch, groups, {f"cgroups/{name}": text for name, text in files.items()})
    assert host_memory.host_memory() == expected


def test_where_nothing_is_known_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_memory, "PROC", tmp_path)
    assert host_memory.host_memory() is None
    host_memory.refuse("everything", 1 << 60, "")


def test_this_machine_has_some() -> None:
    most = host_memory.host_memory()
    assert most is None or most > 100 * MIB


# --- what is refused, by numbers that are lower bounds


@pytest.mark.parametrize("ema", [None, 0.9])
@pytest.mark.parametrize(("optimizer", "vectors"), [(mc.SGD(0.1), 1), (mc.SGD(0.1, momentum=0.9), 2), (mc.Adam(), 3)])
def test_a_model_is_refused_by_its_vectors(
    optimizer: Any, vectors: int, ema: float | None, limit: Callable[[int], None]
) -> None:
    """Before anything is allocated: on the host by the tree and the vector, on a device by all vectors."""
    net = mc.Sequential(mc.Linear(4000, 4000), mc.ReLU(), mc.Linear(4000, 1))
    count = 4001 * 4000 + 4001
    device = with_extras(get_backend("numpy"), free_memory=lambda: (vectors + (ema is not None)) * count * 4 - 1)
    tracemalloc.start()
    with pytest.raises(mc.OutOfMemoryError, match=rf"{vectors + (ema is not None)} vectors .* of {count:,} numbers"):
        mc.Model(net, mc.SquaredError(), optimizer, ema=ema, backend=device)
    limit(2 * 8 * count - 1)
    with pytest.raises(mc.OutOfMemoryError, match=r"16,008,001 parameters of 8 bytes, twice.*dtype='float32'"):
        mc.Model(net, mc.SquaredError(), optimizer, ema=ema, dtype="float64")
    assert tracemalloc.get_traced_memory()[1] < MIB
    tracemalloc.stop()


def test_a_fit_is_refused_by_what_it_writes(limit: Callable[[int], None]) -> None:
    model = make(PLAIN)
    before = state_of(model)
    needed = sum(leaf.nbytes for leaf in before.values()) - 2 * 8 + 10 * (3 + 2 + 1) * 8  # epoch and step are no arrays
    limit(needed - 1)
    with pytest.raises(mc.OutOfMemoryError, match=r"training writes of the model .*a batch of 10 rows .*batch_size"):
        model.fit(X, Y, batch_size=10)
    assert same(before, state_of(model))
    limit(needed)
    with pytest.raises(
        mc.OutOfMemoryError, match="are there in all, in epoch 1, after step 0"
    ):  # what comes next; see below
        model.fit(X, Y, batch_size=10, epochs=1)


@pytest.mark.parametrize("compiled", [True, False])
def test_a_step_is_refused_by_its_temporary_arrays(compiled: bool, limit: Callable[[int], None]) -> None:
    """And a smaller batch runs, as the message says."""
    wide = mc.Sequential(mc.Linear(3, 2000), mc.Tanh(), mc.Linear(2000, 2))
    x, y = np.ones((2000, 3)), np.ones((2000, 2))
    model = make(wide, optimizer=mc.SGD(0.1), compile=compiled)
    before = state_of(model)
    limit(10 * MIB)
    with pytest.raises(
        mc.OutOfMemoryError, match=r"in all, in epoch 1, after step 0.*2000 rows takes.*try half the batch_size"
    ):
        model.fit(x, y, batch_size=2000)
    assert same(before, state_of(model))
    model.fit(x, y, batch_size=100, epochs=1)


def test_rows_are_refused_where_their_copy_cannot_fit(limit: Callable[[int], None]) -> None:
    model = make(PLAIN, dtype="float32")
    rows = np.broadcast_to(np.zeros(1), (60 * MIB, 3))  # not one of these is in memory
    limit(60 * MIB * 3 * 4 - 1)
    for call in (lambda: model.predict(rows), lambda: model.fit(rows, Y)):
        with pytest.raises(mc.OutOfMemoryError, match=r"rows of shape .* as float32.*mmap_mode"):
            call()


# --- in a process of its own, whose memory is measured and limited

PROGRAM = """
import resource, sys
import numpy as np
import mlpcore as mc
from mlpcore import host_memory
from mlpcore.compiler import memory
from mlpcore.training import refusal

case, limit = sys.argv[1], int(sys.argv[2])
host_memory.SMALL = refusal.SMALL = 0
asked = []

def noted(what, needed, remedy):
    asked.append(needed)
    if limit >= 0:
        host_memory.refuse(what, needed, remedy)

def checked(needed):
    asked.append(needed)

memory.check, refusal.refuse = checked, noted

def now(name):
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith(name))

net = mc.Sequential(mc.Linear(64, 2048), mc.Tanh(), mc.Linear(2048, 8))
def model(net=net, **words):
    return mc.Model(net, mc.SquaredError(), mc.Adam(1e-3), **words)

def fit(compiled):
    fitted = model(compile=compiled)
    x, y = np.ones((8192, 64), "float32"), np.ones((8192, 8), "float32")
    fitted.fit(x[:64], y[:64], epochs=1, batch_size=64)  # what is imported and compiled is not counted
    return lambda: fitted.fit(x, y, epochs=1, batch_size=8192)

def rows():
    small = model()
    small.predict(np.ones((8, 64)))
    table = np.broadcast_to(np.ones(1), (1 << 19, 64))
    return lambda: mc.training.ingest.stored_rows(table, small.backend, "float32")

make = {
    "model": lambda: (model(mc.Linear(8, 8)), lambda: model(mc.Linear(4096, 4096)))[1],
    "large model": lambda: lambda: model(mc.Linear(1 << 15, 1 << 15)),
    "C": lambda: fit(True),
    "NumPy calls": lambda: fit(False),
    "rows": rows,
}[case]()
asked.clear()
before = now("VmRSS")
if limit:
    resource.setrlimit(resource.RLIMIT_AS, (now("VmSize") + abs(limit),) * 2)
try:
    open("/proc/self/clear_refs", "w").write("5")  # the peak is that from here on
except OSError:
    pass
try:
    kept = make()
    print("done", max(asked), now("VmHWM") - before)
except MemoryError as error:
    print("refused" if "can have at most" in str(error) else "failed", max(asked), error)
"""


def run(case: str, limit: int = 0) -> tuple[str, int, str]:
    """How a case ends, the largest number of bytes that it asked for, and its peak of memory or its error.

    With a ``limit`` the process can have so many bytes more, with a negative one it has them, and nothing is refused.
    """
    words = [sys.executable, "-W", "ignore", "-c", PROGRAM, case, str(limit)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    how, asked, said = done.stdout.split(maxsplit=2)
    return how, int(asked), said


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells a process its peak of memory")
@pytest.mark.parametrize("case", ["model", "C", "NumPy calls", "rows"])
def test_what_is_asked_for_is_really_used(case: str) -> None:
    how, asked, peak = run(case)
    assert how == "done" and asked > 20 * MIB
    assert int(peak) >= 0.99 * asked, "more would be refused than could not run"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
def test_what_is_refused_fails_without_the_refusal() -> None:
    """8 GiB for a process that can have a few hundred MiB more than it has."""
    how, asked, said = run("large model", 300 * MIB)
    assert how == "refused" and asked == 2 * 4 * (1 << 15) * ((1 << 15) + 1), said
    assert "Nothing was changed" in said
    how, _, said = run("large model", -300 * MIB)
    assert how == "failed" and said.startswith("out of memory on the host: "), said
