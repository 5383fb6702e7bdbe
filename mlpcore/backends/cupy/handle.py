"""cuBLAS called by address: CuPy's own wrapper refuses products while a stream is captured; cuBLAS itself does not."""

import ctypes
import sys
import threading
from importlib import import_module
from typing import Any

INTEGER, POINTER, STEP = ctypes.c_int, ctypes.c_void_p, ctypes.c_longlong
SIZES = [POINTER, *[INTEGER] * 5, POINTER]  # handle, transposes, m, n, k, alpha
RESULT = [POINTER, POINTER, INTEGER, INTEGER]  # beta, result, its type, its leading dimension
MATRIX = [POINTER, INTEGER, INTEGER]  # address, type, leading dimension
END = [INTEGER, INTEGER]  # computation, algorithm
SIGNATURES = {
    "cublasGemmEx": [*SIZES, *MATRIX, *MATRIX, *RESULT, *END],
    "cublasGemmStridedBatchedEx": [*SIZES, *MATRIX, STEP, *MATRIX, STEP, *RESULT, STEP, INTEGER, *END],
    "cublasSetStream_v2": [POINTER, POINTER],
}


class Cublas:
    """The products of cuBLAS on the current device and stream of CuPy; each thread has handles of its own."""

    def __init__(self, cupy: Any) -> None:
        self.cupy, self.module = cupy, import_module("cupy_backends.cuda.libs.cublas")  # which loads the library
        major = cupy.cuda.runtime.runtimeGetVersion() // 1000
        self.library = ctypes.CDLL(f"cublas64_{major}.dll" if sys.platform == "win32" else f"libcublas.so.{major}")
        for name, arguments in SIGNATURES.items():
            getattr(self.library, name).argtypes = arguments
        self.own = threading.local()

    def handle(self) -> ctypes.c_void_p:
        """The handle of this thread for the current device, set to the current stream."""
        handles = self.own.__dict__.setdefault("handles", {})
        device = self.cupy.cuda.runtime.getDevice()
        if device not in handles:
            created = ctypes.c_void_p()
            self.check(self.library.cublasCreate_v2(ctypes.byref(created)))
            handles[device] = created
        stream = self.cupy.cuda.get_current_stream().ptr
        self.check(self.library.cublasSetStream_v2(handles[device], stream))
        return handles[device]

    def gemm(self, *arguments: Any) -> None:
        """cublasGemmEx, without its handle."""
        self.check(self.library.cublasGemmEx(self.handle(), *arguments))

    def batched_gemm(self, *arguments: Any) -> None:
        """cublasGemmStridedBatchedEx, without its handle."""
        self.check(self.library.cublasGemmStridedBatchedEx(self.handle(), *arguments))

    def check(self, status: int) -> None:
        """CuPy's error for a status that is not 0."""
        if status:
            raise self.module.CUBLASError(status)
