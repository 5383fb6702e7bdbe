"""The rectifiers: the derivative at 0, and the constants of SELU."""

import math

import numpy as np
import pytest
from single_layer import ALPHA, EPS, SCALE, run

from mlpcore.layers import ELU, SELU, LeakyReLU, ReLU


@pytest.mark.parametrize(
    ("layer", "slope"),
    [(ReLU(), 0), (LeakyReLU(0.2), 0.2), (ELU(0.7), 0.7), (ELU(), 1), (SELU(), SCALE * ALPHA)],
    ids=repr,
)
def test_derivative_at_the_kink_is_the_one_from_below(layer, slope):
    x = np.asarray([0.0, -0.0])
    np.testing.assert_allclose(run(layer, x)[1], slope, rtol=2 * EPS)
    np.testing.assert_array_equal(run(layer, x)[0], 0)


def test_selu_keeps_mean_0_and_variance_1():
    x = np.linspace(-12, 12, 240_001)
    density = np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi) * (x[1] - x[0])
    y = run(SELU(), x)[0]
    np.testing.assert_allclose([np.sum(y * density), np.sum(y * y * density)], [0, 1], atol=1e-9)
