"""The product of matrices that NumPy itself is linked to, as addresses that compiled code calls."""

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np


class Blas(NamedTuple):
    """The addresses of ``cblas_sgemm`` and ``cblas_dgemm`` with 64-bit integers, and the library they are in."""

    sgemm: int
    dgemm: int
    name: str


# OpenBLAS as NumPy's wheels have it, and as systems do. The integers are C's, whatever those of the products are.
_AFFIXES = (("scipy_", "64_"), ("", "64_"), ("", "_64"), ("", ""))


@cache
def find() -> Blas | None:
    """NumPy's own, looked up through the extension module that is linked to it; None where there is none."""
    library = _library()
    for before, after in (("scipy_", "64_"), ("", "64_"), ("", "_64"), ("", "$NEWLAPACK$ILP64")):
        single, double = (getattr(library, f"{before}cblas_{kind}gemm{after}", None) for kind in "sd")
        if single and double and _works(single, ctypes.c_float) and _works(double, ctypes.c_double):
            sgemm, dgemm = (ctypes.cast(one, ctypes.c_void_p).value or 0 for one in (single, double))
            return Blas(sgemm, dgemm, f"{before}cblas_?gemm{after}")
    return None


def _works(gemm: Any, real: Any) -> bool:
    """Whether a small product comes out right."""
    whole, pointer = ctypes.c_int64, ctypes.c_void_p
    gemm.argtypes = [ctypes.c_int] * 3 + [whole] * 3 + [real, pointer, whole, pointer, whole, real, pointer, whole]
    gemm.restype = None
    kind = np.dtype(real)
    a, b, c = np.arange(6, dtype=kind), np.arange(12, dtype=kind), np.zeros(8, dtype=kind)
    gemm(101, 111, 111, 2, 4, 3, 1, a.ctypes.data, 3, b.ctypes.data, 4, 0, c.ctypes.data, 4)
    return bool(np.array_equal(c, [20, 23, 26, 29, 56, 68, 80, 92]))


def _library() -> ctypes.CDLL:
    """NumPy's extension module, through which the symbols of the libraries it is linked to are seen."""
    return ctypes.CDLL(import_module("numpy._core._multiarray_umath").__file__)


@cache
def _thread_functions() -> tuple[Callable[[], int], Callable[[int], Any]] | None:
    """How to read and set the number of threads of NumPy's OpenBLAS; None for another library."""
    library = _library()
    for before, after in _AFFIXES:
        names = [f"{before}openblas_{verb}_num_threads{after}" for verb in ("get", "set")]
        get, put = (getattr(library, name, None) for name in names)
        if get is not None and put is not None:
            get.restype, get.argtypes = ctypes.c_int, []
            put.restype, put.argtypes = None, [ctypes.c_int]
            return get, put
    return None


class _OneThread:
    """How many callers need BLAS on one thread, and how many threads it had before the first of them."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self.lock, self.callers, self.before = threading.Lock(), 0, 1

    def change(self, by: int) -> None:
        """Count a caller in (1) or out (-1): the first sets one thread, the last puts back what was."""
        functions = _thread_functions()
        if functions is None:
            return
        get, put = functions
        with self.lock:
            if not self.callers:
                self.before = get()
            self.callers += by
            first_in, last_out = by > 0 and self.callers == 1, self.callers == 0
            if self.before != 1 and (first_in or last_out):
                put(1 if first_in else self.before)

    def forget(self) -> None:
        """In a forked process, which has none of its parent's other threads."""
        functions, callers, before = _thread_functions(), self.callers, self.before
        self._reset()
        if callers and before != 1 and functions is not None:
            functions[1](before)


_ONE_THREAD = _OneThread()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ONE_THREAD.forget)


@contextmanager
def single_threaded() -> Iterator[None]:
    """BLAS on the calling thread only, until the end of the context.

    The setting is the process's: callers are counted, and the last one out puts back what the first one found. Its
    threads wait by spinning, so that with a busy process beside them small products take many times as long.
    """
    _ONE_THREAD.change(1)
    try:
        yield
    finally:
        _ONE_THREAD.change(-1)
