"""Linear: exact products, its gradients, and what it takes and leaves out."""

import numpy as np
import pytest
from single_layer import STREAM, run

from mlpcore.errors import ConfigurationError
from mlpcore.initializers import Constant, Orthogonal
from mlpcore.layers import Linear

X, DY = np.array([[1.0, 2.0], [3.0, -4.0]]), np.array([[1.0, 0.0, 2.0], [-1.0, 3.0, 0.5]])
WEIGHT, BIAS = np.array([[1.0, 0.0, -2.0], [0.5, 4.0, 1.0]]), np.array([10.0, 20.0, 30.0])


def test_output_and_gradients_by_hand():
    y, dx, grads, _ = run(Linear(2, 3), X, DY, weight=WEIGHT, bias=BIAS)
    np.testing.assert_array_equal(y, [[12, 28, 30], [11, 4, 20]])
    np.testing.assert_array_equal(dx, [[-3, 2.5], [-2, 12]])
    np.testing.assert_array_equal(grads["weight"], [[-2, 9, 3.5], [6, -12, 2]])
    np.testing.assert_array_equal(grads["bias"], [0, 3, 2.5])


def test_without_bias_there_is_none():
    layer = Linear(2, 3, bias=False)
    assert layer.init(STREAM, "float64").keys() == {"weight"}
    y, _, grads, _ = run(layer, X, DY, weight=WEIGHT)
    np.testing.assert_array_equal(y, X @ WEIGHT)
    assert grads.keys() == {"weight"}


def test_the_gradient_of_x_is_left_out_where_nobody_needs_it():
    layer = Linear(2, 3)
    params = layer.init(STREAM, "float64")
    dx, grads = layer.backward(params, X, DY, need_dx=False)
    assert dx is None
    np.testing.assert_array_equal(grads["weight"], X.T @ DY)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_initializers_draw_weight_and_bias_in_the_dtype(dtype):
    params = Linear(4, 3, weight_init=Orthogonal(), bias_init=Constant(0.5)).init(STREAM, dtype)
    assert params["weight"].shape == (4, 3) and params["weight"].dtype == params["bias"].dtype == dtype
    np.testing.assert_allclose(params["weight"].T @ params["weight"], np.eye(3), atol=1e-6)
    np.testing.assert_array_equal(params["bias"], np.full(3, 0.5))


def test_columns_that_do_not_fit_are_refused():
    assert Linear(4, 3).output_width(4) == Linear(4, 3).output_width(None) == 3
    with pytest.raises(ConfigurationError, match=r"Linear\(4, 3\).* 5 columns"):
        Linear(4, 3).output_width(5)
