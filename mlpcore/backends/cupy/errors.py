"""Recognises the errors of CuPy, its compiler, the CUDA runtime and the driver; measures free device memory."""

from collections.abc import Callable
from typing import Any

from mlpcore.backends.cupy.opening import installed_wheels
from mlpcore.backends.device_errors import device_error, out_of_memory_in
from mlpcore.backends.library import first_line
from mlpcore.errors import MlpcoreError
from mlpcore.memory import OutOfMemory, memory_error

# In the out-of-memory errors of the runtime, of CuPy's pool, and of cuBLAS.
OUT_OF_MEMORY_TEXTS = ("out of memory", "Out of memory", "ALLOC_FAILED")


def device_errors(cupy: Any, number: int) -> tuple[Callable[[BaseException], Any], Callable[[BaseException], Any]]:
    """``out_of_memory(error)`` for `DeviceExtras` and ``explain(error)`` for `guarded`, for device ``number``."""
    place = f"cuda:{number}"
    broken = (cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError)

    def out_of_memory(error: BaseException) -> OutOfMemory | None:
        # Some errors are recognised by name, here and below: importing their classes would load cuBLAS or the compiler.
        known = (cupy.cuda.memory.OutOfMemoryError, *broken)
        kinds = (*known, type(error)) if type(error).__name__ == "CUBLASError" else known
        return out_of_memory_in(error, place, kinds, OUT_OF_MEMORY_TEXTS, lambda: free_memory(cupy, number))

    def explain(error: BaseException) -> MlpcoreError | None:
        lack = out_of_memory(error)
        if lack is not None:
            return memory_error(lack)
        wheel = installed_wheels().partition(" ")[0]
        if type(error).__name__ in ("CompileException", "NVRTCError"):
            remedy = (
                f"pip install '{wheel}[ctk]' brings a compiler and headers that fit this wheel; remove any other CuPy "
                "wheel, and if it stays, report it with the lines above"
            )
            return device_error(place, f"a kernel did not compile: {first_line(error)}", remedy)
        if isinstance(error, broken) or type(error).__name__ == "CUBLASError":
            remedy = "after such an error this process cannot use the device any more: restart it from a checkpoint"
            return device_error(place, f"the device failed: {first_line(error)}", remedy)
        return None

    return out_of_memory, explain


def free_memory(cupy: Any, number: int) -> int:
    """Bytes that CuPy can allocate: free memory of the device, within the pool's limit, and free blocks of the pool."""
    with cupy.cuda.Device(number):
        pool, free = cupy.get_default_memory_pool(), cupy.cuda.runtime.memGetInfo()[0]
        if limit := pool.get_limit():
            free = min(free, limit - pool.total_bytes())
        return max(0, free) + pool.free_bytes()
