"""The functions of a device that a printed program calls: memory, kernels, products."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from mlpcore.typing import Array


class ProductWithEpilogue(NamedTuple):
    """The arrays of a `FusedProduct`, and its ``precision``; each may have a first axis of members.

    a (rows, inner), b (inner, columns), ``out`` (rows, columns), ``bias`` and ``sums`` (1, columns). ``saved`` is
    (rows, columns), for ReLU (rows, bytes): bit i of byte j of a row stands for column 8 j + i.
    """

    a: Array
    b: Array
    out: Array
    precision: str
    bias: Array | None
    activation: str
    gradient: bool
    saved: Array | None
    sums: Array | None


@dataclass(frozen=True)
class Device:
    """A device as functions.

    - ``kernel(code, name, shared)`` compiles a kernel that gets ``shared`` bytes of dynamic shared memory. The result
      is called with the numbers of blocks and of members (the second axis of the grid), and the arguments: arrays,
      passed by the address of the first entry, structures as NumPy scalars, and Python integers of 64 bits.
    - ``put(x)`` copies a host array to the device. ``empty(count, dtype)`` allocates a vector.
    - ``view(x, offset, shape, strides)`` is a view of a vector; offset and strides count entries.
    - ``product(a, b, out, precision)`` prepares ``out = a @ b`` and returns the function that computes it; with
      "bfloat16" the factors hold bfloat16 bits as uint16.
    - ``fused_product(product)`` prepares a product with an epilogue; its result is None where the device has none such.
    - ``copy(source, target)`` and ``clear(target)`` write whole arrays. ``read(*arrays)`` copies arrays to the host, in
      one transfer.
    - ``address(x)`` is the address of an array's first entry.
    - ``capture(work)`` records what ``work()`` launches, and returns a function that launches all of it at once; None
      where the device cannot.
    """

    kernel: Callable[[str, str, int], Callable[[int, int, tuple], None]]
    put: Callable[[Any], Array]
    empty: Callable[[int, Any], Array]
    view: Callable[[Array, int, tuple[int, ...], tuple[int, ...]], Array]
    product: Callable[[Array, Array, Array, str], Callable[[], None]]
    copy: Callable[[Array, Array], None]
    clear: Callable[[Array], None]
    read: Callable[..., list[Any]]
    address: Callable[[Array], int]
    capture: Callable[[Callable[[], None]], Callable[[], None]] | None = None
    fused_product: Callable[[ProductWithEpilogue], Callable[[], None] | None] | None = None
