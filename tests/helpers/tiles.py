"""The threads on which compiled code runs the tiles of a phase."""

import ctypes
import threading
import time
from typing import Any

from mlpcore.compiler import pool


def threads_of_tiles() -> set[int]:
    """The threads that run the tiles of a phase."""
    seen: set[int] = set()

    @ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
    def phase(_: Any, tile: int) -> None:
        seen.add(threading.get_ident())
        time.sleep(0.005)

    run = ctypes.CFUNCTYPE(None, type(phase), ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(pool.address() or 0)
    run(phase, None, 20, 2)
    return seen
