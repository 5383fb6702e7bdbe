"""The error function, cosine and sine of `mlpcore.numerics` against those of the C library."""

import math

import numpy as np
import pytest

from mlpcore.numerics import cosine_and_sine, erf

SMALL = 10.0 ** np.linspace(-37, 0, 5_001)
DENSE = np.concatenate([np.linspace(-7, 7, 40_001), SMALL, -SMALL])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_is_right_to_four_units_in_the_last_place(dtype):
    x = DENSE.astype(dtype)
    exact = np.array([math.erf(number) for number in x])
    y = erf(x)
    assert y.dtype == dtype
    units = np.abs(y - exact) / np.spacing(np.abs(exact).astype(dtype))
    assert np.max(units) <= 4


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_edges(dtype):
    y = erf(np.asarray([0.0, -0.0, np.inf, -np.inf, 1e4, -1e4, 6.5, np.nan], dtype=dtype))
    np.testing.assert_array_equal(y, np.asarray([0.0, -0.0, 1, -1, 1, -1, 1, np.nan], dtype=dtype))
    assert list(np.signbit(y[:2])) == [False, True]
    assert erf(np.float64(5e-324) * np.ones(1))[0] == 5e-324


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cosine_and_sine_of_turns(dtype):
    turns = np.concatenate([np.linspace(-3, 3, 40_001), 50 * np.sin(np.arange(20_000.0)), SMALL]).astype(dtype)
    exact = 2 * np.longdouble(math.pi) * (turns.astype(np.longdouble) - np.round(turns))
    for got, right in zip(cosine_and_sine(turns), (np.cos(exact), np.sin(exact)), strict=True):
        assert got.dtype == dtype
        assert np.max(np.abs(got - right)) <= 4 * np.finfo(dtype).eps


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cosine_and_sine_at_quarters_and_far_out(dtype):
    turns = np.asarray([0.0, 0.25, 0.5, -0.25, 7.0, 1e30], dtype)
    cosine, sine = cosine_and_sine(turns)
    near = 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(cosine, [1, 0, -1, 0, 1, 1], rtol=0, atol=near)
    np.testing.assert_allclose(sine, [0, 1, 0, -1, 0, 0], rtol=0, atol=near)
    with np.errstate(invalid="ignore"):
        assert np.all(np.isnan(cosine_and_sine(np.asarray([np.nan, np.inf], dtype))))
