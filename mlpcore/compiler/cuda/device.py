"""What a printed program needs of a device: memory, launches, products."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mlpcore.typing import Array


@dataclass(frozen=True)
class Device:
    """``kernel(code, name)`` is a kernel of a source, to be called with a number of blocks and its arguments: arrays
    (their first entry), Python integers (64 bits) and NumPy numbers.

    ``put(x)`` copies a host array there, ``empty(count, dtype)`` is new memory, ``view(x, offset, shape, strides)`` an
    array in the memory of a vector ``x``, in entries. ``product(a, b, out, precision)`` prepares ``out = a @ b`` and
    gives what does it; with "bfloat16" the factors are bits of such numbers, as uint16. ``copy(source, target)`` and
    ``clear(target)`` write whole arrays.
    """

    kernel: Callable[[str, str], Callable[[int, tuple], None]]
    put: Callable[[Any], Array]
    empty: Callable[[int, Any], Array]
    view: Callable[[Array, int, tuple[int, ...], tuple[int, ...]], Array]
    product: Callable[[Array, Array, Array, str], Callable[[], None]]
    copy: Callable[[Array, Array], None]
    clear: Callable[[Array], None]
