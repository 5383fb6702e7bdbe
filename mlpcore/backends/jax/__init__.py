"""JAX: a chunk of steps is one compiled program, a scan over the rows that each step takes."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np

from mlpcore.backends.backend import GPU_SPEED, Backend, Compilers, DeviceExtras
from mlpcore.backends.compilation import Compilation
from mlpcore.backends.copy_queues import PlainCopies
from mlpcore.backends.device_errors import guarded, out_of_memory_in
from mlpcore.backends.jax.scanning import in_precision, scanned
from mlpcore.backends.library import first_line, load, misplaced, native, unavailable
from mlpcore.backends.precision import Scope, with_precisions
from mlpcore.backends.run import Run
from mlpcore.backends.streaming import streamed
from mlpcore.errors import DataError
from mlpcore.memory import OutOfMemory, memory_error
from mlpcore.signals import signals_pass
from mlpcore.trees import Layout
from mlpcore.typing import Step, Tree

INSTALL = "pip install jax (builds for accelerators: https://docs.jax.dev/en/latest/installation.html)"


def status() -> str:
    """``ready`` with the version and the devices."""
    jax = load("jax", "jax", INSTALL)
    _place(jax, None)
    return f"ready (jax {jax.__version__}: {', '.join(map(str, jax.devices()))})"


def to_numpy(x: Any) -> np.ndarray:
    """A writable copy on the host (JAX's own view is read-only); floats that NumPy lacks as float32."""
    return np.array(x, dtype="float32" if x.dtype.kind == "V" else None)


@signals_pass()
def create(device: Any = None) -> Backend:
    """The backend on ``device``: None for JAX's default, "cpu", "gpu", "cuda:1", or a ``jax.Device``."""
    jax = load("jax", "jax", INSTALL)
    jnp, place = jax.numpy, _place(jax, device)

    def asarray(x: Any, dtype: Any = None) -> Any:
        if isinstance(x, jax.Array):
            if x.devices() != {place}:
                raise misplaced("jax", x.device, place, "jax.device_put(x, device)")
            # x may have 64 bits even for a 32-bit model; JAX casts it only where 64-bit types are enabled.
            with _enable_x64(jax):
                return x if dtype is None else x.astype(dtype)
        host = native(x)
        host = host if dtype is None else host.astype(dtype, copy=False)
        _check_integers(jax, host)
        # A copy: JAX may use the memory of the array without copying it, and assumes that it never changes.
        return jax.device_put(np.array(host), place)

    def out_of_memory(error: BaseException) -> OutOfMemory | None:
        return out_of_memory_in(error, place, (RuntimeError,), ("RESOURCE_EXHAUSTED",), lambda: _free_memory(place))

    @contextmanager
    def settings(dtype: str) -> Iterator[None]:
        wide = _enable_x64(jax) if dtype == "float64" else nullcontext()
        with wide, jax.default_matmul_precision("highest"), jax.default_device(place):
            yield

    def scope(dtype: str) -> AbstractContextManager[None]:
        return guarded(settings(dtype), lambda error: (lack := out_of_memory(error)) and memory_error(lack))

    gpu = place.platform == "gpu"

    def steps(step: Step, layout: Layout, compilation: Compilation) -> Run:
        run = scanned(jax, asarray, step, layout, compilation)
        return streamed(run, lambda: PlainCopies(asarray), jnp.concatenate) if gpu else run

    def function(
        function: Callable[..., Tree], compilation: Compilation, rows: tuple[int, ...] = (-1,), /
    ) -> Callable[..., Tree]:
        return jax.jit(in_precision(jax, function, compilation))

    return Backend(
        name="jax",
        xp=jnp,
        device=place,
        dtypes={"float32": np.dtype("float32"), "float64": np.dtype("float64")},
        asarray=asarray,
        to_numpy=to_numpy,
        owns=lambda x: isinstance(x, jax.Array),
        scope=scope,
        compile=with_precisions(Compilers(steps, function), _precisions(jax, gpu)),
        extras=DeviceExtras(
            out_of_memory=out_of_memory,
            free_memory=lambda: _free_memory(place) if gpu else None,
            synchronize=lambda: jax.block_until_ready(jax.live_arrays(place.platform)),
            relative_speed=GPU_SPEED if gpu else 1.0,
            dlpack_device=(2, place.local_hardware_id) if gpu else None,
            borrow=jnp.from_dlpack,
        ),
    )


def _enable_x64(jax: Any) -> Any:
    """The context that enables 64-bit types; JAX renamed it in 0.8."""
    return jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64()


def _check_integers(jax: Any, host: np.ndarray) -> None:
    """DataError for integers that JAX would wrap around to its 32 bits."""
    if host.dtype.kind in "iu" and host.size:
        kept = np.iinfo(jax.dtypes.canonicalize_dtype(host.dtype))
        if int(host.min()) < kept.min or int(host.max()) > kept.max:
            raise DataError(
                f"backend 'jax': integers from {host.min()} to {host.max()} do not fit {kept.dtype}; number the labels "
                "from 0, or use dtype='float64', which has 64-bit integers"
            )


def _precisions(jax: Any, gpu: bool) -> dict[str, Scope]:
    """The contexts of the precisions. The backend's scope sets true float32; `in_precision` rounds to bfloat16.

    GPUs also have TF32.
    """
    scopes: dict[str, Scope] = {"highest": nullcontext, "bfloat16": nullcontext}
    if gpu:
        scopes["tf32"] = lambda: jax.default_matmul_precision("tensorfloat32")
    return scopes


def _free_memory(place: Any) -> int | None:
    """Bytes that JAX can still allocate on the device, None where it does not count them (the host)."""
    stats = place.memory_stats()
    return stats["bytes_limit"] - stats["bytes_in_use"] if stats and "bytes_limit" in stats else None


def _place(jax: Any, device: Any) -> Any:
    """The device ``device``; of a sharding over several devices the first. BackendUnavailable if there is none."""
    try:
        if device is None:
            with jax.ensure_compile_time_eval():  # no traced array, even within a traced function
                return next(iter(jax.numpy.zeros(()).devices()))
        if isinstance(device, jax.Device):
            return device
        if isinstance(device, jax.sharding.Sharding):
            return min(device.device_set, key=lambda member: member.id)
        platform, _, number = str(device).partition(":")
        devices, index = jax.devices(platform), int(number or 0)
        if index >= len(devices):
            raise ValueError(f"the platform has {len(devices)}")
        return devices[index]
    except (RuntimeError, ValueError) as error:
        remedy = f"expected one of {_devices(jax)}; {INSTALL}"
        raise unavailable("jax", f"device {device!r} cannot be used: {first_line(error)}", remedy) from error


def _devices(jax: Any) -> str:
    """The names of all devices, as text."""
    try:
        return ", ".join(repr(str(device)) for device in jax.devices())
    except RuntimeError:
        return "none, as JAX cannot start any platform"
