"""A program's alarm ends a call with the program's own error, wherever it comes: it is not taken for a failure.

Its usual error, TimeoutError, is an OSError, which much code takes for a file that cannot be read or a failed compiler.
"""

import pathlib
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fitting import X, Y, make, state_of
from interrupts import Points
from optional import optional
from processes import needs_fork, needs_instructions

import mlpcore as mc
from mlpcore.backends import library, state_lock
from mlpcore.backends.choice import kept
from mlpcore.backends.choice.choose import setup
from mlpcore.backends.compiled import steps
from mlpcore.backends.precision import switched
from mlpcore.backends.state_lock import StateLock
from mlpcore.compiler import blas, blas_threads, build, pool
from mlpcore.tabular.dependencies import polars_errors
from mlpcore.training import checkpoint_folder
from mlpcore.training.interruption import Interruption

pytestmark = needs_fork  # where there are alarms


class Late(TimeoutError):
    """What a program raises in its handler."""


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    """A program's handler of alarms."""

    def late(*_: Any) -> None:
        raise Late

    before = signal.signal(signal.SIGALRM, late)
    yield
    signal.signal(signal.SIGALRM, before)


def alarm() -> None:
    """The alarm goes off."""
    signal.raise_signal(signal.SIGALRM)


def twice(function: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> Any:
    """What the function returns without an alarm, after it was called with one where it calls ``owner.name``."""
    real, calls = getattr(owner, name), list[str]()

    def call(*arguments: Any, **words: Any) -> Any:
        calls.append(name)
        if len(calls) == 1:
            alarm()
        return real(*arguments, **words)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, call)
        with pytest.raises(Late):
            function()
        assert calls == [name], "the alarm did not come, or the function went on"
        return function()


def network(width: int) -> mc.Sequential:
    """A network with noise; no other test has one of such a width, whose trace would be found."""
    return mc.Sequential(mc.Linear(3, width), mc.Tanh(), mc.Dropout(0.25), mc.Linear(width, 2))


