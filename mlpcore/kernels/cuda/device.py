"""What the bodies need of a device: its arrays, and the launch of a kernel on them."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from mlpcore.kernels.cuda import Source
from mlpcore.typing import Array

Sizes = tuple[int, ...]  # up to three


@dataclass(frozen=True)
class Device:
    """``kind`` is the type of its arrays and ``library`` their `mlpcore.namespace`.

    ``launch(source, blocks, threads, arguments)`` runs a kernel on the current device and stream; the arguments are
    arrays of ``kind`` (their first element's address), Python integers (64 bits) and NumPy numbers. ``empty(shape,
    dtype)`` is a new array, ``address(x)`` where x begins, ``packed(x)`` whether x lies in C order without gaps.
    """

    kind: type | tuple[type, ...]
    library: ModuleType
    launch: Callable[[Source, Sizes, Sizes, tuple], None]
    empty: Callable[[tuple[int, ...], Any], Array]
    address: Callable[[Array], int]
    packed: Callable[[Array], bool]
