"""CuPy as the device of printed programs."""

from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from typing import Any

import numpy as np

from mlpcore.backends.cupy.cublas import Gemm, prepared
from mlpcore.compiler.cuda.device import Device
from mlpcore.compiler.cuda.schedule import BLOCK

# Without contraction the sums and products of a formula round as on the host. CuPy adds -ftz=true and the architecture.
OPTIONS = ("--std=c++17", "--fmad=false")


def printed_device(cupy: Any) -> Device:
    """What printed programs need of CuPy, on the current device and stream."""
    view = cupy.lib.stride_tricks.as_strided

    @cache
    def kernel(code: str, name: str) -> Callable[[int, tuple[Any, ...]], None]:
        compiled = cupy.RawKernel(code, name, options=OPTIONS)
        return lambda blocks, arguments: compiled((blocks,), (BLOCK,), arguments)

    call = gemm(cupy)

    def copy(source: Any, target: Any) -> None:
        target[...] = source

    return Device(
        kernel=kernel,
        put=cupy.asarray,
        empty=lambda count, dtype: cupy.empty(count, dtype),
        view=lambda x, offset, shape, strides: view(x[offset:], shape, [one * x.itemsize for one in strides]),
        product=lambda a, b, out, precision: prepared(a, b, out, partial(call, precision)),
        copy=copy,
        clear=lambda target: target.fill(0),
    )


def gemm(cupy: Any) -> Callable[[str, Gemm], Callable[[], None]]:
    """``call(precision, arguments)`` prepares a product of cuBLAS, on the device and stream that are current when it is
    done. Factors of "bfloat16" are bits as uint16."""
    cublas, runtime = import_module("cupy_backends.cuda.libs.cublas"), cupy.cuda.runtime
    handle = cupy.cuda.device.get_cublas_handle
    kinds = {"float32": runtime.CUDA_R_32F, "float64": runtime.CUDA_R_64F, "uint16": runtime.CUDA_R_16BF}
    numbers = {
        dtype: np.array([1, 0], dtype) for dtype in ("float32", "float64")
    }  # factors of the product and of before
    sums = {"highest": cublas.CUBLAS_COMPUTE_32F, "tf32": cublas.CUBLAS_COMPUTE_32F_FAST_TF32}

    def call(precision: str, product: Gemm) -> Callable[[], None]:
        first, second, out = ((x.data.ptr, kinds[str(x.dtype)]) for x in product.matrices)
        one, zero = (number.ctypes.data for number in numbers[str(product.matrices[2].dtype)].reshape(2, 1))
        wide = str(product.matrices[2].dtype) == "float64"
        how = cublas.CUBLAS_COMPUTE_64F if wide else sums.get(precision, cublas.CUBLAS_COMPUTE_32F)
        (a, b, c), (s, t, u), end = product.leading, product.strides, (how, cublas.CUBLAS_GEMM_DEFAULT)
        begin = *product.transposes, *product.sizes, one
        words: tuple[Any, ...] = (*begin, *first, a, *second, b, zero, *out, c, *end)
        if product.number != 1:
            words = (*begin, *first, a, s, *second, b, t, zero, *out, c, u, product.number, *end)
        function = cublas.gemmEx if product.number == 1 else cublas.gemmStridedBatchedEx
        owners = product.matrices, numbers

        def run() -> None:
            _ = owners  # what the addresses are of lives as long as the call may come
            function(handle(), *words)

        return run

    return call
