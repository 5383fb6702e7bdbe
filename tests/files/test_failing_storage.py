"""Saving on storage that fails: at any call, with any error or a crash, the path holds a whole file."""

import errno
import io
import os
import shutil
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlpcore as mc
from mlpcore import temporary
from mlpcore.files import writing
from mlpcore.files.tensors import kind_of, read
from mlpcore.training import checkpoint_folder

X = np.linspace(-1, 1, 60).reshape(20, 3)
Y = X.sum(axis=1, keepdims=True)


class Crash(BaseException):
    """The process ended here: nothing after it happens, no cleaning up either."""


class Storage:
    """The calls that reach the disk when a file is written, counted; the one of number ``failing`` fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, failing: int = -1, error: str = "") -> None:
        self.failing, self.error, self.count, self.dead = failing, error, 0, False
        names = "open", "close", "fsync", "replace", "unlink"
        faulty = {name: self.call(getattr(os, name)) for name in names}
        for module in (writing, temporary, checkpoint_folder):
            monkeypatch.setattr(module, "os", types.SimpleNamespace(**vars(os) | faulty))
        monkeypatch.setattr(temporary, "open", self.open, raising=False)

    def call(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, before which the storage may fail."""

        def counted(*words: Any) -> Any:
            self.step()
            return function(*words)

        return counted

    def step(self, half: Callable[[], Any] = lambda: None) -> None:
        """Count a call; where it fails, ``half`` of it has been done."""
        self.count += 1
        if self.dead:
            raise Crash
        if self.count - 1 == self.failing:
            half()
            if self.error == "crash":
                self.dead = True
                raise Crash
            raise OSError(getattr(errno, self.error), os.strerror(getattr(errno, self.error)))

    def open(self, path: str, mode: str, opener: Any) -> Any:
        self.step()
        storage, file = self, io.FileIO(path, mode.replace("b", ""))

        class File(io.FileIO):
            """A file without a buffer, whose every write may fail half-way."""

            def __init__(self) -> None:
                super().__init__(os.dup(file.fileno()), "w")
                self.name = path

            def writelines(self, parts: Any) -> None:
                for part in parts:
                    self.write(part)

            def write(self, part: Any) -> int:
                storage.step(lambda: super(File, self).write(bytes(part)[: len(part) // 2]))
                return super().write(part)

            def flush(self) -> None:
                storage.step()

        opened = File()
        file.close()
        return opened


def model(seed: int) -> mc.Model:
    net = mc.Sequential(mc.Linear(3, 5), mc.Tanh(), mc.Linear(5, 1))
    return mc.Model(net, mc.HalfSquaredError(), mc.Adam(0.01), seed=seed)


def save_model(path: Path) -> None:
    model(seed=2).save(path)


def save_checkpoint(path: Path) -> None:
    other = model(seed=1)
    other.fit(X, Y, epochs=2, checkpoint=path, resume=path)


def begin_model(path: Path) -> None:
    model(seed=1).save(path)


def begin_checkpoint(path: Path) -> None:
    model(seed=1).fit(X, Y, epochs=1, checkpoint=path)


def content(path: Path) -> Any:
    """What a file holds, without the measured speed in a checkpoint; an error unless it is whole."""
    if kind_of(path) == "model":
        return path.read_bytes()
    about, tensors = read(path, "checkpoint")
    rows = [{name: value for name, value in row.items() if name != "rows_per_second"} for row in about["history"]]
    return about["progress"], rows, {name: tensor.tobytes() for name, tensor in tensors.items()}


CASES = {"model": (begin_model, save_model), "checkpoint": (begin_checkpoint, save_checkpoint)}


@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EDQUOT", "crash"])
@pytest.mark.parametrize("name", CASES)
def test_a_failure_at_any_call_leaves_a_whole_file(name: str, error: str, tmp_path: Path) -> None:
    """All of the previous file or of the new one; and after an error, which is raised, nothing beside it."""
    begin, save = CASES[name]
    before, after = tmp_path / "before", tmp_path / "after"
    begin(before)
    after.write_bytes(before.read_bytes())
    save(after)
    previous, old, new = before.read_bytes(), content(before), content(after)
    assert old != new
    with pytest.MonkeyPatch.context() as patch:
        storage = Storage(patch)
        after.write_bytes(previous)
        save(after)
    assert content(after) == new and storage.count >= 9
    for failing in range(storage.count):
        folder = tmp_path / str(failing)
        folder.mkdir()
        path = folder / "file"
        path.write_bytes(previous)
        with pytest.MonkeyPatch.context() as patch:
            storage = Storage(patch, failing, error)
            try:
                save(path)
            except (OSError, Crash) as raised:
                assert error == "crash" or getattr(raised, "errno", None) == getattr(errno, error)
            else:
                raise AssertionError(f"call {failing} failed, and nothing was said")
        assert content(path) in (old, new), failing
        assert error == "crash" or os.listdir(folder) == ["file"], failing
        if name == "checkpoint":  # and what is there can be resumed, to the same end
            save(path)
            assert content(path) == new


@pytest.mark.parametrize("error", ["ENOSPC", "crash"])
def test_a_failure_at_any_call_loses_no_checkpoint_of_a_folder(error: str, tmp_path: Path) -> None:
    """The one that was the latest is still there, or a later one is; a fit that resumes ends as if nothing had been."""

    def fit(model: mc.Model, run: Path, epochs: int = 4) -> mc.Model:
        folder = mc.CheckpointFolder(run, keep=1, best=True, every_steps=1)
        model.fit(X, Y, epochs=epochs, batch_size=8, checkpoint=folder, resume=folder)
        return model

    expected = fit(model(seed=1), tmp_path / "whole").predict(X)
    fit(model(seed=1), tmp_path / "begun", epochs=1)
    with pytest.MonkeyPatch.context() as patch:
        storage = Storage(patch)
        shutil.copytree(tmp_path / "begun", tmp_path / "counted")
        fit(model(seed=1), tmp_path / "counted", epochs=2)
    assert storage.count >= 40
    for failing in range(storage.count):
        run = tmp_path / str(failing)
        shutil.copytree(tmp_path / "begun", run)
        with pytest.MonkeyPatch.context() as patch, pytest.raises((OSError, Crash)):
            Storage(patch, failing, error)
            fit(model(seed=1), run, epochs=2)
        if error != "crash":
            assert all(name.endswith(".safetensors") for name in os.listdir(run)), failing
        resumed = fit(model(seed=1), run)
        np.testing.assert_array_equal(resumed.predict(X), expected)


WITH_A_LIMIT = """
import resource, signal, sys
import numpy as np
import mlpcore as mc

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
net = mc.Sequential(mc.Linear(3, 5), mc.Tanh(), mc.Linear(5, 1))
model = mc.Model(net, mc.HalfSquaredError(), seed=2)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    model.save(sys.argv[1])
except OSError as error:
    print(error.errno)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of the size of files")
@pytest.mark.parametrize("limit", [0, 1, 100, 1000])
def test_writes_that_the_system_cuts_short(limit: int, tmp_path: Path) -> None:
    """The system itself writes what fits below the limit, then refuses the rest."""
    path = tmp_path / "file"
    begin_model(path)
    previous = path.read_bytes()
    command = [sys.executable, "-c", WITH_A_LIMIT, str(path), str(limit)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == str(errno.EFBIG), run.stderr
    assert path.read_bytes() == previous and os.listdir(tmp_path) == ["file"]


def test_a_folder_that_cannot_be_synced_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EINVAL, "folders cannot be synced here")

    monkeypatch.setattr(os, "fsync", refuse)
    begin_model(tmp_path / "file")
    assert mc.load(tmp_path / "file")
