"""PeriodicEmbedding and PiecewiseLinearEmbedding on known numbers."""

import math

import numpy as np
import pytest
from single_layer import normal, run

from mlpcore.errors import ConfigurationError
from mlpcore.layers import PeriodicEmbedding, PiecewiseLinearEmbedding
from mlpcore.random import Stream


def test_a_periodic_embedding_mixes_cosines_of_each_column_alone():
    x, layer = normal(5, 2), PeriodicEmbedding(2, frequencies=3, width=2)
    params = {"frequency": normal(2, 3), "phase": 1 + normal(2, 3), "weight": normal(2, 3, 2), "bias": normal(2, 2)}
    y, *_ = run(layer, x, **params)
    expected = np.empty((5, 4))
    for row in range(5):
        for column in range(2):
            for out in range(2):
                angles = 2 * math.pi * params["frequency"][column] * x[row, column] + params["phase"][column]
                total = math.fsum(np.cos(angles) * params["weight"][column, :, out]) + params["bias"][column, out]
                expected[row, 2 * column + out] = total
    np.testing.assert_allclose(y, expected, rtol=1e-13, atol=1e-14)


def test_initial_frequencies_phases_and_mixtures():
    params = PeriodicEmbedding(200, sigma=0.25).init(Stream(1), "float64")
    assert {name: leaf.shape for name, leaf in params.items()} == {
        **{"frequency": (200, 16), "phase": (200, 16)},
        **{"weight": (200, 16, 3), "bias": (200, 3)},
    }
    assert abs(np.std(params["frequency"]) / 0.25 - 1) < 0.05
    for name, bound in (("phase", math.pi), ("weight", 0.25), ("bias", 0.25)):
        assert 0.98 * bound < np.max(np.abs(params[name])) <= bound


EDGES = ((0.0, 1.0, 3.0), (-1.0, 1.0))


def test_a_piecewise_linear_embedding_has_a_slope_for_each_bin():
    layer = PiecewiseLinearEmbedding(EDGES, width=1)
    x = np.asarray([[-2.0, -3.0], [0.5, 0.0], [1.0, 1.0], [2.0, 2.0], [5.0, 0.5]])
    weight = np.asarray([[[2.0], [6.0]], [[4.0], [999.0]]])  # the second column has no second bin
    slope, bias = np.asarray([[10.0], [0.0]]), np.asarray([[0.0], [1.0]])
    y, dx, grads, _ = run(layer, x, weight=weight, slope=slope, bias=bias)
    first = [2 * -2 - 20, 2 * 0.5 + 5, 2 + 10, 2 + 3 + 20, 2 + 12 + 50]  # a bin outside of the edges goes on
    second = [4 * (v + 1) / 2 + 1 for v in x[:, 1]]
    np.testing.assert_allclose(y, np.stack([first, second], axis=1), rtol=1e-14)
    np.testing.assert_allclose(dx[[0, 1, 3, 4]], [[12, 2], [12, 2], [13, 2], [13, 2]], rtol=1e-14)
    np.testing.assert_array_equal(grads["weight"][1, 1], [0])


def test_it_starts_linear():
    layer = PiecewiseLinearEmbedding(EDGES, width=4)
    params = layer.init(Stream(2), "float64")
    x = np.linspace(-5, 5, 11)[:, None] * np.ones((1, 2))
    y, *_ = run(layer, x, **params)
    line = (x[:, :, None] * params["slope"] + params["bias"]).reshape(11, 8)
    np.testing.assert_allclose(y, line, rtol=1e-14, atol=1e-14)
    assert layer.output_width(2) == 8 and np.max(np.abs(params["slope"])) <= 0.5


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ((), "expected a tuple of tuples"),
        (((0.0, 1.0), (1.0,)), r"the edges of column 1 are \(1.0,\), expected two or more that increase"),
        (((0.0, 0.0, 1.0),), "the edges of column 0"),
        (((0.0, math.inf),), "edges is inf, expected a finite number"),
    ],
)
def test_edges_that_are_none(edges, message):
    with pytest.raises(ConfigurationError, match=message):
        PiecewiseLinearEmbedding(edges)
