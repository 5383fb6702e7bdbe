"""Runs the cases of a part in this process, those for which there is time, and notes each as it ends."""

import gc
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.device.cases import DEVICE
from benchmarks.device.files import PartFile, Record
from benchmarks.device.runner import INCOMPLETE
from mlpcore.bench.about import about
from mlpcore.errors import MlpcoreWarning


class Clock:
    """The time of a part: a case is started only if one as long as the longest so far would still fit."""

    def __init__(self, reserve: float = 5.0) -> None:
        self.began, self.longest = time.perf_counter(), 0.0
        self.seconds = float(os.environ.get("DEVICE_SECONDS", "600")) - reserve

    def fits(self) -> bool:
        """Whether there is time for another case."""
        return time.perf_counter() - self.began + self.longest <= self.seconds

    def note(self, began: float) -> None:
        """Note that a case has ended, which began at this time."""
        self.longest = max(self.longest, time.perf_counter() - began)


def sticky(error: BaseException) -> bool:
    """Whether the device is of no more use to this process, as after an illegal access."""
    words = ("illegal memory", "illegaladdress", "launch failure", "launchfailure", "misaligned", "device-side assert")
    return any(word in str(error).lower() for word in words)


def free() -> None:
    """Give the memory of a case back to the device."""
    gc.collect()
    if (cupy := sys.modules.get("cupy")) is not None:
        cupy.get_default_memory_pool().free_all_blocks()
    if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def run_cases(out: Path, part: str, cases: dict[str, Callable[[], list[Record]]], **settings: Any) -> int:
    """Measure the cases that are pending and for which there is time; the exit status."""
    file, clock = PartFile(out, part, about(DEVICE), **settings), Clock()
    for name in file.pending(cases):
        if not clock.fits():
            continue
        began = time.perf_counter()
        file.begin(name)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", MlpcoreWarning)  # as where steps cannot be captured
                records = cases[name]()
        except Exception as error:
            if sticky(error):
                raise  # the case is noted as crashed, and the others run in a new process
            records = [{"failed": f"{type(error).__name__}: {error}".splitlines()[0]}]
        file.end(name, records)
        free()
        clock.note(began)
        print(f"{name}: {time.perf_counter() - began:.1f} s", flush=True)
    return INCOMPLETE if file.pending(cases) else 0
