"""CuPy as the device of printed programs."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from mlpcore.compiler.cuda.device import Device
from mlpcore.compiler.cuda.schedule import BLOCK

# Without contraction the sums and products of a formula round as on the host. CuPy adds -ftz=true and the architecture.
OPTIONS = ("--std=c++17", "--fmad=false")


def printed_device(cupy: Any) -> Device:
    """What printed programs need of CuPy, on the current device and stream."""
    view = cupy.lib.stride_tricks.as_strided

    @cache
    def kernel(code: str, name: str) -> Callable[[int, tuple], None]:
        compiled = cupy.RawKernel(code, name, options=OPTIONS)
        return lambda blocks, arguments: compiled((blocks,), (BLOCK,), arguments)

    def copy(source: Any, target: Any) -> None:
        target[...] = source

    return Device(
        kernel=kernel,
        put=cupy.asarray,
        empty=lambda count, dtype: cupy.empty(count, dtype),
        view=lambda x, offset, shape, strides: view(x[offset:], shape, [one * x.itemsize for one in strides]),
        product=lambda a, b, out: cupy.matmul(a, b, out=out),
        copy=copy,
        clear=lambda target: target.fill(0),
    )


def read_together(cupy: Any) -> Callable[..., list[np.ndarray]]:
    """``read(*arrays)``: the arrays on the host, sent there in one piece."""

    def read(*arrays: Any) -> list[np.ndarray]:
        host = cupy.asnumpy(cupy.concatenate([cupy.ascontiguousarray(one).reshape(-1).view("u1") for one in arrays]))
        parts = np.split(host, np.cumsum([one.nbytes for one in arrays])[:-1])
        return [part.view(one.dtype).reshape(one.shape) for part, one in zip(parts, arrays, strict=True)]

    return read
