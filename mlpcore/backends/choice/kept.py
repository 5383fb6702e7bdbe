"""The measurement that is kept in the cache folder. Nothing in that file can make a program fail."""

import os
import stat
from functools import lru_cache
from pathlib import Path

from mlpcore.backends.choice.measurement import Measurement, Unusable, parsed
from mlpcore.signals import signals_pass

MOST_BYTES = 1 << 20


@signals_pass()
def kept() -> tuple[Measurement | None, str]:
    """The measurement and ""; else None and the reason: "" if there is no file, or why it is ignored."""
    from mlpcore.compiler.cache import CROSSOVER, configured, refusal  # imported when first used

    try:
        path = configured() / CROSSOVER
        if not path.is_absolute() or not path.exists():  # a link to nowhere is no file either
            return None, ""
        refused = refusal(path.parent)
        if refused:
            return None, f"the measurement in {path.parent} is ignored, as {refused}"
        return _measurement(_content(path)), ""
    except OSError as error:
        return None, f"the measurement is ignored, as it cannot be read: {error.strerror or error}"
    except Unusable as error:
        return None, f"the measurement {path} is ignored: {error}"


def _content(path: Path) -> bytes:
    """The bytes of the file; Unusable unless it is a small plain file in which no other user can write."""
    from mlpcore.compiler.cache import foreign_access

    # Without waiting for the other end, if it is a pipe.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with open(os.open(path, flags), "rb") as file:
        status = os.fstat(file.fileno())
        foreign = foreign_access(status)
        if not stat.S_ISREG(status.st_mode) or foreign:
            raise Unusable(foreign or "it is no plain file")
        if status.st_size > MOST_BYTES:
            raise Unusable(f"it has more than {MOST_BYTES} bytes")
        return file.read(MOST_BYTES)


@lru_cache(maxsize=4)
def _measurement(data: bytes) -> Measurement:
    return parsed(data)
