"""The CUDA C text before the printed kernels: types, and the functions that they call."""

import re

from mlpcore.compiler.cuda.schedule import BLOCK
from mlpcore.compiler.preamble import FUNCTIONS

# The integer types of CUDA C by their number of bits.
_WHOLE = {"8": "char", "16": "short", "32": "int", "64": "long long"}


def device_text(text: str) -> str:
    """C text with its integer types and limits replaced by those of CUDA C."""

    def kind(match: re.Match) -> str:
        sign, bits = match[1], match[2]
        return ("unsigned " if sign else "signed " if bits == "8" else "") + _WHOLE[bits]

    def limit(match: re.Match) -> str:
        sign, bits, least = match[1], int(match[2]), match[3] == "MIN"
        largest = (1 << bits - (not sign)) - 1
        suffix = "ull" if sign else "ll"
        return f"(-{largest}{suffix} - 1)" if least else f"{largest}{suffix}"

    text = re.sub(r"\b(u?)int(8|16|32|64)_t\b", kind, text)
    return re.sub(r"\b(U?)INT(8|16|32|64)_(MIN|MAX)\b", limit, text)


def on_device(text: str) -> str:
    """C functions as device functions."""
    return text.replace("static inline", "static __device__ inline")


# Contiguous entries, read and written with one instruction where they are aligned. Indices past the last one read the
# first entry instead.
_ENTRIES = """
// An index that the compiler does not look into: of some sums it takes a store of 16 bytes apart.
static __device__ inline I opaque(I index) {
#ifdef __CUDACC_RTC__
  asm("" : "+l"(index));
#endif
  return index;
}
template <int WIDTH, typename T> struct alignas(WIDTH * sizeof(T)) Entries { T at[WIDTH]; };
template <int WIDTH, typename T> static __device__ inline void read_entries(T *to, const T *from, int count) {
  typedef Entries<WIDTH, T> All;
  if (count == WIDTH && (size_t)from % sizeof(All) == 0) {
    const All all = *(const All *)from;
#pragma unroll
    for (int k = 0; k < WIDTH; k++) to[k] = all.at[k];
  } else {
#pragma unroll
    for (int k = 0; k < WIDTH; k++) to[k] = from[k < count ? k : 0];
  }
}
template <int WIDTH, typename T> static __device__ inline void write_entries(T *to, const T *from, int count) {
  typedef Entries<WIDTH, T> All;
  if (count == WIDTH && (size_t)to % sizeof(All) == 0) {
    All all;
#pragma unroll
    for (int k = 0; k < WIDTH; k++) all.at[k] = from[k];
    *(All *)to = all;
  } else {
#pragma unroll
    for (int k = 0; k < WIDTH; k++)
      if (k < count) to[k] = from[k];
  }
}
"""
# Whether this block is the last of ``blocks`` to have written its part, which all of its threads then see. The last one
# sets the count back to 0 for the next launch.
_LAST = """
static __device__ inline bool last_to_write(unsigned *written, I blocks) {
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    last = atomicAdd(written, 1u) == blocks - 1;
    if (last) *written = 0;
  }
  __syncthreads();
  __threadfence();
  return last;
}
"""
# The distances, in entries, from a member's part of each array of a kernel to that of the next member.
_DISTANCES = "template <int COUNT> struct Distances { I at[COUNT]; };\n"
# Rounds to the nearest, ties to even; NaN stays NaN.
_BFLOAT16 = """
static inline uint16_t bfloat16_bits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return x != x ? bits >> 16 | 64 : (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
}
"""
PREAMBLE = device_text(
    "typedef long long I;\n"
    + _DISTANCES
    + f"__shared__ double shared[{BLOCK}];  // of the threads of a block, for sums\n"
    "#ifndef INFINITY\n#define INFINITY __int_as_float(0x7f800000)\n#endif\n"
    "#ifndef NAN\n#define NAN __int_as_float(0x7fffffff)\n#endif\n"
    + _ENTRIES
    + _LAST
    + on_device(FUNCTIONS + _BFLOAT16)
)
