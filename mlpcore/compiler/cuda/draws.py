"""The kernel of random factors: each thread computes one Philox block, which gives 16 factors."""

import re

from mlpcore.compiler.cuda.preamble import device_text, on_device
from mlpcore.compiler.cuda.schedule import BLOCK
from mlpcore.compiler.draws import CIPHER
from mlpcore.compiler.formulas import STORED
from mlpcore.compiler.graph import Node

TOGETHER = 16  # factors of a Philox block
PHILOX = device_text("#define high_of __umul64hi" + on_device(CIPHER))

_KERNEL = """// LABEL
extern "C" __global__ void __launch_bounds__(BLOCK) NAME(KIND *out, unsigned long long *key,
    unsigned long long *position, Distances<3> to_next, I begin, I count, I blocks, I width) {
  out += blockIdx.y * to_next.at[0];
  key += blockIdx.y * to_next.at[1];
  position += blockIdx.y * to_next.at[2];
  const I skipped = (I)position[1] * width, member = (I)blockIdx.x / blocks;  // factors of the rows before
  const I block = skipped / TOGETHER + ((I)blockIdx.x % blocks) * BLOCK + threadIdx.x;
  const I first = block * TOGETHER - skipped;
  if (first >= count) return;
  unsigned long long words[4];
  philox(words, block, position[0], key[2] + member, key[0], key[1]);
  const KIND kept = (KIND)(65536.0 / key[3]);
  out += begin + member * count + first;
  for (int i = first < 0 ? (int)-first : 0; i < TOGETHER && first + i < count; i++)
    out[i] = (words[i / 4] >> 16 * (i % 4) & 0xFFFF) < key[3] ? kept : 0;
}"""


def printed(node: Node, name: str) -> str:
    """The text of the kernel of a draw. Its key: seed, hash of the path, first member, threshold out of 65536."""
    words = {"KIND": STORED[str(node.dtype)], "BLOCK": BLOCK, "TOGETHER": TOGETHER, "NAME": name, "LABEL": node.label}
    return re.sub(r"\b[A-Z]+\b", lambda word: str(words.get(word[0], word[0])), _KERNEL)
