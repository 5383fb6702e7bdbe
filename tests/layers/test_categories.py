"""OneHot and Embedding on known categories: levels, missing ones, and numbers that are no level."""

import numpy as np
import pytest
from single_layer import normal, run

from mlpcore.errors import ConfigurationError
from mlpcore.layers import Embedding, OneHot

NO_LEVEL = [0.0, -1.0, 4.0, 0.5, np.nan, np.inf, -np.inf]


def test_one_hot_has_a_sign_for_two_levels_and_a_column_for_each_of_more():
    x = np.asarray([[1.0, 1.0, 1.0], [0.0, 2.0, 3.0], [1.0, 0.0, 0.0], [1.0, 1.0, 2.0]])
    y, dx, grads, _ = run(OneHot((1, 2, 3)), x)
    expected = [[1, 1, 1, 0, 0], [-1, -1, 0, 0, 1], [1, 0, 0, 0, 0], [1, 1, 0, 1, 0]]
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(dx, np.zeros((4, 3)))
    assert grads == {} and OneHot((1, 2, 3)).output_width(3) == 5


@pytest.mark.parametrize("number", NO_LEVEL)
def test_what_is_no_level_is_missing(number):
    x = np.asarray([[number] * 3])
    np.testing.assert_array_equal(run(OneHot((1, 2, 3)), x)[0], [[-1, 0, 0, 0, 0]])
    weight = normal(7, 2)
    y = run(Embedding((3, 2), 2), x[:, :2], weight=weight)[0]
    np.testing.assert_array_equal(y, [[*weight[0], *weight[4]]])


def test_embedding_gives_the_rows_of_its_table_and_adds_up_the_gradients_of_each():
    weight, x = normal(7, 2), np.asarray([[1.0, 0.0], [3.0, 2.0], [1.0, 1.0], [0.0, 2.0]])
    dy = 1 + normal(4, 4)
    y, dx, grads, _ = run(Embedding((3, 2), 2), x, dy, weight=weight)
    rows = [[1, 4], [3, 6], [1, 5], [0, 6]]
    np.testing.assert_array_equal(y, weight[rows].reshape(4, 4))
    expected = np.zeros((7, 2))
    for row, (first, second) in enumerate(rows):
        expected[first] += dy[row, :2]
        expected[second] += dy[row, 2:]
    np.testing.assert_allclose(grads["weight"], expected, rtol=1e-15, atol=1e-15)
    np.testing.assert_array_equal(dx, np.zeros((4, 2)))


def test_large_category_numbers_are_told_apart_in_float32():
    layer = Embedding((5000,), 1)
    x = np.asarray([[4999.0], [5000.0], [5001.0]], "float32")
    weight = np.arange(5001, dtype="float32")[:, None]
    np.testing.assert_array_equal(run(layer, x, weight=weight)[0], [[4999], [5000], [0]])


@pytest.mark.parametrize("kind", [OneHot, lambda levels: Embedding(levels, 2)])
@pytest.mark.parametrize("levels", [(), [3], 3, (3, 0), (2.0,)])
def test_levels_that_are_none(kind, levels):
    with pytest.raises(ConfigurationError, match=r"(OneHot|Embedding): levels is .*, expected a "):
        kind(levels)


def test_the_number_of_columns_is_that_of_levels():
    for layer in (OneHot((2, 3)), Embedding((2, 3), 4)):
        assert layer.output_width(None) == layer.output_width(2)
        with pytest.raises(ConfigurationError, match="x has 3 columns, expected 2"):
            layer.output_width(3)
