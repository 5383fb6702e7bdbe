"""CuPy on a CUDA or ROCm device: each operation is a kernel launch. `docs/backends.md` says what ran where."""

from dataclasses import replace
from functools import cache, partial
from importlib import import_module
from typing import Any

import numpy as np

from mlpcore.backends.backend import GPU_SPEED, GPU_STEPS, Backend, Compilers, DeviceExtras
from mlpcore.backends.compilation import CHOICES, ONE_KERNEL, Compilation
from mlpcore.backends.compiled.device_functions import device_jit
from mlpcore.backends.compiled.device_groups import run_as_one
from mlpcore.backends.compiled.device_steps import device_steps
from mlpcore.backends.cupy.copies import CudaCopyQueue, read_together
from mlpcore.backends.cupy.device import printed_device
from mlpcore.backends.cupy.errors import device_errors, free_memory
from mlpcore.backends.cupy.first_product import check_device
from mlpcore.backends.cupy.namespace import without_host_reads
from mlpcore.backends.cupy.nccl import connect
from mlpcore.backends.cupy.opening import device_count, device_number, import_cupy
from mlpcore.backends.cupy.precision import precisions
from mlpcore.backends.cupy.stream_order import stream_order
from mlpcore.backends.device_errors import guarded
from mlpcore.backends.library import misplaced, native
from mlpcore.backends.precision import with_precisions
from mlpcore.backends.prefetch import run_prefetched
from mlpcore.backends.run import Run
from mlpcore.backends.streaming import BUFFER_BYTES, sent_whole, streamed
from mlpcore.namespace import register
from mlpcore.signals import signals_pass
from mlpcore.trees import Layout
from mlpcore.typing import Step


def status() -> str:
    """``ready`` with the version and the devices."""
    cupy = import_cupy()
    cards = [f"cuda:{i}" for i in range(device_count(cupy))]
    check_device(0)
    return f"ready (CuPy {cupy.__version__}: {', '.join(cards)})"


def device_of_rank(rank: int) -> int:
    """The device for process ``rank`` of those on this machine: the GPUs in turn."""
    return rank % device_count(import_cupy())


def to_numpy(x: Any) -> np.ndarray:
    """The array's values on the host; floats that NumPy lacks as float32."""
    cupy = import_cupy()
    host = cupy.asnumpy(x)
    return host.astype("float32") if host.dtype.kind == "V" else host


@signals_pass()
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
            return cupy.asarray(host, dtype=kind)  # CuPy copies through its own pinned memory

    def owns(x: Any) -> bool:
        return isinstance(x, cupy.ndarray)

    out_of_memory, explain = device_errors(cupy, number)
    ordered = stream_order(cupy, number)
    scopes = precisions(cupy, number)
    compilers = with_precisions(Compilers(run_prefetched(xp, asarray)), scopes)
    if not cupy.cuda.runtime.is_hip:  # printed kernels have never been compiled for an AMD device
        printed = printed_device(cupy)
        # Printed programs need no context of a precision: their products name it.
        compilers = replace(
            with_precisions(Compilers(compilers.steps, device_jit(printed)), scopes),
            steps=device_steps(compilers.steps, printed),
            choices=(*CHOICES, ONE_KERNEL),
            side_by_side=run_as_one(printed),
        )

    def steps(step: Step, layout: Layout, compilation: Compilation) -> Run:
        return streamed(compilers.steps(step, layout, compilation), queue, xp.concat)

    return Backend(
        name="cupy",
        xp=xp,
        device=f"cuda:{number}",
        dtypes={"float32": np.dtype("float32"), "float64": np.dtype("float64")},
        asarray=asarray,
        to_numpy=to_numpy,
        owns=owns,
        scope=lambda dtype: guarded(ordered(), explain),
        compile=replace(compilers, steps=steps),
        extras=DeviceExtras(
            out_of_memory=out_of_memory,
            free_memory=lambda: free_memory(cupy, number),
            synchronize=lambda: cupy.cuda.Device(number).synchronize(),
            relative_speed=GPU_SPEED,
            max_chunk_steps=GPU_STEPS,
            dlpack_device=(10 if cupy.cuda.runtime.is_hip else 2, number),  # DLPack's ROCm and CUDA
            borrow=cupy.from_dlpack,
            read_together=read_together(cupy),
            connect=partial(connect, cupy, number),
        ),
    )
