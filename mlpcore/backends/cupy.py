"""CuPy on a CUDA or ROCm device: each operation is a kernel launch. `docs/backends.md` says what ran where."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cache
from importlib import import_module
from importlib.metadata import distributions
from types import ModuleType
from typing import Any

import numpy as np

from mlpcore.backends.backend import GPU_SPEED, GPU_STEPS, Backend, first_line, load, misplaced, native, unavailable
from mlpcore.backends.compiled.device_functions import device_jit
from mlpcore.backends.compiled.device_steps import device_steps
from mlpcore.backends.copy_queues import CudaCopyQueue
from mlpcore.backends.cupy_device import printed_device, read_together
from mlpcore.backends.device_errors import OutOfMemory, device_error, guarded, memory_error, out_of_memory_in
from mlpcore.backends.drivers import HIDING, Situation, cause_and_remedy
from mlpcore.backends.precision import Precision, switched
from mlpcore.backends.prefetch import run_prefetched
from mlpcore.backends.stream_order import stream_order
from mlpcore.backends.streaming import PIECE_BYTES, sent_whole, streamed
from mlpcore.errors import MlpcoreError
from mlpcore.namespace import register

INSTALL = "pip install 'mlpcore[cuda13]' ([cuda12] for drivers of CUDA 12, [rocm] for AMD), one of them only"
CONCATENATED = 8  # arrays that CuPy joins without sending a table of their addresses
SHORTAGE = ("out of memory", "Out of memory", "ALLOC_FAILED")  # of the runtime, of CuPy's pool, of cuBLAS


def status() -> str:
    """``ready`` with the version and the devices."""
    cupy = _library()
    cards = [f"cuda:{i}" for i in range(_count(cupy))]
    _probe(0)
    return f"ready (CuPy {cupy.__version__}: {', '.join(cards)})"


def to_numpy(x: Any) -> np.ndarray:
    """The array's values on the host; floats that NumPy lacks as float32."""
    cupy = _library()
    host = cupy.asnumpy(x)
    return host.astype("float32") if host.dtype.kind == "V" else host


def create(device: Any = None) -> Backend:
    """The backend on ``device``: None for CuPy's current one, "cuda", "cuda:1", 1, or a ``cupy.cuda.Device``."""
    cupy = _library()
    number = _number(cupy, device)
    _probe(number)
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
            if host.size * kind.itemsize > PIECE_BYTES and host.ndim:
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
        room=lambda: room(cupy, number),
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


def without_host_reads(cupy: Any, compat: ModuleType) -> ModuleType:
    """The standard's namespace for CuPy, without the functions that wait for the device or send it something.

    The wrapper's ``clip`` and ``sign`` pick by masks, and so wait; CuPy's own ``concatenate`` of more than 8 arrays
    sends a table of their addresses.
    """

    def clip(x: Any, /, min: Any = None, max: Any = None) -> Any:
        return cupy.clip(x, min, max)

    def sign(x: Any, /) -> Any:
        signs = cupy.sign(x)
        return signs if x.dtype.kind in "iu" else cupy.where(x == x, signs, x)  # CuPy's sign of NaN is 0

    def concat(arrays: Any, /, *, axis: int | None = 0) -> Any:
        parts = list(arrays)
        while len(parts) > CONCATENATED:
            parts = [compat.concat(parts[i : i + CONCATENATED], axis=axis) for i in range(0, len(parts), CONCATENATED)]
        return compat.concat(parts, axis=axis)

    made = ModuleType(compat.__name__)
    vars(made).update(vars(compat) | {"clip": clip, "sign": sign, "concat": concat})
    return made


