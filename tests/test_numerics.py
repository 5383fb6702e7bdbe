"""The error function of `mlpcore.numerics` against the one of the C library."""

import math

import numpy as np
import pytest

from mlpcore.numerics import erf

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
