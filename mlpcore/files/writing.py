"""Writes files completely or not at all, and never over a file that is an input."""

import errno
import os
from collections.abc import Iterable, Mapping

from mlpcore.errors import ConfigurationError, ModelFileError
from mlpcore.signals import signals_pass
from mlpcore.temporary import replacement

Path = str | os.PathLike[str]


@signals_pass()
def replace_file(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write bytes to a temporary file in the same directory, and rename it when it is complete and on disk.

    Whenever an error, a crash or a power failure comes, the path has all of the previous file or all of the new one. A
    symbolic link is kept, and its target replaced. A device or a pipe is written to directly. The temporary file that a
    killed process has left goes with the next write of the path, see `mlpcore.temporary`.
    """
    if os.path.exists(check_target(path)) and not os.path.isfile(path):
        with open(path, "wb") as stream:
            stream.writelines(parts)
        return
    path = os.path.realpath(path)
    with replacement(path, path) as file:
        file.writelines(parts)
    _sync_folder(os.path.dirname(path))


def _sync_folder(folder: str) -> None:
    """Write a folder to disk, so that a file's new name outlasts a power failure; not where that is impossible."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # of file systems whose folders cannot be synced
            raise
    finally:
        os.close(descriptor)


@signals_pass()  # Python's own questions about paths take an OSError for "no"
def check_target(path: Path, reads: Mapping[str, Path] | None = None) -> str:
    """``path`` as a string, if a file can be written there; ModelFileError or FileNotFoundError if not.

    ``reads`` maps the names of input files in messages to their paths: ConfigurationError if ``path`` is one of them,
    also by a link.
    """
    name = os.fspath(path)
    if os.path.isdir(name):
        raise ModelFileError(f"{name} is a directory, expected the name of a file")
    if not os.path.isdir(os.path.dirname(os.path.realpath(name))):
        folder = os.path.dirname(os.readlink(name) if os.path.islink(name) else name)
        raise FileNotFoundError(f"there is no directory {folder} to write {name} in; make it first")
    for role, other in (reads or {}).items():
        if same_file(name, other):
            raise ConfigurationError(f"{name} is {role}, which would be overwritten; write to a file of another name")
    return name


@signals_pass()
def same_file(first: Path, second: Path) -> bool:
    """Whether two paths are the same file, also by links and by case on file systems that ignore it."""
    if os.path.realpath(first) == os.path.realpath(second):
        return True
    try:
        return os.path.samefile(first, second)
    except OSError:  # at least one of them does not exist
        return False
