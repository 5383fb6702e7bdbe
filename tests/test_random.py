"""Random numbers: the published cipher, streams that do not know of each other, and the same bits for ever."""

import json
import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlpcore.random import Stream, _log

GOLDEN = Path(__file__).parent / "golden" / "draws.json"
WORD = (1 << 64) - 1
WORDS = st.integers(0, WORD)

# philox4x64 10 in the file kat_vectors of Random123: counter, key, result.
PUBLISHED = [
    (
        "0000000000000000 0000000000000000 0000000000000000 0000000000000000",
        "0000000000000000 0000000000000000",
        "16554d9eca36314c db20fe9d672d0fdc d7e772cee186176b 7e68b68aec7ba23b",
    ),
    (
        "ffffffffffffffff ffffffffffffffff ffffffffffffffff ffffffffffffffff",
        "ffffffffffffffff ffffffffffffffff",
        "87b092c3013fe90b 438c3c67be8d0224 9cc7d7c69cd777b6 a09caebf594f0ba0",
    ),
    (
        "243f6a8885a308d3 13198a2e03707344 a4093822299f31d0 082efa98ec4e6c89",
        "452821e638d01377 be5466cf34e90c6c",
        "a528f45403e61d95 38c72dbd566e9788 a5a1610e72fd18b5 57bd43b5e52b7fe6",
    ),
]


def words(text):
    return [int(word, 16) for word in text.split()]


def philox(counter, key):
    """The cipher as the paper defines it, in Python's integers (Salmon et al. 2011, sec. 3.3)."""
    (a, b, c, d), (k0, k1) = counter, key
    for _ in range(10):
        first, second = 0xD2E7470EE14C6C93 * a, 0xCA5A826395121157 * c
        a, b, c, d = second >> 64 ^ b ^ k0, second & WORD, first >> 64 ^ d ^ k1, first & WORD
        k0, k1 = k0 + 0x9E3779B97F4A7C15 & WORD, k1 + 0xBB67AE8584CAA73B & WORD
    return [a, b, c, d]


@pytest.mark.parametrize(("counter", "key", "result"), PUBLISHED)
def test_published_vectors(counter, key, result):
    """NumPy's Philox meets them one count earlier, and so does the cipher that the streams are compared with."""
    assert philox(words(counter), words(key)) == words(result)
    number = sum(word << 64 * i for i, word in enumerate(words(counter)))
    before = [(number - 1) % (1 << 256) >> 64 * i & WORD for i in range(4)]
    numpy_blas = np.random.Philox(counter=np.array(before, dtype=np.uint64), key=np.array(words(key), dtype=np.uint64))
    assert numpy_blas.random_raw(4).tolist() == words(result)


@given(seed=WORDS, step=WORDS, member=WORDS, path=st.text(max_size=5))
def test_bits_are_the_cipher_of_block_step_and_member_under_seed_and_path(seed, step, member, path):
    import hashlib

    key = seed, int.from_bytes(hashlib.blake2b(path.encode(), digest_size=8).digest(), "little")
    expected = [word for block in range(3) for word in philox((block, step, member, 0), key)]
    assert Stream(seed, path, member, step).bits(10).tolist() == expected[:10]


DRAWS = {
    "bits": lambda stream, n: stream.bits(n),
    "uniform": lambda stream, n: stream.uniform((n,)),
    "normal": lambda stream, n: stream.normal((n,)),
    "mask": lambda stream, n: stream.mask((n,), 0.5),
}


@pytest.mark.parametrize("draw", DRAWS)
@given(n=st.integers(0, 40), more=st.integers(0, 200))
def test_a_longer_draw_begins_with_the_shorter_one(draw, n, more):
    np.testing.assert_array_equal(DRAWS[draw](Stream(3), n + more)[:n], DRAWS[draw](Stream(3), n))


@pytest.mark.parametrize("draw", DRAWS)
def test_nothing_depends_on_what_was_drawn_before(draw):
    stream = Stream(5, "2.weight")
    first = DRAWS[draw](stream, 50)
    for other in DRAWS.values():
        other(stream, 7)
    stream.order(9)
    stream.child("bias").bits(3)
    np.testing.assert_array_equal(DRAWS[draw](stream, 50), first)
    np.testing.assert_array_equal(DRAWS[draw](Stream(5).child(2).child("weight"), 50), first)


def test_seed_path_member_and_step_make_other_streams():
    stream = Stream(1, "a", 2, 3)
    others = [
        replace(stream, seed=2),
        replace(stream, path="b"),
        replace(stream, member=3),
        replace(stream, step=4),
        replace(stream, member=3, step=2),
        stream.child("a"),
        Stream(1).child("a.b"),
    ]
    drawn = np.stack([s.bits(64) for s in [stream, *others]])
    assert len(np.unique(drawn)) == drawn.size


