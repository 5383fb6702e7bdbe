"""The cache of compiled libraries on disk. No function here raises, whatever is wrong with the folder."""

import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from mlpcore.temporary import TemporaryFolder, replacement

DAY = 86400.0  # seconds
MAX_AGE = 30 * DAY  # since a library was last used
ZIG = "mlpcore-zig"  # zig's own cache: some 50 MB, written by its first compilation in 4.5 s
CROSSOVER = "mlpcore-crossover.json"  # what `mlpcore crossover` has measured; no age makes it useless
_PRUNED = "mlpcore-pruned"  # its modification time is that of the last pruning
_LIBRARY = re.compile(r"[0-9a-f]{32}-[0-9a-f]{32}\.so")  # the key and the digest of the content
_PART = "mlpcore-part"  # how names of files begin that are being written
_TEMPORARY = re.compile(rf"{_PART}\.\d+\.tmp|mlpcore-\w+\.part")  # the second: before December 2026


def configured() -> Path:
    """The configured folder: ``MLPCORE_CACHE_DIR``, else the platform's cache folder of the user."""
    directory = os.environ.get("MLPCORE_CACHE_DIR")
    if directory:
        return Path(os.path.abspath(os.path.expanduser(directory)))
    from platformdirs import user_cache_path  # imported here, as most processes never compile

    try:
        return user_cache_path("mlpcore")
    except RuntimeError:  # neither HOME nor the user database has a home directory
        return Path("mlpcore")


def refusal(folder: Path) -> str | None:
    """The reason why libraries are not stored in this folder, which is created if missing; None if they are."""
    if not folder.is_absolute():  # the result of `configured`, or of an older platformdirs, without a home directory
        return "the user has no home directory"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        real = folder.resolve()
        foreign = foreign_access(real.stat())
        if foreign:
            return foreign
        for parent in real.parents:
            mode = parent.stat().st_mode
            if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
                return f"other users may replace it, as they may write in {parent}"
        return None if os.access(real, os.W_OK | os.X_OK) else "it is read-only"
    except (OSError, RuntimeError) as error:  # RuntimeError: a cycle of symbolic links
        return getattr(error, "strerror", None) or str(error)


def foreign_access(status: os.stat_result) -> str | None:
    """The reason why other users could change a file or folder; None if they cannot."""
    if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
        return "it belongs to another user"
    return "other users may write there" if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) else None


def folder() -> Path | None:
    """The folder to use: the configured one, else a temporary one of this process; None if neither can be used."""
    with suppress(Exception):  # an error here only costs another compilation
        chosen = configured()
        if refusal(chosen) is None:
            return chosen
    private = _private(os.getpid())
    return None if private is None else Path(private.path)


@cache
def _private(process: int) -> TemporaryFolder | None:
    """A temporary folder, removed when this process ends; a forked child gets its own."""
    with suppress(OSError):
        return TemporaryFolder()
    return None


def digest(data: bytes) -> str:
    """The BLAKE2 digest of some bytes, 32 hexadecimal digits."""
    return blake2b(data, digest_size=16).hexdigest()


def open_library(key: str) -> BinaryIO | None:
    """The library with this key, open for reading, or None. Those that are damaged are removed, as loading could crash.

    What is checked is the open file, so that it cannot be replaced between the check and its use: it is a plain file of
    this user's, in which no other can write, in a folder of which that is true, and has the digest in its name.
    """
    directory = folder()
    if directory is None:
        return None
    with suppress(OSError):
        place = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if foreign_access(os.fstat(place)) is None:
                names = sorted(name for name in os.listdir(place) if name.startswith(f"{key}-"))
                for name in filter(_LIBRARY.fullmatch, names):
                    file = _open_whole(directory / name, place)
                    if file is not None:
                        return file
                    with suppress(OSError):
                        os.unlink(name, dir_fd=place)
        finally:
            os.close(place)
    return None


def _open_whole(path: Path, place: int) -> BinaryIO | None:
    """The library in the open folder ``place``, if it is whole and only this user can change it."""

    def opener(_: str, flags: int) -> int:
        # No link is followed, and a pipe is not waited for.
        return os.open(path.name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place)

    with suppress(OSError):
        file = open(path, "rb", opener=opener)  # noqa: SIM115  # the caller closes it
        status = os.fstat(file.fileno())
        plain = stat.S_ISREG(status.st_mode) and not foreign_access(status)
        if plain and digest(file.read()) == path.stem.partition("-")[2]:
            if time.time() - status.st_mtime > DAY:
                os.utime(file.fileno())
            return file
        file.close()
    return None


def forget(key: str) -> None:
    """Remove the libraries with this key: one that cannot be loaded, as it was made for another system."""
    for path in _entries():
        if path.name.startswith(f"{key}-") and _LIBRARY.fullmatch(path.name):
            _remove(path)


def keep(key: str, data: bytes) -> None:
    """Store a library under the key, readable by this user only. It is written to a temporary file and renamed."""
    directory = folder()
    if directory is None:
        return
    with suppress(OSError):
        path = directory / f"{key}-{digest(data)}.so"
        with replacement(str(path), str(directory / _PART), 0o700) as file:
            file.write(data)
    with suppress(OSError):
        _prune(directory)


def usage() -> tuple[int, int]:
    """The number of libraries in the cache, and the bytes of all its files."""
    number = size = 0
    for path in _entries():
        number += bool(_LIBRARY.fullmatch(path.name))
        with suppress(OSError):
            size += sum(file.stat().st_size for file in (path, *path.rglob("*")))
    return number, size


def clear() -> None:
    """Remove all files that mlpcore has written into the folder, and nothing else."""
    for path in _entries():
        _remove(path)


def zig_folder() -> Path | None:
    """The folder of zig's own cache; None where none can be made."""
    directory = folder()
    if directory is None:
        return None
    path = directory / ZIG
    with suppress(OSError):
        path.mkdir(mode=0o700, exist_ok=True)
        if foreign_access(path.lstat()):  # planted while others could write in the folder
            return None
        os.utime(path)
    return path


def _entries() -> Iterator[Path]:
    """The files in the folder that mlpcore has written, recognised by their names, sorted."""
    directory = folder()
    names: list[str] = []
    with suppress(OSError):
        names = sorted(os.listdir(directory)) if directory else []
    for name in names:
        if _LIBRARY.fullmatch(name) or _TEMPORARY.fullmatch(name) or name in (ZIG, CROSSOVER, _PRUNED):
            yield Path(directory or "", name)


def _prune(directory: Path) -> None:
    """Remove libraries that were not used for `MAX_AGE`, at most once a day."""
    mark, current_time = directory / _PRUNED, time.time()
    if mark.exists() and current_time - mark.stat().st_mtime < DAY:
        return
    mark.touch(mode=0o600)
    for path in _entries():
        with suppress(OSError):
            if path.name != CROSSOVER and current_time - path.stat().st_mtime > MAX_AGE:
                _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
