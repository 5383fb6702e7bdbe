"""Copies to a device: the interface of a copy queue, and a copy queue for libraries whose copies are synchronous."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from mlpcore.typing import Array


class CopyQueue(Protocol):
    """Buffers on host and device, and a queue of copies between them, beside the compute queue.

    The host adds work to a queue and goes on. A mark is a position in a queue; it is reached when all work before it is
    done.
    """

    def host(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """A buffer on the host, in pinned memory, from which the device copies directly."""

    def device(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """A buffer on the device."""

    def send(self, source: np.ndarray, target: Array) -> Array:
        """Add a copy of ``source`` into the first rows of ``target`` to the copy queue; returns those rows."""

    def copied(self) -> Any:
        """A mark at the end of the copy queue."""

    def computed(self) -> Any:
        """A mark at the end of the compute queue."""

    def copying_waits(self, mark: Any) -> None:
        """Make later copies wait until the mark is reached."""

    def computing_waits(self, mark: Any) -> None:
        """Make later work of the compute queue wait until the mark is reached."""

    def host_waits(self, mark: Any) -> None:
        """Block the host until the mark is reached."""


class PlainCopies:
    """The queue of a library whose copies are synchronous, each into a new array."""

    def __init__(self, asarray: Callable[[np.ndarray], Array]) -> None:
        self.asarray = asarray

    def host(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """A buffer in ordinary memory."""
        return np.empty(shape, dtype)

    def device(self, shape: tuple[int, ...], dtype: Any) -> None:
        """No buffer: every copy is a new array."""

    def send(self, source: np.ndarray, target: None) -> Array:
        """``source`` as a new array. The host copies it first, as the library may keep the memory that it gets."""
        return self.asarray(np.array(source))

    def copied(self) -> None:
        """No mark: every copy is done when `send` returns."""

    def computed(self) -> None:
        """No mark: copies need not wait, as none is written over an earlier one."""

    def copying_waits(self, mark: None) -> None:
        """Nothing: copies need not wait."""

    def computing_waits(self, mark: None) -> None:
        """Nothing: the copy is done."""

    def host_waits(self, mark: None) -> None:
        """Nothing: the copy is done."""
