"""CuPy's operations on the emulated device agree with NumPy's, for the dtypes and layouts that mlpcore uses."""

from collections.abc import Callable
from typing import Any

import cupy as cp
import numpy as np
import pytest

DRAWS = np.random.default_rng(0)
A, B = DRAWS.normal(size=(7, 33)), DRAWS.normal(size=(7, 33))
SPECIAL = np.array([[0.0, -0.0, 1.5, -2.5, np.inf, -np.inf, np.nan, 1e-310, 3.0]])
UNARY = (
    "exp",
    "expm1",
    "log1p",
    "sqrt",
    "tanh",
    "sin",
    "floor",
    "rint",
    "sign",
    "abs",
    "isfinite",
    "signbit",
    "negative",
)
BINARY = ("add", "divide", "maximum", "power", "hypot", "copysign", "remainder", "less", "logaddexp", "nextafter")
REDUCTIONS = ("sum", "prod", "mean", "std", "max", "min", "argmax", "any", "cumsum")
SHAPES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "concatenate": lambda xp, x, y: xp.concatenate([x, y], axis=1),
    "take": lambda xp, x, y: xp.take(x, xp.asarray([3, 0, -1]), axis=1),
    "slices": lambda xp, x, y: x[1:5, ::-2],
    "indices": lambda xp, x, y: x[xp.asarray([1, 2]), xp.asarray([3, 4])],
    "mask": lambda xp, x, y: x[x > 0],
    "where": lambda xp, x, y: xp.where(x > y, x, y[0]),
    "sort": lambda xp, x, y: xp.sort(x, 1),
    "argsort": lambda xp, x, y: xp.argsort(x, 0),
    "matmul": lambda xp, x, y: x @ y.T,
    "matmul of transposed": lambda xp, x, y: x.T @ y,
    "matmul in a batch": lambda xp, x, y: x.reshape(7, 3, 11) @ y.reshape(7, 11, 3),
    "matrix by vector": lambda xp, x, y: x @ y[0],
    "vector by matrix": lambda xp, x, y: x[:, 0] @ y,
    "dot of vectors": lambda xp, x, y: xp.dot(x[0], y[0]),
    "outer": lambda xp, x, y: xp.outer(x[0], y[0]),
    "tensordot": lambda xp, x, y: xp.tensordot(x.reshape(7, 3, 11), y.reshape(7, 3, 11), axes=([0, 1], [0, 1])),
}
CASES: dict[str, tuple[Callable[[Any, Any, Any], Any], np.ndarray, np.ndarray]] = {
    **{name: (lambda xp, x, y, name=name: getattr(xp, name)(x), A, B) for name in UNARY},
    **{f"{name} of special": (lambda xp, x, y, name=name: getattr(xp, name)(x), SPECIAL, B) for name in UNARY},
    **{name: (lambda xp, x, y, name=name: getattr(xp, name)(x, y[0]), A, B) for name in BINARY},
    **{
        f"{name} along {axis}": (lambda xp, x, y, name=name, axis=axis: getattr(xp, name)(x, axis=axis), A, B)
        for name in REDUCTIONS
        for axis in (None, 0, 1)
    },
    **{name: (function, A, B) for name, function in SHAPES.items()},
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_an_operation_is_numpys(case: str, dtype: str) -> None:
    function, *arrays = CASES[case]
    with np.errstate(all="ignore"):
        x, y = (array.astype(dtype) for array in arrays)
        expected = np.asarray(function(np, x, y))
    result = cp.asnumpy(function(cp, cp.asarray(x), cp.asarray(y)))
    assert result.shape == expected.shape and result.dtype == expected.dtype
    eps = np.finfo(dtype).eps  # sums of 231 numbers, products of 33
    np.testing.assert_allclose(result, expected, rtol=64 * eps, atol=64 * eps)


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "bool", "float16"])
def test_types_convert_as_numpys(dtype: str) -> None:
    x = np.abs(3 * A)
    np.testing.assert_array_equal(cp.asarray(x).astype(dtype).get(), x.astype(dtype))


def test_large_sums_agree() -> None:
    x = DRAWS.normal(size=(300, 1000))
    np.testing.assert_allclose(cp.asarray(x).sum().get(), x.sum(), rtol=1e-12)
    np.testing.assert_allclose((cp.asarray(x) @ cp.asarray(x).T).get(), x @ x.T, rtol=1e-12, atol=1e-12)


def test_tf32_rounds_the_factors_to_ten_bits() -> None:
    x = np.array([[1 + 2.0**-10, 1 + 2.0**-12]], "float32")
    core = cp._core
    before = core.get_compute_type(np.dtype("float32"))
    core.set_compute_type(np.dtype("float32"), 7)
    try:
        result = cp.asarray(x).T @ cp.asarray(x)
    finally:
        core.set_compute_type(np.dtype("float32"), before)
    kept = np.array([[1 + 2.0**-10, 1.0]], "float32")
    np.testing.assert_array_equal(result.get(), kept.T @ kept)
    np.testing.assert_array_equal((cp.asarray(x).T @ cp.asarray(x)).get(), x.T @ x)
