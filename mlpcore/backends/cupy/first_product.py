"""Checks that a device computes, before anything is trained on it."""

from functools import cache
from typing import Any

from mlpcore.backends.cupy.errors import device_errors
from mlpcore.backends.cupy.opening import device_number, import_cupy, installed_wheels, version_of
from mlpcore.backends.library import first_line, unavailable
from mlpcore.memory import memory_error


@cache
def check_device(number: int) -> None:
    """Compute a product and run a kernel of CuPy; BackendUnavailable if cuBLAS or the compiler cannot be loaded.

    OutOfMemoryError where the device has no memory left, for which nothing has to be installed.
    """
    cupy = import_cupy()
    try:
        with cupy.cuda.Device(number):
            ones = cupy.ones((2, 2), dtype="float32")
            cupy.asnumpy(ones @ ones + 1)
    except Exception as error:  # ImportError, CompileException, CUDARuntimeError, or one of the search for CUDA
        out_of_memory, _ = device_errors(cupy, number)
        if (lack := out_of_memory(error)) is not None:
            raise memory_error(lack) from error
        wheel = installed_wheels().partition(" ")[0]
        remedy = f"pip install '{wheel}[ctk]' brings the CUDA libraries of this wheel"
        cause = f"a first product on cuda:{number} failed: {first_line(error)}"
        raise unavailable("cupy", cause, remedy) from error


def describe(device: Any = None) -> dict[str, str]:
    """The card, the version of CUDA that its driver has, and CuPy's; BackendUnavailable if it cannot be used."""
    cupy = import_cupy()
    number = device_number(cupy, device)
    check_device(number)
    name = cupy.cuda.runtime.getDeviceProperties(number)["name"]
    text = name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
    return {"card": text, "driver": str(version_of(cupy, "driverGetVersion")), "cupy": cupy.__version__}
