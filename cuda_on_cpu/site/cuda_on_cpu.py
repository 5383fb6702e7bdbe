"""Counters of the emulated device for tests: reported errors, and calls."""

import ctypes
from functools import cache
from pathlib import Path

LIBRARY = Path(__file__).resolve().parent.parent / "lib/libcuda_on_cpu.so"
COUNTED = ("launches", "copies to device", "copies to host", "copies on device", "memsets", "waits", "allocations")
COUNTED += ("products",)  # in the order of the enumeration in src/device.h


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(LIBRARY))
    library.cuda_on_cpu_last_report.restype = ctypes.c_char_p
    library.cuda_on_cpu_count.restype = ctypes.c_long
    return library


def reports() -> tuple[int, str]:
    """The number of errors that the device has reported, and the text of the last one.

    Before, all work is finished and all guard zones are checked.
    """
    return _library().cuda_on_cpu_reports(), _library().cuda_on_cpu_last_report().decode()


def counts() -> dict[str, int]:
    """The numbers of calls by kind since the process started; CuPy's pool makes few allocations."""
    return {name: _library().cuda_on_cpu_count(what) for what, name in enumerate(COUNTED)}
