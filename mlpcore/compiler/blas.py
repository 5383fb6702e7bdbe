"""The product of matrices that NumPy itself is linked to, as addresses that compiled code calls."""

import ctypes
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np


class Blas(NamedTuple):
    """The addresses of ``cblas_sgemm`` and ``cblas_dgemm`` with 64-bit integers, and the library they are in."""

    sgemm: int
    dgemm: int
    name: str


@cache
def find() -> Blas | None:
    """NumPy's own, looked up through the extension module that is linked to it; None where there is none."""
    library = ctypes.CDLL(import_module("numpy._core._multiarray_umath").__file__)
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
