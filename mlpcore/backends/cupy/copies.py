"""Copies between the host and a CUDA device: pinned memory, a stream for copies, events, several arrays at once."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from mlpcore.typing import Array


class CudaCopyQueue:
    """CuPy's copy queue: a separate stream for copies. The current stream computes; marks are events."""

    def __init__(self, number: int) -> None:
        self.cupy, self.number = import_module("cupy"), number
        self.empty_pinned = import_module("cupyx").empty_pinned
        with self.cupy.cuda.Device(number):
            # Non-blocking: the default stream would otherwise wait for it, and it for the default stream.
            self.copying = self.cupy.cuda.Stream(non_blocking=True)

    def host(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Pinned memory, from which the device copies while the host goes on."""
        return self.empty_pinned(shape, dtype)

    def device(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """An array from the memory pool of the device."""
        with self.cupy.cuda.Device(self.number):
            return self.cupy.empty(shape, dtype)

    def send(self, source: np.ndarray, target: Array) -> Array:
        """An asynchronous copy, since the source is pinned."""
        rows = target[: source.shape[0]]
        rows.set(source, stream=self.copying)
        return rows

    def copied(self) -> Any:
        """An event in the copy stream."""
        return self._mark(self.copying)

    def computed(self) -> Any:
        """An event in the current stream."""
        return self._mark(self.cupy.cuda.get_current_stream())

    def copying_waits(self, mark: Any) -> None:
        """The copy stream waits on the device; the host goes on."""
        self.copying.wait_event(mark)

    def computing_waits(self, mark: Any) -> None:
        """The current stream waits on the device; the host goes on."""
        self.cupy.cuda.get_current_stream().wait_event(mark)

    def host_waits(self, mark: Any) -> None:
        """The host waits until the event has happened."""
        mark.synchronize()

    def _mark(self, stream: Any) -> Any:
        return stream.record(self.cupy.cuda.Event(disable_timing=True))


def read_together(cupy: Any) -> Callable[..., list[np.ndarray]]:
    """The function ``read(*arrays)``, which copies the arrays to the host in one transfer."""

    def read(*arrays: Any) -> list[np.ndarray]:
        packed = cupy.concatenate([cupy.ascontiguousarray(array).reshape(-1).view("u1") for array in arrays])
        parts = np.split(cupy.asnumpy(packed), np.cumsum([array.nbytes for array in arrays])[:-1])
        return [part.view(array.dtype).reshape(array.shape) for part, array in zip(parts, arrays, strict=True)]

    return read
