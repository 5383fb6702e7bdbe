"""The product of matrices that NumPy itself is linked to, as addresses that compiled code calls."""

import ctypes
import re
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from mlpcore.compiler.build import CompilerError
from mlpcore.compiler.gemm import Pair, behind, loops

# What stands before and after a name of BLAS, by the width of its integers: wheels, Debian, conda, Accelerate.
_WIDE = (("scipy_", "64_"), ("", "64_"), ("", "_64"), ("", "$NEWLAPACK$ILP64"))
_NARROW = (("scipy_", ""), ("", "$NEWLAPACK"))
_CAPSULE = r"void \(char \*, char \*, int \*, int \*, int \*, (\w+_{0} \*), \1, int \*, \1, int \*, \1, \1, int \*\)"

SCIPY = "scipy.linalg.cython_blas.?gemm"


class Blas(NamedTuple):
    """The addresses of functions that are called as ``cblas_sgemm`` and ``cblas_dgemm`` with 64-bit integers are."""

    sgemm: int
    dgemm: int
    name: str


@cache
def find() -> Blas | None:
    """NumPy's own, else SciPy's, else loops; each only if it gives a known product. None where nothing can be had."""
    for candidate in (numpys, scipys, printed):
        try:
            found = candidate()
        except (CompilerError, ImportError, OSError, AttributeError, KeyError):  # nothing there, or not as expected
            continue
        if found is not None:
            return found
    return None


def numpys() -> Blas | None:
    """The BLAS that NumPy is linked to, looked up through the extension module that calls it."""
    return linked(numpys_library(), import_module("numpy.linalg._umath_linalg")._ilp64)


def linked(library: ctypes.CDLL, wide: bool) -> Blas | None:
    """The BLAS that a library is linked to; ``wide`` is the width of integers behind names that do not say it."""
    plain = ("", "")
    for before, after in (*_WIDE, *_NARROW, plain):
        name = f"{before}cblas_?gemm{after}"
        if not all(hasattr(library, name.replace("?", letter)) for letter in "sd"):
            continue
        found = [getattr(library, name.replace("?", letter)) for letter in "sd"]
        addresses = Pair(*(ctypes.cast(function, ctypes.c_void_p).value or 0 for function in found))
        narrow = (before, after) in _NARROW or ((before, after) == plain and not wide)
        checked = _checked(behind("cblas", addresses) if narrow else addresses, name)
        if checked:
            return checked
    return None


def scipys() -> Blas | None:
    """SciPy's, by the addresses that it gives to Cython, if the types that it states are the expected ones."""
    table = import_module("scipy.linalg.cython_blas").__pyx_capi__
    api = ctypes.pythonapi
    name = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", api))
    pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", api))
    found = []
    for letter in "sd":
        capsule = table[f"{letter}gemm"]
        if not re.fullmatch(_CAPSULE.format(letter), (name(capsule) or b"").decode()):
            return None
        found.append(pointer(capsule, name(capsule)))
    return _checked(behind("fortran", Pair(*found)), SCIPY)


@cache
def scipys_library() -> ctypes.CDLL:
    """SciPy's extension module that calls BLAS."""
    return ctypes.CDLL(import_module("scipy.linalg.cython_blas").__file__)


def printed() -> Blas | None:
    """Loops."""
    return _checked(loops(), "loops")


@cache
def numpys_library() -> ctypes.CDLL:
    """NumPy's extension module, through which the names of the libraries that it is linked to can be looked up."""
    return ctypes.CDLL(import_module("numpy._core._multiarray_umath").__file__)


def _checked(addresses: Pair, name: str) -> Blas | None:
    """The functions if small products come out right."""
    right = _works(addresses.single, ctypes.c_float) and _works(addresses.double, ctypes.c_double)
    return Blas(*addresses, name) if right else None


def _works(address: int, real: Any) -> bool:
    whole, pointer = ctypes.c_int64, ctypes.c_void_p
    types = [ctypes.c_int] * 3 + [whole] * 3 + [real, pointer, whole, pointer, whole, real, pointer, whole]
    gemm = ctypes.CFUNCTYPE(None, *types)(address)
    kind = np.dtype(real)
    a, b, c = np.arange(6, dtype=kind), np.arange(12, dtype=kind), np.zeros(8, dtype=kind)
    gemm(101, 111, 111, 2, 4, 3, 1, a.ctypes.data, 3, b.ctypes.data, 4, 0, c.ctypes.data, 4)
    return bool(np.array_equal(c, [20, 23, 26, 29, 56, 68, 80, 92]))