@pytest.mark.parametrize(
    ("width", "place"),
    [(101, (mc.Tanh, "forward")), (102, (steps.TracedNoise, "inputs")), (103, (steps, "cached_trace"))],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_in_the_trace_of_a_step(width: int, place: tuple[Any, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The step is not taken for one that cannot be traced."""
    model, other = make(network(width)), make(network(width))
    twice(lambda: model.fit(X, Y, epochs=2, batch_size=5), monkeypatch, *place)
    other.fit(X, Y, epochs=2, batch_size=5)
    assert str(model.compiled) == str(other.compiled)
    np.testing.assert_equal(state_of(model), state_of(other))


@pytest.mark.oracle
def test_in_the_trace_of_a_step_by_jax(monkeypatch: pytest.MonkeyPatch) -> None:
    """The slower form of the step does not take over."""
    optional("jax")
    model, other = make(network(3), backend="jax"), make(network(3), backend="jax")
    twice(lambda: model.fit(X, Y, epochs=2, batch_size=5), monkeypatch, mc.Tanh, "forward")
    other.fit(X, Y, epochs=2, batch_size=5)
    np.testing.assert_array_equal(model.predict(X), other.predict(X))


def test_in_the_trace_of_a_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is traced the next time."""
    model = make(network(104))
    predicted = twice(lambda: model.predict(X), monkeypatch, mc.Tanh, "forward")
    with monkeypatch.context() as patch:
        patch.setattr(mc.Tanh, "forward", None)
        np.testing.assert_array_equal(model.predict(X), predicted)


@pytest.mark.skipif(build.find_compiler() is None, reason="no C compiler")
def test_while_the_compiler_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is not taken for a compiler that fails, for which NumPy would take over."""
    monkeypatch.setenv("MLPCORE_CACHE_DIR", str(tmp_path))
    library = twice(lambda: build.build("int answer(void) { return 42; }"), monkeypatch, subprocess, "run")
    assert library.answer() == 42


def test_while_a_blas_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next candidate is not taken in its place."""
    assert twice(blas.find.__wrapped__, monkeypatch, blas, "numpy_blas") == blas.find()


def test_while_cores_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hardware thread is not taken for a core."""
    pool._core.cache_clear()
    counted = twice(pool._cores, monkeypatch, pathlib.Path, "read_text")
    pool._core.cache_clear()
    assert counted == pool._cores()


def test_while_a_measurement_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The measurement is not ignored."""
    monkeypatch.setenv("MLPCORE_CACHE_DIR", str(tmp_path))
    assert twice(kept, monkeypatch, pathlib.Path, "exists") == (None, "")


@pytest.mark.parametrize(
    "function", [partial(mc.get_backend, "cupy"), mc.available_backends, setup], ids=["one", "all", "GPU"]
)
def test_while_a_library_is_imported(function: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not taken for one that is broken."""
    monkeypatch.setattr(library, "import_module", lambda _: alarm())
    with pytest.raises(Late):
        function()


def test_while_the_latest_checkpoint_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A fit does not resume from an older one."""
    model = make(network(3))
    model.fit(X, Y, epochs=3, batch_size=5, checkpoint=mc.CheckpointFolder(tmp_path, keep=3))
    paths = checkpoint_folder.candidates(str(tmp_path))
    assert len(paths) > 1
    path, *_ = twice(lambda: checkpoint_folder.first_whole(paths, "here"), monkeypatch, checkpoint_folder, "read")
    assert path == paths[0]


def test_while_a_table_is_read() -> None:
    """The file is not called damaged."""
    optional("polars")
    with pytest.raises(Late), polars_errors("table.csv"):
        alarm()


@needs_instructions
def test_in_the_lock_of_a_state() -> None:
    """Whichever instruction it comes at, also at the end of a context."""
    model = make(network(3))
    predicted = model.predict(X)
    with Points() as points:
        model.predict(X)
    inside = [point for point in points.passes if point[0] == state_lock.__file__]
    assert inside
    for point in inside:
        with pytest.raises(Late), Points(point, 1, alarm):
            model.predict(X)
        assert not model.trainer._lock._readers
        np.testing.assert_array_equal(model.predict(X), predicted)


def ctrl_c() -> Any:
    """The handler of Ctrl-C, and whether a fit would have its own flag for it."""
    own, handler = Interruption(), signal.getsignal(signal.SIGINT)
    with own.noted() as flag:
        return flag is own, handler


@contextmanager
def both(outer: AbstractContextManager, inner: AbstractContextManager) -> Iterator[None]:
    """One context in another."""
    with outer, inner:
        yield


class Switch:
    """A number that a process has once."""

    value = 4

    def read(self) -> int:
        """The number."""
        return self.value

    def write(self, value: int) -> None:
        """Set it."""
        self.value = value

    def add(self, change: Any) -> None:
        """Change it."""
        self.value += change.value


@needs_instructions
@pytest.mark.parametrize(
    "which", ["Ctrl-C", "switch", "tiles", "BLAS", "reading", "writing", "settings", "settings twice"]
)
def test_where_a_context_begins_and_ends(which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it changes is as before, whichever instruction of it the alarm comes at."""
    switch, lock, scope = Switch(), StateLock(), partial(mc.get_backend("numpy").scope, "float32")
    monkeypatch.setattr(pool, "address", lambda: 1)
    monkeypatch.setattr(pool, "_library", lambda: SimpleNamespace(mlpcore_use=switch.add))
    monkeypatch.setattr(blas_threads, "thread_settings", lambda: (blas_threads.Threads(switch.read, switch.write),))
    contexts: dict[str, Callable[[], AbstractContextManager]] = {
        "Ctrl-C": Interruption().shared,
        "switch": partial(switched, switch.read, switch.write, 1),
        "tiles": pool.unused,
        "BLAS": blas_threads.single_threaded,
        "reading": lock.reading,
        "writing": lock.writing,
        "settings": scope,
        "settings twice": lambda: both(scope(), scope()),
    }

    def state() -> Any:
        return np.geterr(), ctrl_c(), switch.value, lock._writing, lock._writers_waiting, dict(lock._readers)

    context, before, number = contexts[which], state(), Counter[Any]()
    with context():
        assert state() != before
    with Points() as points, context():
        pass
    assert state() == before and points.passes
    for point in points.passes.elements():
        number[point] += 1
        with pytest.raises(Late), Points(point, number[point], alarm), context():
            pass
        assert state() == before, point
