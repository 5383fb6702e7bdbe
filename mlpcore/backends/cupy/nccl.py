"""Sums of vectors over the devices of several processes, through NCCL as CuPy wraps it."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from mlpcore.backends.backend import Connect
from mlpcore.typing import Array


class DeviceSums:
    """Adds up vectors of ``size`` processes, each with a device of its own; ``identity`` is the same for all of them.

    A sum is queued on the current stream, like a kernel, and the host does not wait for it. Gradients of products in
    bfloat16 are sums in float32, so no further type is needed.
    """

    def __init__(self, cupy: Any, nccl: Any, identity: Any, size: int, rank: int) -> None:
        self.cupy, self.nccl = cupy, nccl
        self.communicator = self.nccl.NcclCommunicator(size, identity, rank)

    def __call__(self, flat: Array) -> Array:
        """The sum of a vector of float32 or float64, in its own memory if that is contiguous."""
        total = self.cupy.ascontiguousarray(flat)
        kind = {"float32": self.nccl.NCCL_FLOAT32, "float64": self.nccl.NCCL_FLOAT64}[total.dtype.name]
        pointer, stream = total.data.ptr, self.cupy.cuda.get_current_stream().ptr
        self.communicator.allReduce(pointer, pointer, total.size, kind, self.nccl.NCCL_SUM, stream)
        return total

    def abort(self) -> None:
        """End sums that wait for other devices."""
        self.communicator.abort()


def connect(cupy: Any, number: int) -> Connect | None:
    """`mlpcore.backends.backend.DeviceExtras.connect` of device ``number``; None where CuPy finds no NCCL."""
    try:
        nccl = import_module("cupy.cuda.nccl")  # no attribute of CuPy before it is imported
    except ImportError:
        return None
    if not nccl.available:
        return None

    def connected(share: Callable[[Callable[[], Any]], Any], size: int, rank: int) -> DeviceSums:
        with cupy.cuda.Device(number):
            return DeviceSums(cupy, nccl, share(nccl.get_unique_id), size, rank)

    return connected
