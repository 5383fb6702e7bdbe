"""The kernels that add up, and the random factors: their CUDA sources on the CPU against the definitions."""

import math
import re
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from cuda_emulator import Emulator, needed, nvrtc, usage
from test_random import PUBLISHED, words

from mlpcore import ops
from mlpcore.kernels.cuda import BLOCK, Source, columns, crossentropy, largest, philox
from mlpcore.layers import Dropout
from mlpcore.losses import SoftmaxCrossEntropy
from mlpcore.random import Stream

DTYPES = ("float32", "float64")
ARCHITECTURES = ("sm_80", "sm_90")


def arrays(stack, n, c, labels, dtype, seed=0):
    rng = np.random.default_rng(seed)
    z = (3 * rng.normal(size=(*stack, n, c))).astype(dtype)
    target = rng.integers(0, c, n).astype(np.int32) if labels else rng.dirichlet(np.ones(c), n).astype(dtype)
    return z, target, rng.integers(0, 3, n).astype(dtype)


def defined(z, target, weights, smoothing):
    return SoftmaxCrossEntropy(smoothing).value_and_grad(z, target, weights)


# ---- softmax cross-entropy: stack, rows, classes, labels, smoothing; 1024 and 1025 are where rows become wide ----

SCORES = [((), 5, 10, True, 0.0), ((), 301, 10, True, 0.1), ((), 1, 1, True, 0.0), ((), 1, 2, False, 0.0),
          ((), 40, 33, False, 0.1), ((2,), 7, 100, True, 0.0), ((2, 2), 3, 5, False, 0.2), ((), 3, 1024, True, 0.0),
          ((), 3, 1025, True, 0.1), ((2,), 2, 3000, False, 0.0), ((), 1, 9001, True, 0.0)]  # fmt: skip


