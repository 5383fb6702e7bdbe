"""The faster bodies on NumPy give what the definitions in `mlpcore.ops` give."""

from typing import Any

import numpy as np
import pytest

import mlpcore.kernels.numpy  # noqa: F401  # registers the bodies
from mlpcore import ops
from mlpcore.random import Stream

NUMBERS = Stream(0, "numbers").normal((4, 70))
LARGEST = {
    "numbers": NUMBERS,
    "one": NUMBERS[0, :1],
    "all negative": -np.abs(NUMBERS[0]),
    "infinite": np.where(NUMBERS > 1.5, np.inf, NUMBERS),
    "infinite below": np.where(NUMBERS < -1.5, -np.inf, NUMBERS),
    "nan": np.where(NUMBERS > 1.5, np.nan, NUMBERS),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", LARGEST)
def test_largest(name: str, dtype: str) -> None:
    x: Any = LARGEST[name].astype(dtype)
    got = ops.largest.kernels[np.ndarray](x)
    assert got.dtype == x.dtype and got.shape == x.shape[:-1]
    np.testing.assert_array_equal(got, np.max(np.abs(x), axis=-1))
    np.testing.assert_array_equal(got, ops.largest.body(x))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 3), (15, 10), (16, 2), (40, 64), (40, 65), (200, 10), (3, 20, 5)], ids=str)
def test_softmax(shape: tuple[int, ...], dtype: str) -> None:
    z = (10 * Stream(0, "z").normal(shape)).astype(dtype)
    got = ops.softmax.kernels[np.ndarray](z)
    assert got.dtype == z.dtype and got.flags.c_contiguous
    np.testing.assert_allclose(got, ops.softmax.body(z), rtol=8 * np.finfo(dtype).eps)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 3), (15, 10), (16, 2), (40, 64), (40, 65), (200, 10), (3, 20, 5)], ids=str)
def test_softmax_cross_entropy(shape: tuple[int, ...], dtype: str, smoothing: float) -> None:
    z = (10 * Stream(0, "z").normal(shape)).astype(dtype)
    labels = (Stream(0, "t").bits(shape[-2]) % np.uint64(shape[-1])).astype("int32")
    weights = Stream(0, "w").uniform((shape[-2],)).astype(dtype)
    weights[: shape[-2] // 4] = 0
    z[..., : shape[-2] // 4, 0] = np.inf  # of rows that take no part
    shares = ops.softmax.body((0 * Stream(0, "z").normal(shape[-2:])).astype(dtype))
    for target in (labels, shares):
        given = z, target, weights, smoothing
        with np.errstate(invalid="ignore"):
            (value, dz), (expected, gradient) = (
                body(*given) for body in (ops.softmax_cross_entropy.kernels[np.ndarray], ops.softmax_cross_entropy.body)
            )
        assert dz.dtype == z.dtype and dz.shape == z.shape and value.shape == z.shape[:-2]
        assert np.all(np.isfinite(value)) and np.all(np.isfinite(dz))
        np.testing.assert_allclose(value, expected, rtol=32 * np.finfo(dtype).eps)
        np.testing.assert_allclose(dz, gradient, rtol=32 * np.finfo(dtype).eps)


@pytest.mark.parametrize("rows", [1, 20])
def test_a_sure_and_right_label_keeps_its_digits(rows: int) -> None:
    z = np.tile(np.asarray([0.0, 50.0, 0.0]), (rows, 1))
    value, dz = ops.softmax_cross_entropy(z, np.ones(rows, "int32"), np.ones(rows), 0.0)
    tiny = np.exp(-50.0)
    np.testing.assert_allclose(value, 2 * rows * tiny, rtol=1e-14)
    np.testing.assert_allclose(dz, np.tile([tiny, -2 * tiny, tiny], (rows, 1)), rtol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 3), (40, 65), (3, 20, 5)], ids=str)
def test_column_sum(shape: tuple[int, ...], dtype: str) -> None:
    x = Stream(0, "x").normal(shape).astype(dtype)
    got = ops.column_sum.kernels[np.ndarray](x)
    assert got.dtype == x.dtype and got.shape == (*shape[:-2], shape[-1])
    bound = shape[-2] * np.finfo(dtype).eps * np.sum(np.abs(x), axis=-2)
    assert np.all(np.abs(got - ops.column_sum.body(x)) <= bound)
