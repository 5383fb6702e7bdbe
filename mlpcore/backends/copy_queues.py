"""The copy queue of a library whose copies are done when they return."""

from collections.abc import Callable
from typing import Any

import numpy as np

from mlpcore.typing import Array


class PlainCopies:
    """The copies of a library whose copies are done when they return, each into an array of its own."""

    def __init__(self, asarray: Callable[[np.ndarray], Array]) -> None:
        self.asarray = asarray

    def host(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Ordinary memory."""
        return np.empty(shape, dtype)

    def device(self, shape: tuple[int, ...], dtype: Any) -> None:
        """None is needed."""

    def send(self, source: np.ndarray, target: None) -> Array:
        """A copy made now: the library may keep the memory it is given, and the buffer is filled again."""
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
