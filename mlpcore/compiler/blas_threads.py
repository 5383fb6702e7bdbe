"""The number of threads of BLAS: one, while somebody wants it so."""

import ctypes
import os
import threading
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from mlpcore.compiler.blas import SCIPY, find, numpys_library, scipys_library

# What stands before and after the names of OpenBLAS: wheels of NumPy and SciPy, Debian, others.
_OPENBLAS = (("scipy_", "64_"), ("scipy_", ""), ("", "64_"), ("", "_64"), ("", ""))


class Threads(NamedTuple):
    """How the number of threads of one BLAS library is read and set; it is one number for the whole process."""

    get: Callable[[], int]
    set: Callable[[int], Any]


@cache
def thread_settings() -> tuple[Threads, ...]:
    """Those of NumPy's BLAS and of the one that `find` took: OpenBLAS, MKL and BLIS have such functions.

    Accelerate's setting is said to be one of each thread, and whatever else there is stays as it is too. An OpenBLAS
    that is built on OpenMP has a number for every thread: here that of the thread which comes in first is set.
    """
    found = find()
    libraries = [numpys_library()]
    if found and found.name == SCIPY:
        libraries.append(scipys_library())
    names = [(f"{b}openblas_get_num_threads{a}", f"{b}openblas_set_num_threads{a}") for b, a in _OPENBLAS]
    names += [("MKL_Get_Max_Threads", "MKL_Set_Num_Threads")]
    names += [("bli_thread_get_num_threads", "bli_thread_set_num_threads")]
    settings = []
    for library in libraries:
        for get, put in names:
            if hasattr(library, get) and hasattr(library, put):
                reader, writer = getattr(library, get), getattr(library, put)
                whole = ctypes.c_int64 if get.startswith("bli_") else ctypes.c_int
                reader.argtypes, reader.restype, writer.argtypes, writer.restype = [], whole, [whole], None
                settings.append(Threads(reader, writer))
                break
    return tuple(settings)


class _Calls(threading.local):
    """How many of the contexts of `single_threaded` this thread is in."""

    depth = 0


_mine, _lock, _inside = _Calls(), threading.Lock(), 0
_saved: list[int] = []


class _SingleThreaded:  # a class, as a generator takes twice the time
    """The context of `single_threaded`."""

    def __enter__(self) -> None:
        global _inside
        settings = thread_settings()
        with _lock:
            if _inside == 0:
                _saved[:] = [one.get() for one in settings]
                for one in settings:
                    one.set(1)
            _inside += 1
            _mine.depth += 1

    def __exit__(self, *error: object) -> None:
        global _inside
        with _lock:
            _inside -= 1
            _mine.depth -= 1
            if _inside == 0:
                _restore()


_context = _SingleThreaded()


def single_threaded() -> _SingleThreaded:
    """A context in which BLAS works on the calling threads alone, until the last thread that is in it has left it."""
    return _context


def _restore() -> None:
    for one, number in zip(thread_settings(), _saved, strict=True):
        if number > 0:  # older BLIS says -1 for a number that was never set
            one.set(number)


def _after_fork() -> None:
    """The thread that forked is the only one in the child: the others will not leave."""
    global _inside
    before, _inside = _inside, _mine.depth
    if before and not _inside:
        _restore()
    _lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_after_fork)
