"""Columns and Concat: which columns go where, forward and backward."""

import numpy as np
import pytest
from single_layer import STREAM, normal, run

from mlpcore.errors import ConfigurationError
from mlpcore.layers import Columns, Concat, Identity, Linear, OneHot, Scale, Sequential, Tanh


def test_columns_are_a_slice_and_their_gradient_lies_between_zeros():
    x, dy = normal(3, 5), 1 + normal(3, 2)
    y, dx, _, _ = run(Columns(1, 3), x, dy)
    np.testing.assert_array_equal(y, x[:, 1:3])
    np.testing.assert_array_equal(dx, np.concatenate([np.zeros((3, 1)), dy, np.zeros((3, 2))], axis=1))


def test_concat_puts_outputs_side_by_side_and_adds_up_gradients():
    x, dy = normal(4, 3), 1 + normal(4, 5)
    layer = Concat(Identity(), Sequential(Columns(0, 2), Tanh()))
    params = layer.init(STREAM, "float64")
    y, cache = layer.forward(params, x)
    dx, _ = layer.backward(params, cache, dy)
    np.testing.assert_array_equal(y, np.concatenate([x, np.tanh(x[:, :2])], axis=1))
    expected = dy[:, :3].copy()
    expected[:, :2] += dy[:, 3:] * (1 - np.tanh(x[:, :2]) ** 2)
    np.testing.assert_allclose(dx, expected, rtol=1e-14)


def test_widths():
    layer = Concat(Sequential(Columns(0, 3), Scale(3)), Sequential(Columns(3, 5), OneHot((4, 9))))
    assert layer.output_width(5) == layer.output_width(None) == 16
    assert Concat(Identity(), Linear(2, 3)).output_width(None) is None
    with pytest.raises(ConfigurationError, match=r"Columns\(3, 5\): x has 4 columns, expected 5 or more"):
        layer.output_width(4)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Columns(-1, 3), "start is -1, expected a whole number of 0 or more"),
        (lambda: Columns(3, 3), r"Columns\(3, 3\): stop must be above start"),
        (lambda: Concat(), "got no layers"),
        (lambda: Concat(Tanh), "is not a layer"),
    ],
)
def test_what_is_refused(wrong, message):
    with pytest.raises(ConfigurationError, match=message):
        wrong()
