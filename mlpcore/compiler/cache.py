"""The folder in which compiled libraries are kept between processes. Whatever is wrong with it, nothing here raises."""

import atexit
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from pathlib import Path

DAY = 86400.0  # seconds
KEPT = 30 * DAY  # since a library was last used
ZIG = "mlpcore-zig"  # what zig keeps for itself: some 50 MB, made by its first compilation in 4.5 s
_PRUNED = "mlpcore-pruned"  # its time is that of the last pruning
_LIBRARY = re.compile(r"[0-9a-f]{32}-[0-9a-f]{32}\.so")  # the key and the digest of the content
_ASIDE = re.compile(r"mlpcore-\w+\.part")  # a file that is being written


def configured() -> Path:
    """The folder that is meant: ``MLPCORE_CACHE_DIR``, else the user's cache folder as the platform has it."""
    given = os.environ.get("MLPCORE_CACHE_DIR")
    if given:
        return Path(os.path.abspath(os.path.expanduser(given)))
    from platformdirs import user_cache_path  # here, as most processes never compile

    try:
        return user_cache_path("mlpcore")
    except RuntimeError:  # neither HOME nor the list of users says where the home directory is
        return Path("mlpcore")


def refusal(folder: Path) -> str | None:
    """Why libraries are not kept in this folder, which is made if it is missing; None if all is well."""
    if not folder.is_absolute():  # what `configured`, or an older platformdirs, gives without a home directory
        return "the user has no home directory"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        real = folder.resolve()
        foreign = _foreign(real.stat())
        if foreign:
            return foreign
        for parent in real.parents:
            mode = parent.stat().st_mode
            if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
                return f"others may replace it, for they may write in {parent}"
        return None if os.access(real, os.W_OK | os.X_OK) else "it is read-only"
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        return getattr(error, "strerror", None) or str(error)


def _foreign(status: os.stat_result) -> str | None:
    """What lets others decide over a file or folder."""
    if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
        return "it belongs to another user"
    return "others may write there" if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) else None


def folder() -> Path | None:
    """The folder to use: the configured one, else a private one until the process ends; None where none can be had."""
    with suppress(Exception):  # whatever the environment holds: that a step is compiled once more is all that is lost
        meant = configured()
        if refusal(meant) is None:
            return meant
    return _private(os.getpid())


@cache
def _private(process: int) -> Path | None:
    """A temporary folder of this process; after a fork the child has its own."""
    try:
        path = Path(tempfile.mkdtemp(prefix="mlpcore-"))
    except OSError:
        return None
    atexit.register(_leave, process, path)
    return path


def _leave(process: int, path: Path) -> None:
    """Remove the folder at the end of the process that made it."""
    if os.getpid() == process:
        shutil.rmtree(path, ignore_errors=True)


def digest(data: bytes) -> str:
    """32 hexadecimal digits."""
    return blake2b(data, digest_size=16).hexdigest()


def find(key: str) -> Path | None:
    """The whole and undamaged library that was kept under the key. Damaged ones are removed: loading one may crash."""
    for path in _entries():
        if not (path.name.startswith(f"{key}-") and _LIBRARY.fullmatch(path.name)):
            continue
        with suppress(OSError):
            if not _foreign(path.lstat()) and digest(path.read_bytes()) == path.stem.partition("-")[2]:
                if time.time() - path.stat().st_mtime > DAY:
                    os.utime(path)
                return path
            path.unlink()
    return None


def keep(key: str, data: bytes) -> None:
    """Keep a library under the key, for this user only. It is written aside first, so that nobody finds half of it."""
    place = folder()
    if place is None:
        return
    aside = None
    with suppress(OSError):
        descriptor, aside = tempfile.mkstemp(prefix="mlpcore-", suffix=".part", dir=place)
        with open(descriptor, "wb") as file:
            file.write(data)
        os.chmod(aside, 0o700)
        os.replace(aside, place / f"{key}-{digest(data)}.so")
        aside = None
    with suppress(OSError):
        if aside is not None:
            os.unlink(aside)
        _prune(place)


def usage() -> tuple[int, int]:
    """How many libraries are kept, and the bytes of all that mlpcore keeps in the folder."""
    number = size = 0
    for path in _entries():
        number += bool(_LIBRARY.fullmatch(path.name))
        with suppress(OSError):
            size += sum(file.stat().st_size for file in (path, *path.rglob("*")))
    return number, size


def clear() -> None:
    """Remove what mlpcore has written into the folder, and nothing else."""
    for path in _entries():
        _remove(path)


def zig_folder() -> Path | None:
    """Where zig may keep what it needs."""
    place = folder()
    if place is None:
        return None
    path = place / ZIG
    with suppress(OSError):
        path.mkdir(mode=0o700, exist_ok=True)
        os.utime(path)
    return path


def _entries() -> Iterator[Path]:
    """What is in the folder by names that mlpcore gives, in the order of the names."""
    place = folder()
    names: list[str] = []
    with suppress(OSError):
        names = sorted(os.listdir(place)) if place else []
    for name in names:
        if _LIBRARY.fullmatch(name) or _ASIDE.fullmatch(name) or name in (ZIG, _PRUNED):
            yield Path(place or "", name)


def _prune(place: Path) -> None:
    """Remove what was not used for long, at most once a day."""
    mark, now = place / _PRUNED, time.time()
    if mark.exists() and now - mark.stat().st_mtime < DAY:
        return
    mark.touch(mode=0o600)
    for path in _entries():
        with suppress(OSError):
            if now - path.stat().st_mtime > KEPT:
                _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
