"""Counter-based random numbers: one seed gives the same bits on every backend, device, machine and thread count.

A draw is a function of seed, path (layer and purpose), member of a stack and step, never of earlier draws.
The bits are those of Philox4x64-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), block ``i`` of
a stream being the encrypted counter ``(i, step, member, 0)`` under the key ``(seed, hash of the path)``. Everything
made from the bits here uses only operations that IEEE 754 rounds correctly, so no mathematics library affects it.
"""

import hashlib
import math
from dataclasses import dataclass, replace

import numpy as np

_WORDS = 1 << 64


@dataclass(frozen=True)
class Stream:
    """An endless sequence of random bits. Every method reads it from the beginning.

    ``path`` names what the bits are for ("2.weight"), ``member`` is the place in a stack of networks, ``step`` the
    number of the training step.
    """

    seed: int
    path: str = ""
    member: int = 0
    step: int = 0

    def child(self, name: int | str) -> "Stream":
        """An independent stream, with ``name`` appended to the path: for layer 2, or for its weight."""
        return replace(self, path=f"{self.path}.{name}" if self.path else str(name))

    def count(self) -> np.ndarray:
        """``step`` as a float64 array without axes: the number of steps done, for schedules."""
        return np.asarray(float(self.step))

    def bits(self, n: int) -> np.ndarray:
        """``n`` words of 64 random bits."""
        # NumPy increments the counter before it encrypts, so the counter starts one below that of block 0.
        before = (self.step << 64) + (self.member << 128) - 1
        counter = np.array([before >> (64 * i) & (_WORDS - 1) for i in range(4)], dtype=np.uint64)
        key = np.array(self.key(), dtype=np.uint64)
        return np.random.Philox(counter=counter, key=key).random_raw(n)

    def key(self) -> tuple[int, int]:
        """The key of the cipher: the seed, and a hash of the path."""
        digest = hashlib.blake2b(self.path.encode(), digest_size=8).digest()
        return self.seed, int.from_bytes(digest, "little")

    def uniform(self, shape: tuple[int, ...]) -> np.ndarray:
        """Float64 numbers evenly spread over [0, 1): 53 bits each."""
        raw = self.bits(math.prod(shape)) >> np.uint64(11)
        return np.reshape(raw * 2.0**-53, shape)

    def normal(self, shape: tuple[int, ...]) -> np.ndarray:
        """Float64 standard normals by the polar method of Marsaglia and Bray (1964), two from each accepted pair."""
        n = math.prod(shape)
        normals, pairs = np.empty(0), n // 2 + 1
        while normals.size < n:  # a longer read begins with the same bits: the numbers do not depend on its length
            pairs = pairs * 3 // 2 + 8
            point = self.uniform((pairs, 2)) * 2 - 1
            radius2 = point[:, 0] * point[:, 0] + point[:, 1] * point[:, 1]
            inside = (radius2 < 1) & (radius2 > 0)
            s = radius2[inside]
            normals = np.reshape(point[inside] * np.sqrt(-2 * _log(s) / s)[:, None], -1)
        return np.reshape(normals[:n], shape)

    def mask(self, shape: tuple[int, ...], keep: float) -> np.ndarray:
        """Booleans that are true with probability ``round(65536 keep) / 65536``: 16-bit numbers below a threshold."""
        n = math.prod(shape)
        numbers = self.bits(-(-n // 4)).astype("<u8", copy=False).view("<u2")[:n]
        return np.reshape(numbers < round(keep * 65536), shape)

    def factors(self, shape: tuple[int, ...], keep: float, dtype: str) -> np.ndarray:
        """``1 / p`` where `mask` is true and 0 elsewhere, p being the probability that it is true.

        ``shape`` is (n, w), or (..., n, w) for a stack, whose network j draws as ``member`` j.
        """
        if len(shape) > 2:
            members = [replace(self, member=j).factors(shape[-2:], keep, dtype) for j in range(math.prod(shape[:-2]))]
            return np.reshape(np.asarray(members, dtype=dtype), shape)
        factor = np.asarray(65536 / round(keep * 65536), dtype=dtype)
        factors: np.ndarray = self.mask(shape, keep) * factor
        return factors

    def order(self, n: int) -> np.ndarray:
        """A permutation of ``range(n)``: the stable order of ``n`` random words."""
        words = self.bits(n)
        order = np.argsort(words)  # several times as fast as a stable sort, and the same where no two words are equal
        placed = words[order]
        return order if np.all(placed[1:] != placed[:-1]) else np.argsort(words, kind="stable")


def _log(x: np.ndarray) -> np.ndarray:
    """Natural logarithm of positive numbers by sums and products only, to 2e-16 relative away from 1.

    ``log(m 2^e) = e log 2 + 2 artanh((m - 1) / (m + 1))`` with ``m`` in [1/sqrt 2, sqrt 2): eleven terms suffice.
    """
    mantissa, exponent = np.frexp(x)
    low = mantissa < math.sqrt(0.5)
    mantissa, exponent = np.where(low, 2 * mantissa, mantissa), np.where(low, exponent - 1, exponent)
    t = (mantissa - 1) / (mantissa + 1)
    square, series = t * t, np.zeros_like(t)
    for k in range(21, 0, -2):
        series = series * square + 1 / k
    log: np.ndarray = exponent * math.log(2) + 2 * t * series
    return log