@needed
@pytest.mark.parametrize("case", SCORES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_cross_entropy_is_as_right_as_the_definition(case, dtype):
    stack, n, c, labels, smoothing = case
    z, target, weights = arrays(stack, n, c, labels, dtype)
    emulator = Emulator()
    value, dz = crossentropy.softmax_cross_entropy(emulator.device, z, target, weights, smoothing)
    wide = [x.astype("float64") if x.dtype.kind == "f" else x for x in (z, target, weights)]
    exact, exact_dz = defined(*wide, smoothing)
    assert value.dtype == dz.dtype == dtype and value.shape == stack and dz.shape == z.shape
    # A row's score differences are off by a unit in the last place of numbers up to 30, and weights go up to 2.
    eps = 64 * np.finfo(dtype).eps
    np.testing.assert_allclose(dz, exact_dz, rtol=0, atol=eps)
    np.testing.assert_allclose(value, exact, rtol=eps)
    assert len(emulator.launched) == 1 + (crossentropy.shape(n, c).blocks > 1)


@needed
@pytest.mark.parametrize(("n", "c"), [(300, 2), (100, 20), (41, 33), (7, 1100)])
def test_cross_entropy_of_more_rows_than_blocks(n, c, monkeypatch):
    given = (*arrays((2,), n, c, True, "float64"), 0.0)
    monkeypatch.setattr(crossentropy, "BLOCKS", 2)
    assert crossentropy.shape(n, c).blocks == 2
    found = crossentropy.softmax_cross_entropy(Emulator().device, *given)
    for one, other in zip(found, defined(*given), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)


@needed
@pytest.mark.parametrize("c", [3, 1500])
@pytest.mark.parametrize("dtype", DTYPES)
def test_cross_entropy_of_scores_that_are_not_finite_is_that_of_the_definition(c, dtype):
    inf, nan = np.inf, np.nan
    rows = [[1, nan, 2], [inf, 0, 1], [-inf, 0, 1], [-inf, -inf, -inf], [inf, inf, 0], [-inf, inf, nan], [1e30, 0, 0],
            [5, 5, 5], [-1e4, 1e4, 0], [50, 0, 0], [nan, nan, nan], [0, -inf, 0]]  # fmt: skip
    for row in rows:
        z = np.tile(np.asarray(row, dtype), (1, c // 3))
        for label in (0, 1):
            for weight in (0.0, 1.0):
                given = z, np.array([label], np.int32), np.array([weight], dtype), 0.0
                found = crossentropy.softmax_cross_entropy(Emulator().device, *given)
                with np.errstate(all="ignore"):
                    expected = defined(*given)
                compare = partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-30, err_msg=str((row, label, weight)))
                compare(found[0], expected[0])
                if np.isnan(expected[1]).any():  # the step fails; which entries show it is not laid down
                    assert np.isnan(found[1]).any()
                else:
                    compare(found[1], expected[1])


@needed
def test_a_sure_and_right_score_keeps_its_digits():
    for c in (2, 1025):
        z = np.full((1, c), -50.0)
        z[0, 1] = 0
        value, dz = crossentropy.softmax_cross_entropy(Emulator().device, z, np.array([1], np.int32), np.ones(1), 0.0)
        assert value == pytest.approx((c - 1) * math.exp(-50), rel=1e-12, abs=0)
        assert dz[0, 0] == pytest.approx(math.exp(-50), rel=1e-12, abs=0)


def test_forms_without_a_kernel_go_to_the_definition():
    z, target, weights = arrays((), 4, 3, True, "float64")
    emulator = Emulator()
    for given in ((z, target.astype(np.int64), weights), (z[:, ::-1], target, weights),
                  (z, target, weights.astype("float32")), (z.astype("float32"), target, weights),
                  (z[:0], target[:0], weights[:0])):  # fmt: skip
        found = crossentropy.softmax_cross_entropy(emulator.device, *given, 0.0)
        for one, other in zip(found, ops.softmax_cross_entropy.body(*given, 0.0), strict=True):
            np.testing.assert_array_equal(one, other)
    assert not emulator.launched


def test_rows_are_dealt_out_whole():
    for rows in (1, 2, 300, 16384, 10**7):
        for c in (1, 2, 3, 10, 31, 32, 33, 1000, 1024, 1025, 8193, 100_000):
            how = crossentropy.shape(rows, c)
            assert how.threads % 32 == 0 and how.threads <= 1024 and 1 <= how.blocks <= crossentropy.BLOCKS
            if how.held:
                assert how.lanes & (how.lanes - 1) == 0 and how.lanes <= 32 and how.threads == BLOCK
                assert how.lanes * how.held >= c and how.held <= crossentropy.HELD
                assert how.blocks * (BLOCK // how.lanes) >= rows or how.blocks == crossentropy.BLOCKS
            else:
                assert how.lanes == how.threads and c > 1024


# ---- sums over the rows ----

MATRICES = [(5, 3), (1, 1), (1, 70), (300, 10), (257, 33), (3000, 1), (2, 2000, 70), (2, 3, 9, 4), (20000, 2)]


@needed
@pytest.mark.parametrize("shape", MATRICES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_column_sums_are_right_to_rounding_by_both_ways(shape, dtype):
    x = np.random.default_rng(0).normal(size=shape).astype(dtype)
    exact = np.sum(x.astype("float64"), axis=-2)
    # The bound of a sum of n numbers, taken as the partial sums of one thread: n eps sum |x|.
    bound = np.finfo(dtype).eps * 32 * np.sum(np.abs(x), axis=-2)
    emulator = Emulator()
    for made in (columns.by_kernel(emulator.device, x), columns.by_product(emulator.device, x)):
        assert made.dtype == dtype and made.shape == exact.shape
        assert np.all(np.abs(made - exact) <= bound)
    splits = columns.shape(shape[-2], shape[-1], math.prod(shape[:-2])).splits
    assert len(emulator.launched) == 1 + (splits > 1)
    np.testing.assert_array_equal(columns.column_sum(emulator.device, x), columns.by_kernel(emulator.device, x))


@needed
def test_column_sums_keep_nan_and_infinity_in_their_columns():
    x = np.ones((100, 5))
    x[3, 1], x[50, 2], x[99, 4] = np.nan, np.inf, -np.inf
    np.testing.assert_array_equal(columns.by_kernel(Emulator().device, x), [100, np.nan, np.inf, 100, -np.inf])
    emulator = Emulator()
    np.testing.assert_array_equal(columns.by_kernel(emulator.device, x[:, ::2]), x[:, ::2].sum(axis=0))
    assert not emulator.launched  # not packed


def test_every_row_has_one_split():
    for rows in (1, 63, 256, 4096, 16385, 10**6):
        for c in (1, 3, 10, 31, 32, 33, 512, 4096, 50_000):
            for members in (1, 7):
                across, down, splits, share = columns.shape(rows, c, members)
                assert across <= min(c, 32) and across * down <= BLOCK and splits * share >= rows > (splits - 1) * share
                assert splits == 1 or splits * -(-c // across) * members <= columns.BLOCKS
                assert columns.shape(splits, c, members).splits == 1  # no third stage
    assert columns.way(1, 1) in ("kernel", "product")


@needed
@pytest.mark.parametrize("shape", [(1,), (5,), (300,), (16384,), (16385,), (70_001,), (2, 3), (2, 2, 20_000)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_largest_is_that_of_the_definition(shape, dtype):
    x = np.random.default_rng(0).normal(size=shape).astype(dtype)
    emulator = Emulator()
    for value in (None, np.inf, -np.inf, np.nan):
        for at in (0, shape[-1] // 2, shape[-1] - 1):
            given = x.copy()
            if value is not None:
                given[..., at] = value
            one, other = largest.largest(emulator.device, given), ops.largest.body(given)
            assert one.dtype == dtype and one.shape == shape[:-1] and np.array_equal(one, other, equal_nan=True)
    assert len(emulator.launched) == 12 * (1 + (largest.blocks(shape[-1]) > 1))


def test_a_vector_has_blocks_enough_and_two_stages_at_most():
    for length in (1, 256, 16384, 16385, 10**6, 10**9):
        many = largest.blocks(length)
        assert 1 <= many <= largest.BLOCKS and largest.blocks(many) == 1
        assert many == 1 or length // (many * BLOCK) >= largest.EACH


@needed
def test_the_turns_of_the_threads_do_not_matter():
    """What a missing barrier would show: threads that take turns from the last to the first give the same bits."""
    for dtype in DTYPES:
        for case in (SCORES[1], SCORES[5], SCORES[8]):
            stack, n, c, labels, smoothing = case
            given = (*arrays(stack, n, c, labels, dtype), smoothing)
            one, other = (crossentropy.softmax_cross_entropy(Emulator(way).device, *given) for way in (False, True))
            assert np.array_equal(one[0], other[0]) and np.array_equal(one[1], other[1])
        x = np.random.default_rng(0).normal(size=(2, 2000, 70)).astype(dtype)
        long = x.reshape(2, -1)
        assert np.array_equal(*(largest.largest(Emulator(way).device, long) for way in (False, True)))
        assert np.array_equal(*(columns.by_kernel(Emulator(way).device, x) for way in (False, True)))


def test_shapes_know_no_device():
    """So that sums have one order, and a run the same bits, on devices of any size."""
    assert crossentropy.shape(16384, 10) == crossentropy.Shape(16, 1, 256, 1024)
    assert columns.shape(256, 512) == columns.Shape(32, 8, 1, 256)
    assert columns.shape(16384, 4096) == columns.Shape(32, 8, 8, 2048)


# ---- random factors ----


@needed
@pytest.mark.parametrize("shape", [(5, 3), (1, 1), (300, 10), (16, 16), (4097, 1), (2, 20, 7), (3, 4, 4), (2, 2, 3, 5)],
                         ids=str)  # fmt: skip
@pytest.mark.parametrize("dtype", DTYPES)
def test_factors_have_the_bits_of_the_host(shape, dtype):
    kind = philox.streams(Emulator().device)
    for seed, path, member, step in ((0, "noise", 0, 0), (2**64 - 1, "noise.2", 3, 2**64 - 1), (7, "", 2**63, 12345)):
        for keep in (0.7, 0.5, 1.0, 1 / 65536):
            made = kind(seed, path, member, step).child("mask").factors(shape, keep, dtype)
            expected = Stream(seed, path, member, step).child("mask").factors(shape, keep, dtype)
            assert made.dtype == dtype and np.array_equal(made, expected)


@needed
def test_a_layer_draws_on_the_device():
    emulator = Emulator()
    layer, kind = Dropout(0.3), philox.streams(emulator.device)
    for shape in ((6, 4), (3, 6, 4)):
        made = layer.noise(kind(1, "noise", step=5), shape, "float32")
        np.testing.assert_array_equal(made, layer.noise(Stream(1, "noise", step=5), shape, "float32"))
    assert [blocks for _, blocks, _ in emulator.launched] == [(1, 1), (1, 3)]
    assert kind(1).child("a").bits(3).tolist() == Stream(1).child("a").bits(3).tolist()  # the rest is the host's
    assert kind(1).factors((0, 4), 0.5, "float32").shape == (0, 4)


@needed
@pytest.mark.parametrize(("counter", "key", "result"), PUBLISHED)
def test_the_cipher_meets_the_published_vectors(counter, key, result):
    """The kernel's own rounds, with all four words of the counter given."""
    code = philox.source("float64").code
    body = code[code.index("#pragma unroll\n  for (int round") : code.index("  const unsigned long long words")]
    whole = f"""extern "C" __global__ void cipher(const long long *in, long long *out, const long long n) {{
  unsigned long long c0 = in[0], c1 = in[1], c2 = in[2], c3 = in[3], k0 = in[4], k1 = in[5];
{body}  out[0] = c0; out[1] = c1; out[2] = c2; out[3] = c3;
}}"""
    given = np.array([*words(counter), *words(key)], dtype=np.uint64).view(np.int64)
    out, emulator = np.zeros(4, np.int64), Emulator()
    emulator.launch(Source("cipher", whole), (1,), (1,), (given, out, 1))
    assert out.view(np.uint64).tolist() == words(result)


def test_the_share_of_ones_is_the_threshold():
    """The host's definition: keep rounds to 65536ths, and the factor is its reciprocal in the dtype."""
    for keep in (0.3, 0.5, 0.9):
        made = Stream(0).factors((400, 500), keep, "float64")
        share = Fraction(round(65536 * keep), 65536)
        assert set(np.unique(made)) == {0.0, float(1 / share)}
        # Five standard deviations of a binomial proportion.
        assert abs(np.mean(made > 0) - float(share)) < 5 * math.sqrt(share * (1 - share) / made.size)


# ---- compiled for GPUs ----


def sources(dtype):
    yield columns.source(dtype, 32, 8)
    yield columns.source(dtype, 10, 25)
    yield philox.source(dtype)
    yield largest.source(dtype)
    yield crossentropy.total(dtype)
    for c in (1, 10, 100, 1024, 2000, 10_000, 100_000):
        for labels in (True, False):
            how = crossentropy.shape(100, c)._replace(blocks=0)
            yield crossentropy.source(dtype, labels, 0.0 if labels else 0.1, c, how)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_kernels_compile_for_gpus_and_spill_nothing(dtype, architecture):
    nvrtc()
    for source in dict.fromkeys(sources(dtype)):
        used = usage(source, architecture)
        assert used["stores"] == used["loads"] == used["stack"] == 0, (source.name, used)
        threads = int(re.search(r"__launch_bounds__\((\d+)", source.code).group(1))
        assert used["registers"] * threads <= 65536 // (1 if threads == 1024 else 2), (source.name, used)


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_sum_takes_its_order_from_chance(dtype):
    assert not any("atomic" in source.code for source in sources(dtype))
