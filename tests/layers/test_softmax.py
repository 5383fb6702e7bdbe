"""Softmax: probabilities and gradients of known rows."""

import math

import numpy as np
from single_layer import EPS, normal, run

from mlpcore.layers import Softmax


def test_softmax():
    x = np.asarray([[0.0, math.log(2), math.log(5)], [1e4, 0, -1e4], [7, 7, 7]])
    y, dx, _, _ = run(Softmax(), x, dy=np.asarray([[1.0, 0, 0]] * 3))
    third = 1 / 3
    np.testing.assert_allclose(y, [[1 / 8, 2 / 8, 5 / 8], [1, 0, 0], [third] * 3], rtol=4 * EPS)
    expected = [[7 / 64, -2 / 64, -5 / 64], [0, 0, 0], [2 / 9, -1 / 9, -1 / 9]]
    np.testing.assert_allclose(dx, expected, rtol=8 * EPS)
    np.testing.assert_array_equal(run(Softmax(), normal(3, 1))[0], 1)
