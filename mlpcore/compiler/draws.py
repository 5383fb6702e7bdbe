"""Random draws as operations of a graph: a traced stream, and the Philox4x64-10 generator in C and in NumPy."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mlpcore.compiler.arrays import TracedArray
from mlpcore.compiler.graph import Dim, Untraceable, label
from mlpcore.random import Stream

# A block of the cipher: Salmon, Moraes, Dror & Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3".
# It calls high_of(a, b), the upper half of a product, which C and CUDA have in their own ways.
CIPHER = """
static inline void philox(uint64_t *out, uint64_t c0, uint64_t c1, uint64_t c2, uint64_t k0, uint64_t k1) {
  uint64_t c3 = 0;
  for (int round = 0; round < 10; round++) {
    const uint64_t high0 = high_of(0xD2E7470EE14C6C93ULL, c0), low0 = 0xD2E7470EE14C6C93ULL * c0;
    const uint64_t high1 = high_of(0xCA5A826395121157ULL, c2), low1 = 0xCA5A826395121157ULL * c2;
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 += 0x9E3779B97F4A7C15ULL;
    k1 += 0xBB67AE8584CAA73BULL;
  }
  out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}
"""
_HIGH = "static inline uint64_t high_of(uint64_t a, uint64_t b) { return (uint64_t)((unsigned __int128)a * b >> 64); }"
PHILOX = _HIGH + CIPHER
# 16 factors from every block, with the bits of `mlpcore.random.Stream`.
_FACTORS = """
// key: seed, hash of the path, first member, threshold of 65536. position: the step, and the place in the batch of the
// first row. Factors of `count` entries in rows of `width` for every member, from that of number `start` on.
static void factors_KIND(KIND *out, I members, I start, I count, I width, const uint64_t *key,
                         const uint64_t *position) {
  const KIND kept = (KIND)(65536.0 / key[3]);
  start += (I)position[1] * width;
  for (I member = 0; member < members; member++, out += count)
    for (I begin = start / 16 * 16; begin < start + count; begin += 16) {
      uint64_t words[4];
      philox(words, begin / 16, position[0], key[2] + member, key[0], key[1]);
      const int end = start + count - begin < 16 ? (int)(start + count - begin) : 16;
      for (int i = begin < start ? (int)(start - begin) : 0; i < end; i++)
        out[begin - start + i] = (words[i / 4] >> 16 * (i % 4) & 0xFFFF) < key[3] ? kept : 0;
    }
}
"""
FACTORS = PHILOX + "".join(_FACTORS.replace("KIND", kind) for kind in ("float", "double"))


@dataclass(frozen=True)
class TracedStream:
    """`mlpcore.random.Stream` while a step is traced.

    ``position`` is a traced array (2,) of uint64: the number of the step, and the place in the batch of the first row,
    which is not 0 where other processes compute the rows before.

    `factors` becomes an operation. Methods that are not defined here raise `Untraceable`; such noise is drawn on the
    host before the chunk runs.
    """

    stream: Stream
    position: TracedArray

    def child(self, name: int | str) -> "TracedStream":
        """The independent stream of a child, by name."""
        return replace(self, stream=self.stream.child(name))

    def count(self) -> TracedArray:
        """As `Stream.count`, but (1,)."""
        return self.position.tracer.astype(self.position[:1], np.dtype("float64"))

    def factors(self, shape: tuple[Dim, ...], keep: float | TracedArray, dtype: str) -> TracedArray:
        """As `Stream.factors`; ``keep`` may be a traced array (1,)."""
        tracer, key = self.position.tracer, [*self.stream.key(), 0 if len(shape) > 2 else self.stream.member]
        if isinstance(keep, TracedArray):
            threshold = tracer.astype(tracer.round(keep * 65536.0), np.dtype("uint64"))
            words = tracer.concat([tracer.asarray(np.array(key, np.uint64)), threshold])
        else:
            words = tracer.asarray(np.array([*key, round(keep * 65536)], np.uint64))
        operands = (words.node, self.position.node)
        return tracer.wrap(tracer.graph.add("factors", "draw", operands, tuple(shape), dtype, label()))

    def __getattr__(self, name: str) -> Any:
        raise Untraceable(f"the method {name} of a stream")


def draw_factors(out: np.ndarray, key: np.ndarray, position: np.ndarray) -> None:
    """Fill ``out`` (..., n, width) with the same factors as the C text: 1/keep or 0."""
    seed, path, member, threshold = (int(word) for word in key)
    scale = out.dtype.type(65536 / threshold)
    step, count, start = int(position[0]), math.prod(out.shape[-2:]), int(position[1]) * out.shape[-1]
    block, skipped = start // 16, start % 16
    for number, factors in enumerate(out.reshape(-1, count)):
        # One block back: NumPy increments the counter before it generates.
        before = block + (step << 64) + ((member + number) << 128) - 1
        counter = np.array([before >> (64 * i) & ((1 << 64) - 1) for i in range(4)], np.uint64)
        cipher = np.random.Philox(counter=counter, key=np.array([seed, path], np.uint64))
        words = cipher.random_raw(-(-(skipped + count) // 4))
        lanes = words.astype("<u8", copy=False).view("<u2")[skipped : skipped + count]
        np.multiply(lanes < threshold, scale, out=factors)
