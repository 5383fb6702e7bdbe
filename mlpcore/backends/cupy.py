"""CuPy on a CUDA or ROCm device: each operation is a kernel launch. Nothing here was run on a GPU yet."""

from functools import cache
from importlib import import_module
from importlib.metadata import distributions
from typing import Any

import numpy as np

from mlpcore.backends.backend import Backend, first_line, load, misplaced, native, run_eagerly, unavailable

INSTALL = "pip install 'mlpcore[cuda13]' ([cuda12] for drivers of CUDA 12, [rocm] for AMD), one of them only"


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
    xp = import_module("array_api_compat.cupy")
    import_module("mlpcore.kernels.cupy")

    def asarray(x: Any, dtype: Any = None) -> Any:
        if isinstance(x, cupy.ndarray):
            if x.device.id != number:
                move = f"`with cupy.cuda.Device({number}): x = cupy.asarray(x)`"
                raise misplaced("CuPy", f"cuda:{x.device.id}", f"cuda:{number}", move)
            return cupy.asarray(x, dtype=dtype)
        with cupy.cuda.Device(number):
            return cupy.asarray(native(x), dtype=dtype)

    return Backend(
        name="cupy",
        xp=xp,
        device=f"cuda:{number}",
        dtypes={"float32": np.dtype("float32"), "float64": np.dtype("float64")},
        asarray=asarray,
        to_numpy=to_numpy,
        owns=lambda x: isinstance(x, cupy.ndarray),
        scope=lambda dtype: cupy.cuda.Device(number),
        # CuPy refuses matmul while a CUDA graph is captured, so a chunk of steps is a loop.
        compile=run_eagerly(xp, asarray),
        synchronize=lambda: cupy.cuda.Device(number).synchronize(),
    )


def _library() -> Any:
    return load("cupy", "cupy", INSTALL)


def _wheels() -> str:
    """The installed CuPy distributions, such as ``cupy-cuda13x 14.2.0``; of two, either may be the one imported."""
    names = {(one.metadata["Name"] or "").lower(): one.version for one in distributions()}
    return " and ".join(f"{name} {version}" for name, version in names.items() if name.startswith("cupy")) or "CuPy"


def _count(cupy: Any) -> int:
    """The number of devices, at least one."""
    try:
        count = cupy.cuda.runtime.getDeviceCount()
        cause = "the CUDA runtime finds none"
    except Exception as error:  # CUDARuntimeError, or what a missing library raises
        count, cause = 0, first_line(error)
    if not count:
        wheels = _wheels()
        remedy = (
            "uninstall all but one of them"
            if " and " in wheels
            else "see whether nvidia-smi lists a GPU and a driver new enough for this wheel (a driver of CUDA 12: "
            "uninstall it and pip install 'mlpcore[cuda12]'), or use backend='numpy'"
        )
        raise unavailable("cupy", f"{wheels} is installed, but no device can be used: {cause}", remedy)
    return count


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
