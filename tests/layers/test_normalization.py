"""LayerNorm and RMSNorm on known rows; what all three normalizations say about their width and their gain."""

import math

import numpy as np
import pytest
from single_layer import EPS, STREAM, normal, run

from mlpcore.errors import ConfigurationError
from mlpcore.layers import BatchNorm, LayerNorm, Linear, ReLU, RMSNorm, Sequential


def test_layer_norm_of_known_rows():
    x = np.asarray([[1.0, 3.0], [5.0, 5.0], [-1e4, 1e4]])
    y, dx, _, _ = run(LayerNorm(2, eps=3.0), x, gain=np.asarray([1.0, 2.0]), bias=np.asarray([0.0, 10.0]))
    far = 1e4 / math.sqrt(1e8 + 3)
    np.testing.assert_allclose(y, [[-0.5, 11], [0, 10], [-far, 10 + 2 * far]], rtol=4 * EPS)
    # dh = (1, 2), r = 1/2 in the first row: r * (-1/2 - h * mean(dh * h)) with h = (-1/2, 1/2).
    np.testing.assert_allclose(dx[0], [0.5 * (-0.5 + 0.5 * 0.25), 0.5 * (0.5 - 0.5 * 0.25)], rtol=4 * EPS)


def test_layer_norm_of_one_column_is_its_bias():
    y, dx, _, _ = run(LayerNorm(1), normal(4, 1), bias=np.asarray([7.0]))
    np.testing.assert_array_equal(y, 7)
    np.testing.assert_array_equal(dx, 0)


def test_rms_norm_of_known_rows():
    y, _, grads, _ = run(RMSNorm(2, eps=11.5), np.asarray([[3.0, 4.0], [0.0, 0.0]]), gain=np.asarray([1.0, 2.0]))
    root = math.sqrt(12.5 + 11.5)
    np.testing.assert_allclose(y, [[3 / root, 8 / root], [0, 0]], rtol=4 * EPS)
    assert list(grads) == ["gain"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rms_norm_takes_the_rounding_unit_of_the_dtype(dtype):
    unit = float(np.finfo(dtype).eps)
    x = np.full((1, 3), 1e-5 if dtype == "float32" else 1e-9, dtype=dtype)
    np.testing.assert_array_equal(run(RMSNorm(3), x)[0], run(RMSNorm(3, eps=unit), x)[0])
    assert run(RMSNorm(3), x)[0][0, 0] < 0.1  # without eps it were 1


def test_gains_do_not_decay():
    for layer in (LayerNorm(2), RMSNorm(2), BatchNorm(2)):
        assert "weight" not in layer.init(STREAM, "float32")


@pytest.mark.parametrize("kind", [LayerNorm, RMSNorm, BatchNorm])
def test_width_errors_name_both_layers(kind):
    assert kind(5).output_width(5) == kind(5).output_width(None) == 5
    with pytest.raises(ConfigurationError, match=rf"^{kind.__name__}\(5\): x has 4 columns, expected 5"):
        kind(5).output_width(4)
    with pytest.raises(ConfigurationError, match=rf"layer 0 Linear\(3, 4\) gives 4 .* layer 2 .*{kind.__name__}\(5\)"):
        Sequential(Linear(3, 4), ReLU(), kind(5))
