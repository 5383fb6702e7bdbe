"""Finds the matrix products of the BLAS that NumPy is linked to, as addresses that compiled code calls."""

import ctypes
import re
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from mlpcore.compiler.build import CompilerError
from mlpcore.compiler.gemm import Pair, as_ilp64, loops
from mlpcore.signals import signals_pass

# Prefixes and suffixes of BLAS names, for 64-bit and for 32-bit integers: wheels, Debian, conda, Accelerate.
_ILP64 = (("scipy_", "64_"), ("", "64_"), ("", "_64"), ("", "$NEWLAPACK$ILP64"))
_LP64 = (("scipy_", ""), ("", "$NEWLAPACK"))
_CAPSULE = r"void \(char \*, char \*, int \*, int \*, int \*, (\w+_{0} \*), \1, int \*, \1, int \*, \1, \1, int \*\)"

SCIPY = "scipy.linalg.cython_blas.?gemm"


class Blas(NamedTuple):
    """The addresses of ``cblas_sgemm`` and ``cblas_dgemm``, or functions of that signature, with 64-bit integers."""

    sgemm: int
    dgemm: int
    name: str


@cache
@signals_pass()
def find() -> Blas | None:
    """NumPy's BLAS, else SciPy's, else loops: the first that computes a known product correctly. None if all fail."""
    for candidate in (numpy_blas, scipy_blas, loop_blas):
        try:
            blas = candidate()
        except (CompilerError, ImportError, OSError, AttributeError, KeyError):  # missing, or not as expected
            continue
        if blas is not None:
            return blas
    return None


def numpy_blas() -> Blas | None:
    """The BLAS that NumPy is linked to, looked up through NumPy's extension module."""
    return library_blas(numpy_library(), import_module("numpy.linalg._umath_linalg")._ilp64)


def library_blas(library: ctypes.CDLL, wide: bool) -> Blas | None:
    """The BLAS that a library is linked to; ``wide``: its names without prefix and suffix take 64-bit integers."""
    plain = ("", "")
    for prefix, suffix in (*_ILP64, *_LP64, plain):
        name = f"{prefix}cblas_?gemm{suffix}"
        if not all(hasattr(library, name.replace("?", letter)) for letter in "sd"):
            continue
        functions = [getattr(library, name.replace("?", letter)) for letter in "sd"]
        addresses = Pair(*(ctypes.cast(function, ctypes.c_void_p).value or 0 for function in functions))
        narrow = (prefix, suffix) in _LP64 or ((prefix, suffix) == plain and not wide)
        checked = _checked(as_ilp64("cblas", addresses) if narrow else addresses, name)
        if checked:
            return checked
    return None


def scipy_blas() -> Blas | None:
    """SciPy's BLAS, by the addresses that it exports for Cython, if their declared types are the expected ones."""
    table = import_module("scipy.linalg.cython_blas").__pyx_capi__
    api = ctypes.pythonapi
    name = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", api))
    pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", api))
    addresses = []
    for letter in "sd":
        capsule = table[f"{letter}gemm"]
        if not re.fullmatch(_CAPSULE.format(letter), (name(capsule) or b"").decode()):
            return None
        addresses.append(pointer(capsule, name(capsule)))
    return _checked(as_ilp64("fortran", Pair(*addresses)), SCIPY)


@cache
def scipy_library() -> ctypes.CDLL:
    """SciPy's extension module that is linked to BLAS."""
    return ctypes.CDLL(import_module("scipy.linalg.cython_blas").__file__)


def loop_blas() -> Blas | None:
    """Compiled loops, for machines without a BLAS."""
    return _checked(loops(), "loops")


@cache
def numpy_library() -> ctypes.CDLL:
    """NumPy's extension module, in which the symbols of the libraries that it is linked to can be looked up."""
    return ctypes.CDLL(import_module("numpy._core._multiarray_umath").__file__)


def _checked(addresses: Pair, name: str) -> Blas | None:
    """The functions, if they compute a small product correctly; else None."""
    correct = _works(addresses.single, ctypes.c_float) and _works(addresses.double, ctypes.c_double)
    return Blas(*addresses, name) if correct else None


def _works(address: int, real: Any) -> bool:
    """Whether the function computes a product of a (2, 3) and a (3, 4) matrix correctly."""
    integer, pointer = ctypes.c_int64, ctypes.c_void_p
    types = [ctypes.c_int] * 3 + [integer] * 3 + [real, pointer, integer, pointer, integer, real, pointer, integer]
    gemm = ctypes.CFUNCTYPE(None, *types)(address)
    kind = np.dtype(real)
    a, b, c = np.arange(6, dtype=kind), np.arange(12, dtype=kind), np.zeros(8, dtype=kind)
    gemm(101, 111, 111, 2, 4, 3, 1, a.ctypes.data, 3, b.ctypes.data, 4, 0, c.ctypes.data, 4)
    return bool(np.array_equal(c, [20, 23, 26, 29, 56, 68, 80, 92]))
