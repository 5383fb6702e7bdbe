"""Copies to a device: the interface of a queue for them, and the queue of libraries whose copies are synchronous."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from mlpcore.typing import Array


class CopyQueue(Protocol):
    """Copies to a device: buffers on both sides, and a queue of copies beside the queue of computing.

    The host puts work into a queue and goes on. A mark is a position in a queue, reached when all work before it is
    done.
    """

    def host(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """A buffer on the host, in memory from which the device copies directly (pinned)."""

    def device(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """A buffer on the device."""

    def send(self, source: np.ndarray, target: Array) -> Array:
        """Add a copy to the queue of copies, into the first rows of the target; returns those rows."""

    def copied(self) -> Any:
        """A mark in the queue of copies."""

    def computed(self) -> Any:
        """A mark in the queue of computing."""

    def copying_waits(self, mark: Any) -> None:
        """Later copies begin when the mark is reached."""

    def computing_waits(self, mark: Any) -> None:
        """Later computing begins when the mark is reached."""

    def host_waits(self, mark: Any) -> None:
        """The host goes on when the mark is reached."""


class PlainCopies:
    """The queue of a library whose copies are synchronous, each into a new array."""

    def __init__(self, asarray: Callable[[np.ndarray], Array]) -> None:
        self.asarray = asarray

    def host(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """A buffer in ordinary memory."""
        return np.empty(shape, dtype)

    def device(self, shape: tuple[int, ...], dtype: Any) -> None:
        """No buffer: every copy makes an array."""

    def send(self, source: np.ndarray, target: None) -> Array:
        """The copy. A first one on the host, since the library may keep that memory, and the buffer is filled again."""
        return self.asarray(np.array(source))

    def copied(self) -> None:
        """Nothing is left to wait for."""

    def computed(self) -> None:
        """Nothing is left to wait for."""

    def copying_waits(self, mark: None) -> None:
        """An array that was sent lives as long as somebody reads it."""

    def computing_waits(self, mark: None) -> None:
        """The copy is done."""

    def host_waits(self, mark: None) -> None:
        """The copy is done."""
