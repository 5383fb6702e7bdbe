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
@pytest.mark.parametrize("shape", [(1, 3), (40, 65), (3, 20, 5)], ids=str)
def test_column_sum(shape: tuple[int, ...], dtype: str) -> None:
    x = Stream(0, "x").normal(shape).astype(dtype)
    got = ops.column_sum.kernels[np.ndarray](x)
    assert got.dtype == x.dtype and got.shape == (*shape[:-2], shape[-1])
    bound = shape[-2] * np.finfo(dtype).eps * np.sum(np.abs(x), axis=-2)
    assert np.all(np.abs(got - ops.column_sum.body(x)) <= bound)
