"""The threads on which compiled code runs the tiles of a phase, and how many of them are busy at once."""

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


def busy_threads(callers: int, threads: int, tiles: int = 30) -> list[int]:
    """While so many callers run a phase at once: for each tile, how many tiles run when it begins.

    Only from when all have come, as each runs tiles itself, and those tiles have ended that ran then.
    """
    lock, ready = threading.Lock(), threading.Barrier(callers)
    running, seen, waiting, began = 0, list[int](), set[int](), 0

    @ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
    def phase(_: Any, tile: int) -> None:
        nonlocal running, began
        with lock:
            running += 1
            if threading.get_ident() in waiting:
                waiting.remove(threading.get_ident())
                began = len(seen)
            seen.append(running)
        time.sleep(0.005)
        with lock:
            running -= 1

    run = ctypes.CFUNCTYPE(None, type(phase), ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(pool.address() or 0)

    def call() -> None:
        waiting.add(threading.get_ident())
        ready.wait()
        run(phase, None, tiles, threads)

    calls = [threading.Thread(target=call) for _ in range(callers)]
    for one in calls:
        one.start()
    for one in calls:
        one.join()
    return seen[began + 2 * threads :]
