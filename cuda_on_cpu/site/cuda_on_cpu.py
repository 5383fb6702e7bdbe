"""For tests: what the emulated device counts (reported errors, calls), and allocations that fail."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
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
    library.cuda_on_cpu_fail_allocations.argtypes = [ctypes.c_long, ctypes.c_long]
    library.cuda_on_cpu_fail_allocations.restype = None
    return library


def reports() -> tuple[int, str]:
    """The number of errors that the device has reported, and the text of the last one.

    Before, all work is finished and all guard zones are checked.
    """
    return _library().cuda_on_cpu_reports(), _library().cuda_on_cpu_last_report().decode()


def counts() -> dict[str, int]:
    """The numbers of calls by kind since the process started.

    Allocations are those of device and pinned memory, of which CuPy's pools make few, and of what CUDA itself needs
    memory for: streams, events, graphs, modules and their functions, cuBLAS's handles.
    """
    return {name: _library().cuda_on_cpu_count(what) for what, name in enumerate(COUNTED)}


@contextmanager
def failing_allocations(first: int, number: int = 1) -> Iterator[None]:
    """A context in which the ``first``-th allocation fails for want of memory, and so do those up to ``number`` in all.

    CuPy's pools free what they hold and ask again, twice for device memory and once for pinned memory.
    """
    _library().cuda_on_cpu_fail_allocations(first, number)
    try:
        yield
    finally:
        _library().cuda_on_cpu_fail_allocations(0, 0)
