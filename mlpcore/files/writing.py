"""Files written whole or not at all, and never over a file that is read."""

import contextlib
import os
import secrets
from collections.abc import Iterable, Mapping

from mlpcore.errors import ConfigurationError, ModelFileError

Path = str | os.PathLike


def replace_file(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write a file of these bytes: beside its place first, and moved there when it is whole and on the disk.

    A link stays, and the file it leads to is replaced. A device or a pipe has no content to lose and is written to.
    """
    if os.path.exists(check_target(path)) and not os.path.isfile(path):
        with open(path, "wb") as stream:
            stream.writelines(parts)
        return
    path = os.path.realpath(path)
    temporary = f"{path}.{secrets.token_hex(4)}.tmp"
    try:
        with open(temporary, "xb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def check_target(path: Path, reads: Mapping[str, Path] | None = None) -> str:
    """``path`` as a text, if a file can be written there; a ModelFileError or FileNotFoundError if not.

    ``reads`` are the files that are read, by what they are called in messages: a ConfigurationError if it is one of
    them, under whatever name.
    """
    name = os.fspath(path)
    if os.path.isdir(name):
        raise ModelFileError(f"{name} is a directory, expected the name of a file")
    if not os.path.isdir(os.path.dirname(os.path.realpath(name))):
        folder = os.path.dirname(os.readlink(name) if os.path.islink(name) else name)
        raise FileNotFoundError(f"there is no directory {folder} to write {name} in")
    for what, other in (reads or {}).items():
        if same_file(name, other):
            raise ConfigurationError(f"{name} is {what}, which would be overwritten; write to a file of another name")
    return name


def same_file(one: Path, other: Path) -> bool:
    """Whether both paths lead to one file, be it by links or by letters whose case the file system ignores."""
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    try:
        return os.path.samefile(one, other)
    except OSError:  # at least one of them is not there yet
        return False
