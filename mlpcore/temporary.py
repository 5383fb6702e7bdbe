"""Temporary files and folders; those that a killed process has left are removed by the next that makes such.

Who makes one holds a lock, which the system releases at the end of the process, however it ends. What nobody has locked
is a leftover. Where there are no such locks (Windows, some network file systems) leftovers stay.
"""

import contextlib
import os
import re
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterator
from functools import partial
from itertools import count
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_OPEN = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # not a link, and never waiting
_FOLDER = re.compile(r"mlpcore-\w{8}")
_LOCK = "in-use"  # the file in a temporary folder that is locked
_HOUR = 3600.0  # seconds; for a folder whose process was killed before it had a locked file


@contextlib.contextmanager
def replacement(path: str, stem: str, mode: int = 0o666) -> Iterator[BinaryIO]:
    """A file to write that takes the place of ``path`` when the context ends, complete and on disk.

    Until then its name is ``stem.N.tmp``, in the same directory, with the smallest N that is not in use. After an error
    it is removed, and the path is as before. ``mode`` are its permissions, of which the umask takes some away.
    """
    with _new_file(stem, mode) as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if os.name == "nt":  # where a file that is open can be neither renamed nor removed
                file.close()
            os.replace(file.name, path)  # while it is locked, else another process may take it for a leftover
        except BaseException:
            with contextlib.suppress(OSError):
                if os.name == "nt":
                    file.close()
                os.unlink(file.name)
            raise


def _new_file(stem: str, mode: int) -> BinaryIO:
    """The new file ``stem.N.tmp`` with the smallest N that is not in use; it is in use until it is closed."""
    for number in count():
        path = f"{stem}.{number}.tmp"
        while True:
            try:
                file = open(path, "xb", opener=partial(os.open, mode=mode))  # noqa: SIM115  # the caller closes it
            except FileExistsError:
                if not remove_unused(path):
                    break
                continue
            # Another process may have taken it for a leftover before it was locked.
            if _locked(file.fileno()) is not False and _is(file.fileno(), path):
                return file
            file.close()
    raise AssertionError("there are more numbers")


class TemporaryFolder:
    """A new folder at ``path`` for this user alone; removed by `remove`, with this object, or at the process's end."""

    def __init__(self) -> None:
        _remove_leftovers()
        self.path = tempfile.mkdtemp(prefix="mlpcore-")
        locks: list[int] = []
        self._remove = weakref.finalize(self, _remove_folder, self.path, locks, os.getpid())
        locks.append(os.open(os.path.join(self.path, _LOCK), _CREATE, 0o600))
        _locked(locks[0])

    def __enter__(self) -> str:
        return self.path

    def __exit__(self, *error: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Remove the folder with all that is in it; nothing where it is removed already."""
        self._remove()


def _remove_folder(path: str, locks: list[int], process: int) -> None:
    """Remove a folder if this is the process that has made it, not a fork of it."""
    if os.getpid() == process:
        shutil.rmtree(path, ignore_errors=True)
    for descriptor in locks:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def _remove_leftovers() -> None:
    """Remove this user's temporary folders of processes that are no more."""
    entries: list[os.DirEntry[str]] = []
    with contextlib.suppress(OSError), os.scandir(tempfile.gettempdir()) as found:
        entries = [entry for entry in found if _FOLDER.fullmatch(entry.name)]
    for entry in entries:
        with contextlib.suppress(OSError):
            facts = entry.stat(follow_symlinks=False)
            if not entry.is_dir(follow_symlinks=False) or facts.st_uid != getattr(os, "geteuid", int)():
                continue
            lock = os.path.join(entry.path, _LOCK)
            dead = remove_unused(lock) if os.path.lexists(lock) else time.time() - facts.st_mtime > _HOUR
            for _ in range(10 if dead else 0):  # again where a compiler that has outlived its process still writes
                shutil.rmtree(entry.path, ignore_errors=True)


def remove_unused(path: str) -> bool:
    """Remove a file that nobody has locked; whether it is gone."""
    try:
        descriptor = os.open(path, _OPEN)
    except OSError as error:
        return isinstance(error, FileNotFoundError)
    try:
        if not _locked(descriptor):
            return False
        if _is(descriptor, path):
            os.unlink(path)
        return True
    except OSError:  # it may not be removed
        return False
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool | None:
    """Lock a file: False where another has locked it, None where there are no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is(descriptor: int, path: str) -> bool:
    """Whether an open file is the one at the path."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except OSError:
        return False
