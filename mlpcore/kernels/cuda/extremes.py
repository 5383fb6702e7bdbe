"""The largest and the smallest entry of each vector in one pass, by a kernel of one or two stages."""

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
extern "C" __global__ void __launch_bounds__({size}) extremes(const T *__restrict__ high, const T *__restrict__ low,
    T *__restrict__ highest, T *__restrict__ lowest, const long long length) {{
  __shared__ T highs[{size}], lows[{size}];
  const long long begin = blockIdx.y * length, first = (long long)blockIdx.x * {size} + threadIdx.x;
  // Threads beyond the end look at the last entry; a NaN, once met, stays.
  T top = high[begin + (first < length ? first : length - 1)];
  T bottom = {low_of_first};
#pragma unroll 8
  for (long long i = first; i < length; i += (long long)gridDim.x * {size}) {{
    const T x = high[begin + i], y = {low_of_i};
    top = x > top || x != x ? x : top;
    bottom = y < bottom || y != y ? y : bottom;
  }}
  highs[threadIdx.x] = top;
  lows[threadIdx.x] = bottom;
  for (int half = {size} / 2; half > 0; half /= 2) {{
    __syncthreads();
    if (threadIdx.x < half) {{
      const T x = highs[threadIdx.x + half], y = lows[threadIdx.x + half];
      T &a = highs[threadIdx.x], &b = lows[threadIdx.x];
      a = x > a || x != x ? x : a;
      b = y < b || y != y ? y : b;
    }}
  }}
  if (threadIdx.x == 0) {{
    highest[blockIdx.y * gridDim.x + blockIdx.x] = highs[0];
    lowest[blockIdx.y * gridDim.x + blockIdx.x] = lows[0];
  }}
}}
"""


@cache
def source(dtype: str, paired: bool) -> Source:
    """The kernel; ``paired`` for the second stage, whose lows are not its highs."""
    first = "low[begin + (first < length ? first : length - 1)]" if paired else "top"
    words = {"low_of_first": first, "low_of_i": "low[begin + i]" if paired else "x"}
    return Source("extremes", _CODE.format(T=C_TYPES[dtype], size=BLOCK, **words))


def extremes(device: Device, x: Array) -> tuple[Array, Array]:
    """One launch, or two for a long vector; NaN where there is one, as in the reference body."""
    stack, length = tuple(x.shape[:-1]), x.shape[-1]
    members = math.prod(stack)
    if x.dtype.char not in "fd" or not device.packed(x) or not 0 < members <= MEMBERS or not length:
        return ops.extremes.body(x)
    high, low, paired = x, x, False
    while True:
        many = blocks(length)
        shape = stack if many == 1 else (*stack, many)
        highs, lows = device.empty(shape, x.dtype), device.empty(shape, x.dtype)
        kernel = source(x.dtype.name, paired)
        device.launch(kernel, (many, members), (BLOCK,), (high, low, highs, lows, length))
        if many == 1:
            return highs, lows
        high, low, length, paired = highs, lows, many, True
