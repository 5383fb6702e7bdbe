"""Softmax cross-entropy and its gradient in one pass over the scores: groups of lanes for narrow rows, blocks for wide.

The formula is that of `mlpcore.losses.SoftmaxCrossEntropy`: the largest score's own term is exactly 1 and is left to
``log1p``. Sums are taken in an order that depends on the shape alone, by shuffles, trees and a second, small kernel.
"""

import math
from functools import cache
from typing import NamedTuple

import numpy as np

from mlpcore import ops
from mlpcore.kernels.cuda import BLOCK, Source
from mlpcore.kernels.cuda.device import Device
from mlpcore.kernels.cuda.tracing import C_TYPES, literal
from mlpcore.typing import Array

HELD = 32  # scores of a row that one lane holds in registers
BLOCKS = 2048  # more are not launched: about twice what the largest devices run at once
MEMBERS = 65535  # of a stack: the second length of a grid


class Shape(NamedTuple):
    """How rows are dealt out: ``lanes`` threads to a row, ``held`` scores to a lane (0: they are read again)."""

    lanes: int
    held: int
    threads: int
    blocks: int


def shape(rows: int, columns: int) -> Shape:
    """Rows of up to 1024 scores stay in the registers of up to 32 lanes; a wider one has a block of its own."""
    if columns > 32 * HELD:
        size = 256 if columns <= 8192 else 512 if columns <= 32768 else 1024
        return Shape(size, 0, size, max(1, min(rows, BLOCKS)))
    lanes = 1
    while lanes < min(columns, 32):
        lanes *= 2
    held = 1
    while held * lanes < columns:
        held *= 2
    return Shape(lanes, held, BLOCK, max(1, min(-(-rows // (BLOCK // lanes)), BLOCKS)))


_HEAD = """\
typedef {T} T;
#define MINUS_INFINITY ({minus_infinity})
static __device__ __forceinline__ T target_of(const {target_type} *target, long long row, long long columns,
    int column) {{
  const T t = {target};
  return {smoothed};
}}
// A finite score may be so far below the largest that the difference is infinite: beside a target of 0 it is left out.
#define COUNTS(t, log, score) (t != 0 || log != MINUS_INFINITY || score == MINUS_INFINITY)
// The sum over the block of what its threads hold, in every thread; a tree, so in one order.
static __device__ T block_sum(T value) {{
  __shared__ T sums[{threads}];
  sums[threadIdx.x] = value;
  for (int half = {threads} / 2; half > 0; half /= 2) {{
    __syncthreads();
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
  }}
  __syncthreads();
  const T sum = sums[0];
  __syncthreads();
  return sum;
}}
"""

_NARROW = """
constexpr int LANES = {lanes}, HELD = {held}, GROUPS = {threads} / LANES;
extern "C" __global__ void __launch_bounds__({threads}) cross_entropy(const T *__restrict__ z,
    const {target_type} *__restrict__ target, const T *__restrict__ weights, T *__restrict__ dz, T *__restrict__ sums,
    const long long rows, const long long columns) {{
  const int lane = threadIdx.x % LANES, group = threadIdx.x / LANES;
  const long long stack = blockIdx.y;
  T total = 0;
  // All lanes of a warp go on together, for they shuffle; those beyond the last row do nothing else.
  for (long long first = (long long)blockIdx.x * GROUPS; first < rows; first += (long long)gridDim.x * GROUPS) {{
    const long long row = first + group;
    const bool inside = row < rows;
    const long long begin = (stack * rows + row) * columns;
    T x[HELD], top = MINUS_INFINITY;
#pragma unroll
    for (int k = 0; k < HELD; ++k) {{
      const int column = lane + k * LANES;
      x[k] = inside && column < columns ? z[begin + column] : MINUS_INFINITY;
      top = top > x[k] || top != top ? top : x[k];
    }}
#pragma unroll
    for (int step = LANES / 2; step > 0; step /= 2) {{
      const T other = __shfl_xor_sync(0xffffffffu, top, step, LANES);
      top = top > other || top != top ? top : other;
    }}
    T others = 0, tops = 0;
#pragma unroll
    for (int k = 0; k < HELD; ++k) {{
      const bool largest = x[k] == top;
      x[k] -= top;
      if (lane + k * LANES < columns) {{
        if (largest) tops += 1;
        else others += exp(x[k]);
      }}
    }}
#pragma unroll
    for (int step = LANES / 2; step > 0; step /= 2) {{
      others += __shfl_xor_sync(0xffffffffu, others, step, LANES);
      tops += __shfl_xor_sync(0xffffffffu, tops, step, LANES);
    }}
    // One largest score is left out; more of them count 1 each, or NaN where they are infinite.
    const T rest = log1p(others + (tops > 1 ? tops - 1 + (top - top) : (T)0));
    const T weight = inside ? weights[row] : (T)0;
    T likelihood = 0;
#pragma unroll
    for (int k = 0; k < HELD; ++k) {{
      const int column = lane + k * LANES;
      if (inside && column < columns) {{
        const T log = x[k] - rest, t = target_of(target, row, columns, column);
        if (COUNTS(t, log, z[begin + column])) likelihood += t * log;
        dz[begin + column] = weight > 0 ? weight * (t == (T)1 ? expm1(log) : exp(log) - t) : (T)0;
      }}
    }}
#pragma unroll
    for (int step = LANES / 2; step > 0; step /= 2) likelihood += __shfl_xor_sync(0xffffffffu, likelihood, step, LANES);
    if (lane == 0 && weight > 0) total += weight * -likelihood;
  }}
  total = block_sum(total);
  if (threadIdx.x == 0) sums[stack * gridDim.x + blockIdx.x] = total;
}}
"""

_WIDE = """
// The largest score so far, and the sum of exp(score - largest) over the others; (-infinity, -1) is no score at all.
struct Scores {{ T top, others; }};
static __device__ __forceinline__ Scores joined(Scores a, Scores b) {{
  if (b.top > a.top) {{ const Scores swap = a; a = b; b = swap; }}
  return {{a.top, a.others + (b.others + 1) * (a.top == b.top ? (T)1 : exp(b.top - a.top))}};
}}
extern "C" __global__ void __launch_bounds__({threads}, 1024 / {threads}) cross_entropy(const T *__restrict__ z,
    const {target_type} *__restrict__ target, const T *__restrict__ weights, T *__restrict__ dz, T *__restrict__ sums,
    const long long rows, const long long columns) {{
  __shared__ Scores warps[{threads} / 32];
  const long long stack = blockIdx.y;
  T total = 0;
  for (long long row = blockIdx.x; row < rows; row += gridDim.x) {{
    const long long begin = (stack * rows + row) * columns;
    Scores mine = {{MINUS_INFINITY, -1}};
#pragma unroll 4
    for (int column = threadIdx.x; column < columns; column += {threads}) {{
      const T x = z[begin + column];
      if (x > mine.top) mine = {{x, (mine.others + 1) * exp(mine.top - x)}};
      else mine.others += x == mine.top ? (T)1 : exp(x - mine.top);
    }}
    for (int step = 16; step > 0; step /= 2) {{
      const T top = __shfl_down_sync(0xffffffffu, mine.top, step);
      const T others = __shfl_down_sync(0xffffffffu, mine.others, step);
      mine = joined(mine, {{top, others}});
    }}
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = mine;
    __syncthreads();
    Scores all = warps[0];
    for (int warp = 1; warp < {threads} / 32; ++warp) all = joined(all, warps[warp]);
    // The difference is 0, or NaN where the largest score is infinite: then only equals of it count as others.
    const T rest = log1p(all.others + (all.others > 0 ? all.top - all.top : (T)0));
    const T weight = weights[row];
    T likelihood = 0;
#pragma unroll 4
    for (int column = threadIdx.x; column < columns; column += {threads}) {{
      const T log = (z[begin + column] - all.top) - rest, t = target_of(target, row, columns, column);
      if (COUNTS(t, log, z[begin + column])) likelihood += t * log;
      dz[begin + column] = weight > 0 ? weight * (t == (T)1 ? expm1(log) : exp(log) - t) : (T)0;
    }}
    likelihood = block_sum(likelihood);
    if (weight > 0) total += weight * -likelihood;
  }}
  if (threadIdx.x == 0) sums[stack * gridDim.x + blockIdx.x] = total;
}}
"""

_TOTAL = """\
typedef {T} T;
extern "C" __global__ void __launch_bounds__({threads}) total(const T *__restrict__ sums, T *__restrict__ value,
    const long long count) {{
  __shared__ T parts[{threads}];
  T part = 0;
  for (long long i = threadIdx.x; i < count; i += {threads}) part += sums[blockIdx.x * count + i];
  parts[threadIdx.x] = part;
  for (int half = {threads} / 2; half > 0; half /= 2) {{
    __syncthreads();
    if (threadIdx.x < half) parts[threadIdx.x] += parts[threadIdx.x + half];
  }}
  if (threadIdx.x == 0) value[blockIdx.x] = parts[0];
}}
"""


@cache
def source(dtype: str, labels: bool, smoothing: float, classes: int, how: Shape) -> Source:
    """The kernel for scores of this dtype; ``classes`` matters only to the smoothing."""
    words = {
        "T": C_TYPES[dtype],
        "target_type": "int" if labels else C_TYPES[dtype],
        "target": "target[row] == column ? (T)1 : (T)0" if labels else "target[row * columns + column]",
        "smoothed": "t",
        "minus_infinity": literal(float("-inf"), dtype),
        **how._asdict(),
    }
    if smoothing:
        words["smoothed"] = f"{literal(1 - smoothing, dtype)} * t + {literal(smoothing / classes, dtype)}"
    return Source("cross_entropy", (_HEAD + (_NARROW if how.held else _WIDE)).format(**words))


@cache
def total(dtype: str) -> Source:
    """The kernel that adds up what the blocks of each network found."""
    return Source("total", _TOTAL.format(T=C_TYPES[dtype], threads=BLOCK))


def softmax_cross_entropy(
    device: Device, z: Array, target: Array, weights: Array, smoothing: float
) -> tuple[Array, Array]:
    """Two launches, or one where the first has one block; other dtypes and forms go to the reference body."""
    *stack, rows, columns = z.shape
    members, dtype, labels = math.prod(stack), z.dtype, target.ndim == 1
    fits = (
        dtype.char in "fd"
        and weights.dtype == dtype
        and target.dtype == (np.int32 if labels else dtype)
        and target.shape == ((rows,) if labels else (rows, columns))
        and weights.shape == (rows,)
        and all(map(device.packed, (z, target, weights)))
        and 0 < members <= MEMBERS
        and rows * columns > 0
    )
    if not fits:
        return ops.softmax_cross_entropy.body(z, target, weights, smoothing)
    how, kernel, second = _prepared(dtype.name, labels, smoothing, rows, columns)
    dz, value = device.empty(z.shape, dtype), device.empty(tuple(stack), dtype)
    sums = value if how.blocks == 1 else device.empty((members, how.blocks), dtype)
    device.launch(kernel, (how.blocks, members), (how.threads,), (z, target, weights, dz, sums, rows, columns))
    if how.blocks > 1:
        device.launch(second, (members,), (BLOCK,), (sums, value, how.blocks))
    return value, dz


@cache
def _prepared(dtype: str, labels: bool, smoothing: float, rows: int, columns: int) -> tuple[Shape, Source, Source]:
    """What a call needs besides its arrays."""
    how = shape(rows, columns)
    kernel = source(dtype, labels, smoothing, columns if smoothing else 0, how._replace(blocks=0))
    return how, kernel, total(dtype)
