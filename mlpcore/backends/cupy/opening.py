"""Opens CuPy: imports it, finds its wheel and its devices."""

import os
from importlib.metadata import distributions
from typing import Any

from mlpcore.backends.cupy.drivers import HIDING, Situation, cause_and_remedy
from mlpcore.backends.library import first_line, load, unavailable

INSTALL = "pip install 'mlpcore[cuda13]' ([cuda12] for drivers of CUDA 12, [rocm] for AMD), one of them only"


def import_cupy() -> Any:
    """CuPy, or a BackendUnavailable that says how to install it."""
    return load("cupy", "cupy", INSTALL)


def installed_wheels() -> str:
    """The installed CuPy distributions, such as ``cupy-cuda13x 14.2.0``; if there are two, either may be imported."""
    names = {(wheel.metadata["Name"] or "").lower(): wheel.version for wheel in distributions()}
    return " and ".join(f"{name} {version}" for name, version in names.items() if name.startswith("cupy")) or "CuPy"


def device_count(cupy: Any) -> int:
    """The number of devices, at least one; BackendUnavailable if there is none."""
    try:
        count, answer = cupy.cuda.runtime.getDeviceCount(), "the CUDA runtime finds none"
    except Exception as error:  # CUDARuntimeError, or what a missing library raises
        count, answer = 0, first_line(error)
    if not count:
        wheels = installed_wheels()
        driver, runtime = (version_of(cupy, name) for name in ("driverGetVersion", "runtimeGetVersion"))
        hidden = {name: os.environ[name] for name in HIDING if name in os.environ}
        cause, remedy = cause_and_remedy(Situation(wheels, answer, driver, runtime, hidden))
        raise unavailable("cupy", f"{wheels} is installed, but no device can be used: {cause}", remedy)
    return count


def version_of(cupy: Any, name: str) -> int:
    """The version of the driver or the runtime, 0 if it cannot be read."""
    try:
        return getattr(cupy.cuda.runtime, name)()
    except Exception:  # the class of the error depends on the missing library
        return 0


def device_number(cupy: Any, device: Any) -> int:
    """The number of ``device``; BackendUnavailable if there is no such device."""
    count = device_count(cupy)
    if device is None:
        return int(cupy.cuda.Device().id)
    kind, _, digits = str(getattr(device, "id", device)).rpartition(":")
    if digits == "cuda" and not kind:
        return 0
    if kind not in ("", "cuda") or not digits.isdigit() or int(digits) >= count:
        devices = ", ".join(f"'cuda:{i}'" for i in range(count))
        raise unavailable("cupy", f"there is no device {device!r}", f"expected one of {devices}")
    return int(digits)
