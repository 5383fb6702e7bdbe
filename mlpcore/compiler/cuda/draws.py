"""The factors of Dropout on a device: a thread makes the 16 factors of a block of the cipher."""

from mlpcore.compiler.cuda.schedule import BLOCK
from mlpcore.compiler.formulas import STORED
from mlpcore.compiler.graph import Node

TOGETHER = 16

PHILOX = """
static __device__ inline void philox(unsigned long long *out, unsigned long long c0, unsigned long long c1,
    unsigned long long c2, unsigned long long k0, unsigned long long k1) {
  unsigned long long c3 = 0;
  for (int round = 0; round < 10; round++) {
    const unsigned long long high0 = __umul64hi(0xD2E7470EE14C6C93ULL, c0), low0 = 0xD2E7470EE14C6C93ULL * c0;
    const unsigned long long high1 = __umul64hi(0xCA5A826395121157ULL, c2), low1 = 0xCA5A826395121157ULL * c2;
    c0 = high1 ^ c1 ^ k0; c1 = low1; c2 = high0 ^ c3 ^ k1; c3 = low0;
    k0 += 0x9E3779B97F4A7C15ULL; k1 += 0xBB67AE8584CAA73BULL;
  }
  out[0] = c0; out[1] = c1; out[2] = c2; out[3] = c3;
}
"""

_KERNEL = """// LABEL
extern "C" __global__ void __launch_bounds__(BLOCK) NAME(KIND *out, unsigned long long *key, unsigned long long *step,
    I begin, I count, I blocks) {
  const I block = ((I)blockIdx.x % blocks) * BLOCK + threadIdx.x, member = (I)blockIdx.x / blocks;
  if (block * 16 >= count) return;
  unsigned long long words[4];
  philox(words, block, step[0], key[2] + member, key[0], key[1]);
  const KIND kept = (KIND)(65536.0 / key[3]);
  out += begin + member * count + block * 16;
  for (int i = 0; i < 16 && block * 16 + i < count; i++)
    out[i] = (words[i / 4] >> 16 * (i % 4) & 0xFFFF) < key[3] ? kept : 0;
}"""


def printed(node: Node, name: str) -> str:
    """The kernel of a draw; its key: seed, hash of the path, first member, threshold of 65536."""
    text = _KERNEL.replace("KIND", STORED[str(node.dtype)]).replace("BLOCK", str(BLOCK))
    return text.replace("NAME", name).replace("LABEL", node.label)
