"""CuPy bodies: the kernels of `mlpcore.kernels.cuda`, launched on CuPy's current device and stream."""

from functools import cache, partial

import array_api_compat.cupy
import cupy

from mlpcore import ops
from mlpcore.kernels.cuda import Source, columns, crossentropy, largest, philox
from mlpcore.kernels.cuda.device import Device, Sizes
from mlpcore.kernels.cuda.fusing import Fusing
from mlpcore.kernels.cuda.library import without_host_reads
from mlpcore.random import Stream


@cache
def _kernel(source: Source) -> cupy.RawKernel:
    """Compiled at its first launch, once for every device."""
    return cupy.RawKernel(source.code, source.name, options=("--std=c++17", *source.options))


def _launch(source: Source, blocks: Sizes, threads: Sizes, arguments: tuple) -> None:
    _kernel(source)(blocks, threads, arguments)


DEVICE = Device(
    kind=cupy.ndarray,
    library=without_host_reads(cupy, array_api_compat.cupy),
    launch=_launch,
    empty=cupy.empty,
    address=lambda x: x.data.ptr,
    packed=lambda x: x.flags.c_contiguous,
)
FUSING = Fusing(DEVICE)
# Its factors are drawn on the device; no source was compiled for AMD's yet.
STREAM: type[Stream] = Stream if cupy.cuda.runtime.is_hip else philox.streams(DEVICE)


if not cupy.cuda.runtime.is_hip:
    ops.affine.register(cupy.ndarray)(FUSING.affine)
    ops.sweep.register(cupy.ndarray)(FUSING.sweep)
    ops.cellwise.register(cupy.ndarray)(FUSING.cellwise)
    ops.choose.register(cupy.ndarray)(FUSING.choose)
    ops.shrink.register(cupy.ndarray)(FUSING.shrink)
    ops.softmax_cross_entropy.register(cupy.ndarray)(partial(crossentropy.softmax_cross_entropy, DEVICE))
    ops.column_sum.register(cupy.ndarray)(partial(columns.column_sum, DEVICE))
    ops.largest.register(cupy.ndarray)(partial(largest.largest, DEVICE))
