"""Dropout's factors from Philox4x64-10 on the device: bit for bit those that `mlpcore.random.Stream` makes."""

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np

from mlpcore.kernels.cuda import BLOCK, Source
from mlpcore.kernels.cuda.device import Device
from mlpcore.kernels.cuda.tracing import C_TYPES
from mlpcore.random import Stream
from mlpcore.typing import Array

MEMBERS = 65535  # of a stack: the second length of a grid
LANES = 16  # numbers of 16 bits in a block of four words

# Salmon, Moraes, Dror & Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3"; the tests hold their vectors.
_CODE = """\
typedef {T} T;
struct alignas(16) Pack {{ T v[16 / sizeof(T)]; }};
extern "C" __global__ void __launch_bounds__({size}) factors(T *__restrict__ out, const long long count,
    const unsigned long long seed, const unsigned long long path, const unsigned long long step,
    const unsigned long long member, const unsigned int threshold, const T kept) {{
  const long long block = (long long)blockIdx.x * {size} + threadIdx.x, begin = block * {lanes};
  if (begin >= count) return;
  unsigned long long c0 = block, c1 = step, c2 = member + blockIdx.y, c3 = 0, k0 = seed, k1 = path;
#pragma unroll
  for (int round = 0; round < 10; ++round) {{
    const unsigned long long high0 = __umul64hi(0xD2E7470EE14C6C93ULL, c0), low0 = 0xD2E7470EE14C6C93ULL * c0;
    const unsigned long long high1 = __umul64hi(0xCA5A826395121157ULL, c2), low1 = 0xCA5A826395121157ULL * c2;
    c0 = high1 ^ c1 ^ k0; c1 = low1; c2 = high0 ^ c3 ^ k1; c3 = low0;
    k0 += 0x9E3779B97F4A7C15ULL; k1 += 0xBB67AE8584CAA73BULL;
  }}
  const unsigned long long words[4] = {{c0, c1, c2, c3}};
  out += (long long)blockIdx.y * count + begin;
  constexpr int V = 16 / sizeof(T);
  if (begin + {lanes} <= count && (unsigned long long)out % 16 == 0) {{
#pragma unroll
    for (int i = 0; i < {lanes} / V; ++i) {{
      Pack pack;
#pragma unroll
      for (int j = 0; j < V; ++j) {{
        const int lane = i * V + j;
        pack.v[j] = (words[lane / 4] >> 16 * (lane % 4) & 0xFFFF) < threshold ? kept : (T)0;
      }}
      *reinterpret_cast<Pack *>(out + i * V) = pack;
    }}
  }} else {{
#pragma unroll
    for (int lane = 0; lane < {lanes}; ++lane)
      if (begin + lane < count) out[lane] = (words[lane / 4] >> 16 * (lane % 4) & 0xFFFF) < threshold ? kept : (T)0;
  }}
}}
"""


@cache
def source(dtype: str) -> Source:
    """The kernel: a thread makes the 16 numbers of one block of the cipher."""
    return Source("factors", _CODE.format(T=C_TYPES[dtype], size=BLOCK, lanes=LANES))


@dataclass(frozen=True)
class DeviceStream(Stream):
    """A stream whose factors are arrays of ``device``; everything else it draws is made on the host, as ever."""

    device: ClassVar[Device]

    def factors(self, shape: tuple[int, ...], keep: float, dtype: str) -> Array:
        """As `Stream.factors`, in one launch."""
        stack, count = shape[:-2], math.prod(shape[-2:])
        members, first = math.prod(stack), 0 if stack else self.member
        if not 0 < members <= MEMBERS or not count:
            return super().factors(shape, keep, dtype)
        out = self.device.empty(tuple(shape), np.dtype(dtype))
        threshold = round(keep * 65536)
        words: list[Any] = [np.uint64(word) for word in (*self.key(), self.step, first)]
        words += [np.uint32(threshold), np.dtype(dtype).type(65536 / threshold)]
        blocks = -(-count // (LANES * BLOCK)), members
        self.device.launch(source(dtype), blocks, (BLOCK,), (out, count, *words))
        return out


def streams(device: Device) -> type[Stream]:
    """The class of streams that draw on this device; its ``replace`` and ``child`` give streams of the class again."""
    return type("DeviceStream", (DeviceStream,), {"device": device, "__doc__": DeviceStream.__doc__})
