"""CuPy on a CUDA or ROCm device: each operation is a kernel launch. `docs/backends.md` says what ran where."""

from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from mlpcore.backends.backend import GPU_SPEED, GPU_STEPS, Backend
from mlpcore.backends.compiled.device_functions import device_jit
from mlpcore.backends.compiled.device_steps import device_steps
from mlpcore.backends.cupy.copies import CudaCopyQueue, read_together
from mlpcore.backends.cupy.device import printed_device
from mlpcore.backends.cupy.errors import device_errors, free_memory
from mlpcore.backends.cupy.namespace import without_host_reads
from mlpcore.backends.cupy.opening import check_device, device_count, device_number, import_cupy
from mlpcore.backends.cupy.stream_order import stream_order
from mlpcore.backends.device_errors import guarded
from mlpcore.backends.library import misplaced, native
from mlpcore.backends.precision import Precision, switched
from mlpcore.backends.prefetch import run_prefetched
from mlpcore.backends.streaming import BUFFER_BYTES, sent_whole, streamed
from mlpcore.namespace import register


def status() -> str:
    """``ready`` with the version and the devices."""
    cupy = import_cupy()
    cards = [f"cuda:{i}" for i in range(device_count(cupy))]
    check_device(0)
    return f"ready (CuPy {cupy.__version__}: {', '.join(cards)})"


def to_numpy(x: Any) -> np.ndarray:
    """The array's values on the host; floats that NumPy lacks as float32."""
    cupy = import_cupy()
    host = cupy.asnumpy(x)
    return host.astype("float32") if host.dtype.kind == "V" else host


def create(device: Any = None) -> Backend:
    """The backend on ``device``: None for CuPy's current one, "cuda", "cuda:1", 1, or a ``cupy.cuda.Device``."""
    cupy = import_cupy()
    number = device_number(cupy, device)
    check_device(number)
    xp = without_host_reads(cupy, import_module("array_api_compat.cupy"))
    register(cupy.ndarray, xp)

    @cache
    def queue() -> CudaCopyQueue:
        return CudaCopyQueue(number)

    def asarray(x: Any, dtype: Any = None) -> Any:
        if isinstance(x, cupy.ndarray):
            if x.device.id != number:
                move = f"`with cupy.cuda.Device({number}): x = cupy.asarray(x)`"
                raise misplaced("CuPy", f"cuda:{x.device.id}", f"cuda:{number}", move)
            return cupy.asarray(x, dtype=dtype)
        host = native(x)
        kind = host.dtype if dtype is None else np.dtype(dtype)
        with cupy.cuda.Device(number):
            if host.size * kind.itemsize > BUFFER_BYTES and host.ndim:
                return sent_whole(queue(), host, kind)
            return cupy.asarray(host, dtype=kind)  # through pinned memory of CuPy's own

    def owns(x: Any) -> bool:
        return isinstance(x, cupy.ndarray)

    out_of_memory, explain = device_errors(cupy, number)
    prefetching, ordered = run_prefetched(xp, asarray), stream_order(cupy, number)
    plain = Backend(
        name="cupy",
        xp=xp,
        device=f"cuda:{number}",
        dtypes={"float32": np.dtype("float32"), "float64": np.dtype("float64")},
        asarray=asarray,
        to_numpy=to_numpy,
        owns=owns,
        scope=lambda dtype: guarded(ordered(), explain),
        # CuPy refuses matmul while a CUDA graph is captured, so a chunk of steps is a loop.
        compile=lambda *step: streamed(prefetching(*step), queue, xp.concat),
        synchronize=lambda: cupy.cuda.Device(number).synchronize(),
        out_of_memory=out_of_memory,
        precisions=precisions(cupy, number),
        room=lambda: free_memory(cupy, number),
        relative_speed=GPU_SPEED,
        most_steps=GPU_STEPS,
        dlpack_device=(10 if cupy.cuda.runtime.is_hip else 2, number),  # DLPack's ROCm and CUDA
        borrow=cupy.from_dlpack,
        read_together=read_together(cupy),
    )
    if cupy.cuda.runtime.is_hip:  # printed kernels were compiled for no device of AMD's yet
        return plain
    printed = printed_device(cupy)
    steps = device_steps(prefetching, printed)
    return replace(plain, compile=lambda *step: streamed(steps(*step), queue, xp.concat), jit=device_jit(printed))


def precisions(cupy: Any, number: int) -> dict[str, Precision]:
    """True float32 whatever CUPY_TF32 says; TF32 and bfloat16 from Ampere on (capability 8.0), in printed programs.

    The switch for CuPy's own products is private to it and belongs to the process.
    """
    core = cupy._core

    def exact() -> AbstractContextManager:
        default = core._routines_linalg.COMPUTE_TYPE_DEFAULT
        return switched(lambda: core.get_compute_type("f4"), lambda value: core.set_compute_type("f4", value), default)

    found = {"highest": Precision(exact)}
    if cupy.cuda.runtime.is_hip or int(cupy.cuda.Device(number).compute_capability) < 80:
        return found
    return found | {name: Precision(exact, printed=True) for name in ("tf32", "bfloat16")}
