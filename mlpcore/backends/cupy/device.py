"""CuPy as the device on which printed programs run."""

from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from typing import Any

import numpy as np

from mlpcore.backends.cupy.capture import capture
from mlpcore.backends.cupy.copies import read_together
from mlpcore.backends.cupy.cublas import Gemm, prepared
from mlpcore.backends.cupy.cublaslt import CublasLt
from mlpcore.backends.cupy.handle import Cublas
from mlpcore.compiler.cuda.device import Device
from mlpcore.compiler.cuda.schedule import BLOCK
from mlpcore.errors import ConfigurationError

# Without fused multiply-add, formulas round as on the host. CuPy itself adds -ftz=true and the architecture.
OPTIONS = ("--std=c++17", "--fmad=false")
STATIC_BYTES = 2048  # of shared memory that printed kernels declare
SHARED_BYTES = 48 * 1024 - STATIC_BYTES  # of dynamic shared memory that a kernel may have without an attribute


def printed_device(cupy: Any) -> Device:
    """The functions of CuPy that printed programs need, on the current device and stream."""
    view = cupy.lib.stride_tricks.as_strided

    @cache
    def compiled(code: str, name: str) -> Any:
        return cupy.RawKernel(code, name, options=OPTIONS)

    def kernel(code: str, name: str, shared: int) -> Callable[[int, int, tuple[Any, ...]], None]:
        function = compiled(code, name)
        _ = function.kernel  # compiled and loaded on this device now, not between two kernels that write the state
        if shared > SHARED_BYTES:
            allow(cupy, function, shared)
        return lambda blocks, members, arguments: function((blocks, members), (BLOCK,), arguments, shared_mem=shared)

    cublas, cublaslt = _libraries(cupy)
    call = gemm(cupy, cublas)

    def copy(source: Any, target: Any) -> None:
        target[...] = source

    return Device(
        kernel=kernel,
        put=cupy.asarray,
        empty=lambda count, dtype: cupy.empty(count, dtype),
        view=lambda x, offset, shape, strides: view(x[offset:], shape, [stride * x.itemsize for stride in strides]),
        product=lambda a, b, out, precision: prepared(a, b, out, partial(call, precision)),
        copy=copy,
        clear=lambda target: target.fill(0),
        read=read_together(cupy),
        address=lambda x: x.data.ptr,
        capture=None if cublas is None else partial(capture, cupy),
        fused_product=None if cublaslt is None else cublaslt.prepare,
    )


def allow(cupy: Any, kernel: Any, shared: int) -> None:
    """Let a kernel have so much dynamic shared memory on the current device; ConfigurationError if that has less."""
    device = cupy.cuda.Device()
    most = device.attributes["MaxSharedMemoryPerBlockOptin"]
    if shared + STATIC_BYTES > most:
        raise ConfigurationError(
            f"compile='one kernel': the kernel takes {shared + STATIC_BYTES} bytes of shared memory, and "
            f"cuda:{device.id} has {most} for a block; leave out compile"
        )
    kernel.max_dynamic_shared_size_bytes = shared


def _libraries(cupy: Any) -> tuple[Cublas | None, CublasLt | None]:
    """cuBLAS and cuBLASLt by address, None where its usual name is not found: CuPy's wrapper has products too."""
    cublas = None
    try:
        cublas = Cublas(cupy)
        return cublas, CublasLt(cupy, cublas.check)
    except OSError:
        return cublas, None


def gemm(cupy: Any, own: Cublas | None) -> Callable[[str, Gemm], Callable[[], None]]:
    """A function ``call(precision, product)``, which prepares a product of cuBLAS and returns a function that runs it.

    It runs on the device and stream that are then current. Factors of "bfloat16" are uint16 arrays of their bits.
    """
    cublas, runtime = import_module("cupy_backends.cuda.libs.cublas"), cupy.cuda.runtime
    handle = cupy.cuda.device.get_cublas_handle
    single, batched = (
        (own.gemm, own.batched_gemm)
        if own is not None
        else (
            lambda *words: cublas.gemmEx(handle(), *words),
            lambda *words: cublas.gemmStridedBatchedEx(handle(), *words),
        )
    )
    kinds = {"float32": runtime.CUDA_R_32F, "float64": runtime.CUDA_R_64F, "uint16": runtime.CUDA_R_16BF}
    # cuBLAS's alpha and beta: the factors of the product, and of the previous values of the result.
    numbers = {dtype: np.array([1, 0], dtype) for dtype in ("float32", "float64")}
    sums = {"highest": cublas.CUBLAS_COMPUTE_32F, "tf32": cublas.CUBLAS_COMPUTE_32F_FAST_TF32}

    def call(precision: str, product: Gemm) -> Callable[[], None]:
        first, second, out = ((x.data.ptr, kinds[str(x.dtype)]) for x in product.matrices)
        alpha, beta = (number.ctypes.data for number in numbers[str(product.matrices[2].dtype)].reshape(2, 1))
        wide = str(product.matrices[2].dtype) == "float64"
        arithmetic = cublas.CUBLAS_COMPUTE_64F if wide else sums.get(precision, cublas.CUBLAS_COMPUTE_32F)
        (a, b, c), (s, t, u), end = product.leading, product.strides, (arithmetic, cublas.CUBLAS_GEMM_DEFAULT)
        begin = *product.transposes, *product.sizes, alpha
        arguments: tuple[Any, ...] = (*begin, *first, a, *second, b, beta, *out, c, *end)
        if product.number != 1:
            arguments = (*begin, *first, a, s, *second, b, t, beta, *out, c, u, product.number, *end)
        owners = product.matrices, numbers
        function = single if product.number == 1 else batched

        def run() -> None:
            _ = owners  # keeps the arrays alive whose addresses are among the arguments
            function(*arguments)

        return run

    return call
