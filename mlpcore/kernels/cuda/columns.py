"""Sums over the rows, as a bias gradient needs them: a kernel of one or two stages, and the choice between ways."""

import math
from functools import cache
from typing import NamedTuple

from mlpcore import ops
from mlpcore.kernels.cuda import BLOCK, Source
from mlpcore.kernels.cuda.device import Device
from mlpcore.kernels.cuda.tracing import C_TYPES
from mlpcore.typing import Array

BLOCKS = 1024  # that fill the largest devices
LEAST = 64  # rows of one thread: with fewer a second launch costs more than it saves
MEMBERS = 65535  # of a stack: the third length of a grid


class Shape(NamedTuple):
    """Blocks of ``across`` columns by ``down`` threads have ``share`` rows each; ``splits`` are one below another."""

    across: int
    down: int
    splits: int
    share: int


def shape(rows: int, columns: int, members: int = 1) -> Shape:
    """One stage where a thread has few rows, or columns are many; else as many splits as fill the device."""
    across = min(columns, 32)
    down = BLOCK // across
    tiles = -(-columns // across) * members
    splits = max(1, min(BLOCKS // tiles, rows // (down * LEAST), down * LEAST))
    share = -(-rows // splits)
    return Shape(across, down, -(-rows // share), share)


def way(rows: int, columns: int) -> str:
    """``"kernel"`` or ``"product"`` (of a row of ones with the matrix), by the shape.

    The kernel everywhere so far: a product would follow cuBLAS's choice of algorithm and, in float32, the precision
    chosen for products. No GPU has measured the two yet; ``benchmarks/operations.py`` times both.
    """
    return "kernel"


_CODE = """\
typedef {T} T;
extern "C" __global__ void __launch_bounds__({size}) column_sum(const T *__restrict__ x, T *__restrict__ sums,
    const long long rows, const long long columns, const long long share) {{
  __shared__ T parts[{down}][{across}];
  const long long column = (long long)blockIdx.x * {across} + threadIdx.x;
  const long long begin = blockIdx.y * share, end = begin + share < rows ? begin + share : rows;
  T part = 0;
  if (column < columns) {{
    const T *at = x + blockIdx.z * rows * columns + column;
#pragma unroll 8
    for (long long row = begin + threadIdx.y; row < end; row += {down}) part += at[row * columns];
  }}
  parts[threadIdx.y][threadIdx.x] = part;
  for (int left = {down}; left > 1;) {{
    const int half = (left + 1) / 2;
    __syncthreads();
    if (threadIdx.y + half < left) parts[threadIdx.y][threadIdx.x] += parts[threadIdx.y + half][threadIdx.x];
    left = half;
  }}
  if (threadIdx.y == 0 && column < columns)
    sums[((long long)blockIdx.z * gridDim.y + blockIdx.y) * columns + column] = parts[0][threadIdx.x];
}}
"""


@cache
def source(dtype: str, across: int, down: int) -> Source:
    """The kernel of both stages."""
    return Source("column_sum", _CODE.format(T=C_TYPES[dtype], across=across, down=down, size=across * down))


def by_kernel(device: Device, x: Array) -> Array:
    """The sums of the rows (..., c), added in an order that depends on the shape alone."""
    stack, (rows, columns) = tuple(x.shape[:-2]), x.shape[-2:]
    members = math.prod(stack)
    if x.dtype.char not in "fd" or not device.packed(x) or not 0 < members <= MEMBERS or not rows * columns:
        return ops.column_sum.body(x)
    while True:
        across, down, splits, share = shape(rows, columns, members)
        sums = device.empty((*stack, splits, columns), x.dtype)
        blocks = (-(-columns // across), splits, members)
        kernel = source(x.dtype.name, across, down)
        device.launch(kernel, blocks, (across, down), (x, sums, rows, columns, share))
        if splits == 1:
            return sums.reshape((*stack, columns))
        x, rows = sums, splits


def by_product(device: Device, x: Array) -> Array:
    """The product of a row of ones with each matrix."""
    return (device.library.ones((1, x.shape[-2]), dtype=x.dtype) @ x)[..., 0, :]


def column_sum(device: Device, x: Array) -> Array:
    """The way that is chosen for the shape."""
    return (by_kernel if way(*x.shape[-2:]) == "kernel" else by_product)(device, x)
