"""The largest absolute value of each vector in one pass, by a kernel of one or two stages."""

import math
from functools import cache

from mlpcore import ops
from mlpcore.kernels.cuda import BLOCK, Source
from mlpcore.kernels.cuda.device import Device
from mlpcore.kernels.cuda.tracing import C_TYPES
from mlpcore.typing import Array

BLOCKS = 1024  # of a vector; the second stage has one
EACH = 16  # entries of a thread at least, where there are several blocks
ALONE = 64  # entries of a thread up to which one block does it all, for a second launch costs more
MEMBERS = 65535  # of a stack: the second length of a grid


def blocks(length: int) -> int:
    """Blocks for a vector of that length."""
    return 1 if length <= BLOCK * ALONE else min(BLOCKS, length // (BLOCK * EACH))


_CODE = """\
typedef {T} T;
extern "C" __global__ void __launch_bounds__({size}) largest(const T *__restrict__ vectors, T *__restrict__ made,
    const long long length) {{
  __shared__ T tops[{size}];
  const T *const vector = vectors + blockIdx.y * length;
  const long long first = (long long)blockIdx.x * {size} + threadIdx.x;
  T top = 0;
#pragma unroll 8
  for (long long i = first; i < length; i += (long long)gridDim.x * {size}) {{
    const T x = vector[i] < 0 ? -vector[i] : vector[i];
    top = x > top || x != x ? x : top;  // a NaN, once met, stays
  }}
  tops[threadIdx.x] = top;
  for (int half = {size} / 2; half > 0; half /= 2) {{
    __syncthreads();
    if (threadIdx.x < half) {{
      const T x = tops[threadIdx.x + half];
      T &a = tops[threadIdx.x];
      a = x > a || x != x ? x : a;
    }}
  }}
  if (threadIdx.x == 0) made[blockIdx.y * gridDim.x + blockIdx.x] = tops[0];
}}
"""


@cache
def source(dtype: str) -> Source:
    """The kernel, the same for both stages."""
    return Source("largest", _CODE.format(T=C_TYPES[dtype], size=BLOCK))


def largest(device: Device, x: Array, axis: int = -1) -> Array:
    """One launch, or two for a long vector; NaN where there is one, as in the reference body."""
    stack, length = tuple(x.shape[:-1]), x.shape[-1]
    members = math.prod(stack)
    if axis != -1 or x.dtype.char not in "fd" or not device.packed(x) or not 0 < members <= MEMBERS or not length:
        return ops.largest.body(x, axis)
    while True:
        many = blocks(length)
        made = device.empty(stack if many == 1 else (*stack, many), x.dtype)
        device.launch(source(x.dtype.name), (many, members), (BLOCK,), (x, made, length))
        if many == 1:
            return made
        x, length = made, many
