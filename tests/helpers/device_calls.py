"""What CuPy asks of CUDA, counted: launches, products, copies, waits, memory. On a card as on the emulated device.

The modules of CuPy call each other's functions through tables of addresses (``__pyx_capi__``), which each reads when it
is imported, or as Python does. Here functions of the runtime, the driver and cuBLAS are replaced in both places by
functions that count and call them: before CuPy itself is imported, so in a process of its own. What one of them raises
gets lost, as C knows no way for it.
"""

import ctypes
import sys
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from typing import Any

from mlpcore.backends.cupy.handle import Cublas

COPIES = {1: "to device", 2: "to host"}  # cudaMemcpyKind; the others are copies on the device
KIND = {"memcpy": 3, "memcpyAsync": 3, "memcpy2D": 6, "memcpy2DAsync": 6}  # the number of the argument that says it
COUNTED = {
    "cupy_backends.cuda.api.runtime": {
        **dict.fromkeys(KIND, "copy"),
        **dict.fromkeys(("memset", "memsetAsync"), "clears"),
        **dict.fromkeys(("deviceSynchronize", "streamSynchronize", "eventSynchronize"), "waits"),
        **dict.fromkeys(("malloc", "mallocAsync", "mallocManaged", "hostAlloc"), "allocations"),
    },
    "cupy_backends.cuda.api.driver": {"launchKernel": "kernels"},
    "cupy_backends.cuda.libs.cublas": dict.fromkeys(
        ("gemmEx", "sgemm", "dgemm", "sgemmEx", "gemmStridedBatchedEx", "sgemmStridedBatched", "dgemmStridedBatched",
         "sgemmBatched", "dgemmBatched", "sgemv", "dgemv"),
        "products",
    ),
}  # fmt: skip
TYPES = {
    "PyObject *": ctypes.py_object, "intptr_t": ctypes.c_ssize_t, "size_t": ctypes.c_size_t, "int": ctypes.c_int,
    "unsigned int": ctypes.c_uint, "PY_LONG_LONG": ctypes.c_longlong, "cudaMemcpyKind": ctypes.c_int,
    "int __pyx_skip_dispatch": ctypes.c_int,
}  # fmt: skip
_kept: list[Any] = []  # what C points to


def counted() -> Counter:
    """The counts of all calls from now on, by what they do."""
    assert "cupy" not in sys.modules, "CuPy has read the tables already"
    counts: Counter = Counter()
    for path, names in COUNTED.items():
        module = import_module(path)
        for name, what in names.items():
            if name in module.__pyx_capi__:
                module.__pyx_capi__[name] = _in_table(module.__pyx_capi__[name], name, what, counts)
            if hasattr(module, name):
                setattr(module, name, _counting(getattr(module, name), name, what, counts))
    for name in ("gemm", "batched_gemm"):  # which call cuBLAS by its address
        setattr(Cublas, name, _counting(getattr(Cublas, name), name, "products", counts))
    return counts


def _counting(function: Callable, name: str, what: str, counts: Counter) -> Callable:
    def call(*arguments: Any) -> Any:
        counts[COPIES.get(arguments[KIND[name]], "copies") if name in KIND else what] += 1
        return function(*arguments)

    return call


def _in_table(capsule: Any, name: str, what: str, counts: Counter) -> Any:
    """A capsule with a function of the same C type that counts and calls the one of this capsule."""
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype, api.PyCapsule_GetName.argtypes = ctypes.c_char_p, [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    api.PyCapsule_New.restype = ctypes.py_object
    api.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    declared = api.PyCapsule_GetName(capsule)
    result, _, given = declared.decode().rstrip(")").partition("(")
    words = [one.strip() for one in given.split(",")]
    kinds = [ctypes.c_void_p if "__pyx_optional_args" in one else TYPES[one] for one in words]
    kind = ctypes.PYFUNCTYPE(TYPES[result.strip()], *kinds)
    function = kind(api.PyCapsule_GetPointer(capsule, declared))
    replaced = kind(_counting(function, name, what, counts))
    _kept.extend((capsule, declared, replaced))
    return api.PyCapsule_New(ctypes.cast(replaced, ctypes.c_void_p), declared, None)