def device_errors(cupy: Any, number: int) -> tuple[Callable[[BaseException], Any], Callable[[BaseException], Any]]:
    """``out_of_memory`` and ``explain`` for the errors of CuPy, its compiler, the runtime and the driver."""
    place = f"cuda:{number}"
    broken = (cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError)

    def out_of_memory(error: BaseException) -> OutOfMemory | None:
        # By name, as below, since asking for the class of cuBLAS's or the compiler's error would load that library.
        known = (cupy.cuda.memory.OutOfMemoryError, *broken)
        kinds = (*known, type(error)) if type(error).__name__ == "CUBLASError" else known
        return out_of_memory_in(error, place, kinds, SHORTAGE, lambda: room(cupy, number))

    def explain(error: BaseException) -> MlpcoreError | None:
        lack = out_of_memory(error)
        if lack is not None:
            return memory_error(lack)
        wheel = _wheels().partition(" ")[0]
        if type(error).__name__ in ("CompileException", "NVRTCError"):
            remedy = (
                f"pip install '{wheel}[ctk]' brings a compiler and headers that fit this wheel; remove any other CuPy "
                "wheel, and if it stays, report it with the lines above"
            )
            return device_error(place, f"a kernel did not compile: {first_line(error)}", remedy)
        if isinstance(error, broken) or type(error).__name__ == "CUBLASError":
            remedy = "after such an error the process cannot use the device any more: start it anew from a checkpoint"
            return device_error(place, f"the device failed: {first_line(error)}", remedy)
        return None

    return out_of_memory, explain


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


def room(cupy: Any, number: int) -> int:
    """Bytes free on the device, those that CuPy's pool keeps for itself counted, within the limit that the pool has."""
    with cupy.cuda.Device(number):
        pool, free = cupy.get_default_memory_pool(), cupy.cuda.runtime.memGetInfo()[0]
        if limit := pool.get_limit():
            free = min(free, limit - pool.total_bytes())
        return max(0, free) + pool.free_bytes()


def _library() -> Any:
    return load("cupy", "cupy", INSTALL)


def _wheels() -> str:
    """The installed CuPy distributions, such as ``cupy-cuda13x 14.2.0``; of two, either may be the one imported."""
    names = {(one.metadata["Name"] or "").lower(): one.version for one in distributions()}
    return " and ".join(f"{name} {version}" for name, version in names.items() if name.startswith("cupy")) or "CuPy"


def _count(cupy: Any) -> int:
    """The number of devices, at least one."""
    try:
        count, said = cupy.cuda.runtime.getDeviceCount(), "the CUDA runtime finds none"
    except Exception as error:  # CUDARuntimeError, or what a missing library raises
        count, said = 0, first_line(error)
    if not count:
        wheels, versions = _wheels(), [_version(cupy, name) for name in ("driverGetVersion", "runtimeGetVersion")]
        hidden = {name: os.environ[name] for name in HIDING if name in os.environ}
        cause, remedy = cause_and_remedy(Situation(wheels, said, versions[0], versions[1], hidden))
        raise unavailable("cupy", f"{wheels} is installed, but no device can be used: {cause}", remedy)
    return count


def _version(cupy: Any, name: str) -> int:
    """The driver's or the runtime's version, 0 where it cannot be asked."""
    try:
        return getattr(cupy.cuda.runtime, name)()
    except Exception:  # a missing library raises what it likes
        return 0


def _number(cupy: Any, device: Any) -> int:
    """The number of a device that exists."""
    count = _count(cupy)
    if device is None:
        return int(cupy.cuda.Device().id)
    kind, _, digits = str(getattr(device, "id", device)).rpartition(":")
    if digits == "cuda" and not kind:
        return 0
    if kind not in ("", "cuda") or not digits.isdigit() or int(digits) >= count:
        there = ", ".join(f"'cuda:{i}'" for i in range(count))
        raise unavailable("cupy", f"there is no device {device!r}", f"expected one of {there}")
    return int(digits)


@cache
def _probe(number: int) -> None:
    """One product and one kernel of CuPy's own: they load cuBLAS and the compiler, which a wheel may lack."""
    cupy = _library()
    try:
        with cupy.cuda.Device(number):
            ones = cupy.ones((2, 2), dtype="float32")
            cupy.asnumpy(ones @ ones + 1)
    except Exception as error:  # ImportError, CompileException, CUDARuntimeError, what the path finder raises
        wheel = _wheels().partition(" ")[0]
        remedy = f"pip install '{wheel}[ctk]' brings the CUDA libraries of this wheel"
        cause = f"a first product on cuda:{number} failed: {first_line(error)}"
        raise unavailable("cupy", cause, remedy) from error
