"""array-api-strict on one of its devices: for tests, as it rejects what the 2024.12 standard does not guarantee."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from mlpcore.backends.backend import Backend, Compilers
from mlpcore.backends.library import first_line, load, misplaced, native, unavailable
from mlpcore.backends.run import run_eagerly
from mlpcore.memory import HostMemory
from mlpcore.signals import signals_pass

INSTALL = "pip install array-api-strict"


def status() -> str:
    """``ready`` with the version."""
    return f"ready (array-api-strict {load('array_api_strict', 'array_api_strict', INSTALL).__version__}, for tests)"


def to_numpy(x: Any) -> np.ndarray:
    """The array on the host device, as NumPy's."""
    strict = load("array_api_strict", "array_api_strict", INSTALL)
    return np.array(x.to_device(strict.Device("CPU_DEVICE")))


@signals_pass()
def create(device: Any = None) -> Backend:
    """The backend on ``device``: "CPU_DEVICE" (None), "device1", or an ``array_api_strict.Device``."""
    strict = load("array_api_strict", "array_api_strict", INSTALL)
    try:
        place = device if isinstance(device, strict.Device) else strict.Device(device or "CPU_DEVICE")
    except ValueError as error:
        raise unavailable("array_api_strict", first_line(error), "expected 'CPU_DEVICE' or 'device1'") from error
    array = type(strict.zeros(()))

    def asarray(x: Any, dtype: Any = None) -> Any:
        if isinstance(x, array) and x.device != place:
            raise misplaced("array_api_strict", x.device, place, "x.to_device(device)")
        return strict.asarray(x if isinstance(x, array) else native(x), dtype=dtype, device=place)

    @contextmanager
    def scope(dtype: str) -> Iterator[None]:
        # The flags are global to the process, and restored at the end. Warnings come from NumPy, which computes.
        with HostMemory(strict.ArrayAPIStrictFlags(api_version="2024.12")), np.errstate(all="ignore"):
            yield

    return Backend(
        name="array_api_strict",
        xp=strict,
        device=place,
        dtypes={"float32": strict.float32, "float64": strict.float64},
        asarray=asarray,
        to_numpy=to_numpy,
        owns=lambda x: isinstance(x, array),
        scope=scope,
        compile=Compilers(run_eagerly(strict, asarray)),
    )