def test_long_draws_of_neighbouring_steps_do_not_overlap():
    drawn = np.stack([Stream(1, step=step).bits(4000) for step in range(4)])
    assert len(np.unique(drawn)) == drawn.size


@given(shape=st.lists(st.integers(0, 4), max_size=3).map(tuple))
def test_shapes(shape):
    stream = Stream(0)
    for drawn in stream.uniform(shape), stream.normal(shape), stream.mask(shape, 0.5):
        assert drawn.shape == shape


def test_uniform_numbers_lie_in_the_unit_interval_and_fill_it():
    drawn = Stream(0).uniform((100_000,))
    assert np.all((drawn >= 0) & (drawn < 1))
    counts = np.bincount((drawn * 100).astype(int), minlength=100)
    assert np.sum((counts - 1000) ** 2 / 1000) < 160  # chi-squared, 99 degrees of freedom: p = 1e-4
    assert np.all(drawn * 2.0**53 == np.floor(drawn * 2.0**53)), "53 bits each"


def test_normals_have_the_moments_of_the_normal_distribution():
    n = 1_000_000
    drawn = Stream(0).normal((n,))
    for power, moment, variance in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)]:
        assert abs(np.mean(drawn**power) - moment) < 4 * math.sqrt(variance / n), power
    for bound, share in [(1, 0.6826894921), (2, 0.9544997361), (3, 0.9973002039)]:
        assert abs(np.mean(np.abs(drawn) < bound) - share) < 4 * math.sqrt(share * (1 - share) / n)
    assert abs(np.mean(drawn[::2] * drawn[1::2])) < 4 / math.sqrt(n / 2), "the two of a pair are independent"


def test_the_logarithm_behind_the_normals():
    x = np.concatenate([Stream(0).uniform((20_000,)) + 2.0**-53, 2.0 ** -np.arange(1.0, 106.0), [1.0]])
    np.testing.assert_allclose(_log(x), np.log(x), rtol=2e-15, atol=2e-16)


@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_masks_have_their_probability(keep):
    n = 200_000
    drawn = Stream(0).mask((n,), keep)
    assert drawn.dtype == np.bool_
    assert abs(np.mean(drawn) - keep) <= 4 * math.sqrt(keep * (1 - keep) / n)


def test_masks_are_16_bit_lanes_of_the_bits():
    stream = Stream(9)
    lanes = [int(word) >> 16 * i & 0xFFFF for word in stream.bits(5) for i in range(4)]
    assert stream.mask((18,), 0.3).tolist() == [lane < round(0.3 * 65536) for lane in lanes[:18]]


@given(n=st.integers(0, 300), seed=WORDS)
def test_orders_are_permutations(n, seed):
    order = Stream(seed).order(n)
    assert sorted(order.tolist()) == list(range(n))


def test_rows_with_equal_words_keep_their_order(monkeypatch):
    words = Stream(0).bits(1000) % np.uint64(7)
    monkeypatch.setattr(Stream, "bits", lambda self, n: words[:n])
    assert Stream(0).order(1000).tolist() == sorted(range(1000), key=lambda i: words[i])


def test_every_place_of_an_order_is_equally_likely():
    orders = np.stack([Stream(0, step=step).order(4) for step in range(4000)])
    seen, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(seen) == 24
    assert np.sum((counts - 4000 / 24) ** 2 / (4000 / 24)) < 58  # 23 degrees of freedom: p = 1e-4


def test_the_share_of_kept_factors_is_the_threshold():
    """keep rounds to 65536ths, and a kept factor is the reciprocal in the dtype."""
    for keep in (0.3, 0.5, 0.9):
        factors = Stream(0).factors((400, 500), keep, "float64")
        share = Fraction(round(65536 * keep), 65536)
        assert set(np.unique(factors)) == {0.0, float(1 / share)}
        # Five standard deviations of a binomial proportion.
        assert abs(np.mean(factors > 0) - float(share)) < 5 * math.sqrt(share * (1 - share) / factors.size)


def golden_draws():
    """What the committed file holds; written by ``python tests/test_random.py``, and not to be changed again."""
    streams = [
        Stream(0),
        Stream(1, "0.weight"),
        Stream(2**64 - 1, "3.0.mask", 5, 2**40),
        Stream(20261101, "order", 0, 17),
    ]
    return [
        {
            "stream": [stream.seed, stream.path, stream.member, stream.step],
            "bits": [f"{word:016x}" for word in stream.bits(6).tolist()],
            "uniform": [x.hex() for x in stream.uniform((6,)).tolist()],
            "normal": [x.hex() for x in stream.normal((41,)).tolist()],
            "mask": "".join("01"[kept] for kept in stream.mask((64,), 0.7).tolist()),
            "order": stream.order(12).tolist(),
        }
        for stream in streams
    ]


def test_draws_are_those_of_the_golden_file_bit_for_bit():
    assert golden_draws() == json.loads(GOLDEN.read_text())


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(golden_draws(), indent=1) + "\n")
