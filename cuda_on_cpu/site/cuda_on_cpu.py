"""The emulated device, for tests: what it reported, and how often something was asked of it."""

import ctypes
from functools import cache
from pathlib import Path

LIBRARY = Path(__file__).resolve().parent.parent / "lib/libcuda_on_cpu.so"
COUNTED = ("launches", "copies to device", "copies to host", "copies on device", "memsets", "waits", "allocations")
COUNTED += ("products",)  # as in src/device.h


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(LIBRARY))
    library.cuda_on_cpu_last_report.restype = ctypes.c_char_p
    library.cuda_on_cpu_count.restype = ctypes.c_long
    return library


def reports() -> tuple[int, str]:
    """How many errors the device has reported, and the last, after all work is done and all guard zones were seen."""
    return _library().cuda_on_cpu_reports(), _library().cuda_on_cpu_last_report().decode()


def counts() -> dict[str, int]:
    """How often something was asked of the device since the process began; CuPy's pool asks for few allocations."""
    return {name: _library().cuda_on_cpu_count(what) for what, name in enumerate(COUNTED)}
