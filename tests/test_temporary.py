"""Temporary files: a later process removes what a killed one has left, and nothing that another uses."""

import os
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from processes import needs_fork

from mlpcore import temporary
from mlpcore.temporary import TemporaryFolder, replacement

pytestmark = needs_fork


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def write(path: Path, text: bytes) -> None:
    with replacement(str(path), str(path)) as file:
        file.write(text)


def killed_within(make: Callable[[], Any]) -> None:
    """A process that is killed within the context that it makes."""
    child = os.fork()
    if not child:
        with make():
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


def test_many_kills_leave_one_file_and_the_next_write_none(folder: Path) -> None:
    path = folder / "file"
    for _ in range(5):
        killed_within(lambda: replacement(str(path), str(path)))
    assert os.listdir(folder) == ["file.0.tmp"]
    write(path, b"new")
    assert os.listdir(folder) == ["file"] and path.read_bytes() == b"new"


def test_a_file_in_use_is_left_alone(folder: Path) -> None:
    path = folder / "file"
    with replacement(str(path), str(path)) as first:
        first.write(b"first")
        write(path, b"second")
        assert sorted(os.listdir(folder)) == ["file", "file.0.tmp"] and path.read_bytes() == b"second"
    assert os.listdir(folder) == ["file"] and path.read_bytes() == b"first"


def test_what_cannot_be_removed_is_passed_over(folder: Path) -> None:
    """A directory, a link to a file elsewhere, and files where there are no locks."""
    (folder / "file.0.tmp").mkdir()
    (folder / "file.1.tmp").symlink_to(folder / "elsewhere")
    (folder / "elsewhere").write_bytes(b"kept")
    write(folder / "file", b"new")
    assert sorted(os.listdir(folder)) == ["elsewhere", "file", "file.0.tmp", "file.1.tmp"]
    (folder / "file.2.tmp").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(temporary, "fcntl", None)
        write(folder / "file", b"newer")
    assert (folder / "file.2.tmp").exists() and (folder / "file").read_bytes() == b"newer"
    assert (folder / "elsewhere").read_bytes() == b"kept"


def test_folders_of_killed_processes_go_with_the_next(folder: Path) -> None:
    used = TemporaryFolder()
    for _ in range(3):
        killed_within(TemporaryFolder)
    with TemporaryFolder() as path:
        assert sorted(os.listdir(folder)) == sorted(map(os.path.basename, (used.path, path)))
    used.remove()
    assert os.listdir(folder) == []


def test_a_folder_without_a_lock_goes_after_an_hour(folder: Path) -> None:
    for name, age in (("mlpcore-aaaaaaaa", 4000), ("mlpcore-bbbbbbbb", 60), ("other-aaaaaaaa", 4000)):
        (folder / name).mkdir()
        os.utime(folder / name, (os.stat(folder).st_mtime - age,) * 2)
    TemporaryFolder().remove()
    assert sorted(os.listdir(folder)) == ["mlpcore-bbbbbbbb", "other-aaaaaaaa"]
