"""A program's alarm ends a call with the program's own error, wherever it comes: it is not taken for a failure.

Its usual error, TimeoutError, is an OSError, which much code takes for a file that cannot be read or a failed compiler.
"""

import os
import pathlib
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from alarms import Late, alarm, handled
from fitting import X, Y, make, state_of, with_extras
from optional import optional
from processes import needs_fork

import mlpcore as mc
from mlpcore.backends import NAMES, library
from mlpcore.backends.choice import kept
from mlpcore.backends.choice.choose import setup
from mlpcore.backends.compiled import steps
from mlpcore.backends.transfer import is_shared
from mlpcore.compiler import blas, build, pool
from mlpcore.files import writing
from mlpcore.files.writing import check_target, same_file
from mlpcore.host_memory import host_memory
from mlpcore.stacks.members import member_checkpoint
from mlpcore.tabular.dependencies import polars_errors
from mlpcore.tabular.reading import read_table
from mlpcore.training import checkpoint_folder

pytestmark = needs_fork  # where there are alarms


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    """A program's handler of alarms."""
    with handled():
        yield


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


def test_while_the_memory_of_the_host_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not taken for unknown."""
    assert twice(host_memory, monkeypatch, pathlib.Path, "read_text") == host_memory()


def test_while_an_array_is_asked_for_its_device() -> None:
    """It is not taken for one that cannot be shared."""
    with pytest.raises(Late):
        is_shared(SimpleNamespace(__dlpack_device__=alarm), with_extras(mc.get_backend("numpy"), dlpack_device=(1, 0)))


def test_while_a_measurement_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The measurement is not ignored."""
    monkeypatch.setenv("MLPCORE_CACHE_DIR", str(tmp_path))
    assert twice(kept, monkeypatch, pathlib.Path, "exists") == (None, "")


OPENED = {name: partial(mc.get_backend, name) for name in NAMES if name != "numpy"}


@pytest.mark.parametrize(
    "function", [*OPENED.values(), mc.available_backends, setup], ids=[*OPENED, "all", "what a GPU is"]
)
def test_while_a_library_is_imported(function: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not taken for one that is broken."""
    monkeypatch.setattr(library, "import_module", lambda _: alarm())
    with pytest.raises(Late):
        function()


def trained(folder: Path) -> mc.Model:
    """A model whose last checkpoints are in a folder."""
    model = make(network(3))
    model.fit(X, Y, epochs=3, batch_size=5, checkpoint=mc.CheckpointFolder(folder, keep=3))
    return model


def test_while_the_latest_checkpoint_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A fit does not resume from an older one."""
    trained(tmp_path)
    paths = checkpoint_folder.candidates(str(tmp_path))
    assert len(paths) > 1
    path, *_ = twice(lambda: checkpoint_folder.first_whole(paths, "here"), monkeypatch, checkpoint_folder, "read")
    assert path == paths[0]


PATHS: dict[str, Callable[[mc.Model, Path], Any]] = {
    "save": lambda model, folder: model.save(folder / "model"),
    "target": lambda model, folder: check_target(folder / "model"),
    "same": lambda model, folder: same_file(folder, folder / "model"),
    "table": lambda model, folder: read_table(str(folder / "table.npz")),
    "folder": lambda model, folder: mc.CheckpointFolder(folder).make(),
    "resume": lambda model, folder: make(network(3)).fit(X, Y, epochs=3, batch_size=5, resume=folder),
    "member": lambda model, folder: member_checkpoint(folder, 1),
}


@pytest.mark.parametrize("what", PATHS)
def test_while_a_path_is_looked_at(what: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is not taken for one where nothing is."""
    model = trained(tmp_path)
    np.savez(tmp_path / "table.npz", x=X)
    twice(lambda: PATHS[what](model, tmp_path), monkeypatch, os, "lstat" if what == "same" else "stat")


def test_while_a_file_is_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A pipe is not taken for a file that is missing."""
    monkeypatch.setattr(writing, "check_target", os.fspath)
    twice(lambda: writing.replace_file(tmp_path / "file", [b"bytes"]), monkeypatch, os, "stat")


def test_while_a_table_is_read() -> None:
    """The file is not called damaged."""
    optional("polars")
    with pytest.raises(Late), polars_errors("table.csv"):
        alarm()
