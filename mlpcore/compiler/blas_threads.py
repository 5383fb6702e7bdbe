"""Limits BLAS to one thread during calls that ask for it."""

import ctypes
import os
import threading
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from mlpcore.compiler.blas import SCIPY, find, numpy_library, scipy_library
from mlpcore.signals import ended, ends_with

# Prefixes and suffixes of OpenBLAS names: wheels of NumPy and SciPy, Debian, others.
_OPENBLAS = (("scipy_", "64_"), ("scipy_", ""), ("", "64_"), ("", "_64"), ("", ""))


class Threads(NamedTuple):
    """Reads and sets the number of threads of one BLAS library, which is one number for the whole process."""

    get: Callable[[], int]
    set: Callable[[int], Any]


@cache
def thread_settings() -> tuple[Threads, ...]:
    """The functions that read and set the thread count of NumPy's BLAS, and of SciPy's if `find` chose it.

    OpenBLAS, MKL and BLIS export such functions. Accelerate documents its setting as one per thread; it and other
    libraries are left unchanged. An OpenBLAS that is built on OpenMP keeps one number per thread; only the number of
    the first calling thread is set.
    """
    blas = find()
    libraries = [numpy_library()]
    if blas and blas.name == SCIPY:
        libraries.append(scipy_library())
    names = [
        (f"{prefix}openblas_get_num_threads{suffix}", f"{prefix}openblas_set_num_threads{suffix}")
        for prefix, suffix in _OPENBLAS
    ]
    names += [("MKL_Get_Max_Threads", "MKL_Set_Num_Threads")]
    names += [("bli_thread_get_num_threads", "bli_thread_set_num_threads")]
    settings = []
    for library in libraries:
        for get, put in names:
            if hasattr(library, get) and hasattr(library, put):
                reader, writer = getattr(library, get), getattr(library, put)
                integer = ctypes.c_int64 if get.startswith("bli_") else ctypes.c_int
                reader.argtypes, reader.restype, writer.argtypes, writer.restype = [], integer, [integer], None
                settings.append(Threads(reader, writer))
                break
    return tuple(settings)


_lock = threading.RLock()  # entered anew where a lost context ends within it
_open: dict[int, int] = {}  # the numbers of the contexts that threads are in, with the numbers of these threads
_saved: list[int] = []  # the thread counts from before the first of them


class _SingleThreaded:  # a class, because a generator takes twice the time
    """The context of `single_threaded`."""

    def __enter__(self) -> None:
        settings = thread_settings()
        ends_with(self, _leave, id(self))
        with _lock:
            if not _open:
                _saved[:] = [setting.get() for setting in settings]
            _open[id(self)] = threading.get_ident()
            if len(_open) == 1:
                for setting in settings:
                    setting.set(1)

    def __exit__(self, *error: object) -> None:
        _leave(id(self))
        ended(self)


def _leave(number: int) -> None:
    """Leave a context, unless it was not entered or is left. A lost one may be left meanwhile, by this thread."""
    with _lock:
        if number in _open:
            restored = len(_open) == 1
            if restored:
                _restore()
            del _open[number]
            if not (_open or restored):
                _restore()


def single_threaded() -> _SingleThreaded:
    """A context in which BLAS runs on the calling thread only.

    The thread count is one number for the whole process, so it is restored when the last thread leaves the context.
    """
    return _SingleThreaded()


def _restore() -> None:
    for setting, number in zip(thread_settings(), _saved, strict=True):
        if number > 0:  # older BLIS returns -1 for a number that was never set
            setting.set(number)


def _after_fork() -> None:
    """In a forked child only the forking thread exists, so only its contexts count."""
    before, thread = len(_open), threading.get_ident()
    for number in [number for number, other in _open.items() if other != thread]:
        del _open[number]
    if before and not _open:
        _restore()
    _lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_after_fork)
