"""BatchNorm on one batch: columns, weights of rows, inference; its statistics over many are in their own file."""

import numpy as np
import pytest
from single_layer import STREAM, normal, run

from mlpcore.layers import BatchNorm
from mlpcore.trees import tree_map
from mlpcore.typing import Training


def weighted(n, *weights):
    """A training pass over n rows with these weights, 1 for each where there are none."""
    return Training((), np.asarray(weights or [1.0] * n, "float64"))


def batch_norm(layer, x, dy, training):
    """``y, dx, dparams, observed`` at parameters that are not the first ones."""
    c = layer.features
    params = {"gain": normal(c), "bias": normal(c), "running_mean": normal(c), "running_var": normal(c) ** 2}
    y, cache = layer.forward(params, x, training)
    return y, *layer.backward(params, cache, dy), layer.observe(params, cache)


def test_batch_norm_brings_columns_to_mean_0_and_variance_1():
    y = run(BatchNorm(3, eps=1e-12), 1e3 + 5 * normal(50, 3), training=weighted(50))[0]
    np.testing.assert_allclose(np.mean(y, axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(np.mean(y * y, axis=0), 1, rtol=1e-12)


def test_batch_norm_row_of_weight_w_is_that_row_w_times():
    layer, times = BatchNorm(3), np.asarray([1, 3, 0, 2, 1])
    x, dy = normal(5, 3), normal(5, 3)
    dy[2] = 0  # what a loss gives for a row of weight 0
    spread = np.repeat(x, times, axis=0)
    share = np.repeat(dy / np.maximum(times, 1)[:, None], times, axis=0)
    y, dx, grads, seen = batch_norm(layer, x, dy, weighted(5, *times))
    copies = batch_norm(layer, spread, share, weighted(len(spread)))
    first = [0, 1, 4, 6]  # where rows 0, 1, 3 and 4 begin among the copies
    np.testing.assert_allclose(y[times > 0], copies[0][first], rtol=0, atol=1e-14)
    np.testing.assert_allclose(dx[times > 0], (copies[1][first].T * times[times > 0]).T, rtol=0, atol=1e-14)
    np.testing.assert_array_equal(dx[2], 0)
    tree_map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-13), grads, copies[2])
    np.testing.assert_allclose(seen["running_mean"], copies[3]["running_mean"], rtol=0, atol=1e-13)


def test_batch_norm_row_of_weight_0_is_normalised_yet_does_not_count():
    x, dy = normal(5, 2), normal(5, 2)
    dy[4] = 0
    whole = batch_norm(BatchNorm(2), np.concatenate([x[:4], 100 * x[4:]]), dy, weighted(5, 1, 1, 1, 1, 0))
    without = batch_norm(BatchNorm(2), x[:4], dy[:4], weighted(4))
    np.testing.assert_allclose(whole[0][:4], without[0], rtol=0, atol=1e-14)
    np.testing.assert_allclose(whole[1][:4], without[1], rtol=0, atol=1e-14)
    tree_map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-14), whole[2:], without[2:])
    assert np.max(np.abs(whole[0][4])) > 10


@pytest.mark.parametrize("weights", [(1, 1, 1, 1), (2, 0.5, 0, 1), (0.25, 0.25, 0.25, 0.25), (0.1, 0.1, 0.1, 0)])
def test_batch_norm_running_statistics(weights):
    """The variance is divided by ``1 - 1 / n``, n being the effective number of rows."""
    x, w, total = normal(4, 2), np.reshape(np.asarray(weights), (-1, 1)), sum(weights)
    mean = np.sum(w * x, axis=0) / total
    var = np.sum(w * (x - mean) ** 2, axis=0) / total / (1 - np.sum(w * w) / total**2)
    old = {"running_mean": np.asarray([1.0, 2.0]), "running_var": np.asarray([3.0, 4.0])}
    layer = BatchNorm(2, momentum=0.3)
    *_, cache = run(layer, x, training=weighted(4, *weights), **old)
    seen = layer.observe(layer.init(STREAM, "float64") | old, cache)
    np.testing.assert_allclose(seen["running_mean"], 0.7 * old["running_mean"] + 0.3 * mean, rtol=1e-14)
    np.testing.assert_allclose(seen["running_var"], 0.7 * old["running_var"] + 0.3 * var, rtol=1e-14)


def test_batch_norm_in_inference_uses_the_running_statistics_as_constants():
    x, dy = normal(4, 2), normal(4, 2)
    old = {"running_mean": np.asarray([1.0, 2.0]), "running_var": np.asarray([3.0, 4.0])}
    layer, gain = BatchNorm(2, eps=0.5), np.asarray([2.0, 3.0])
    y, dx, grads, cache = run(layer, x, dy, gain=gain, **old)
    root = np.sqrt(old["running_var"] + 0.5)
    np.testing.assert_allclose(y, gain * (x - old["running_mean"]) / root, rtol=1e-14)
    np.testing.assert_allclose(dx, gain / root * dy, rtol=1e-14)
    assert list(grads) == ["gain", "bias"]
    tree_map(np.testing.assert_array_equal, layer.observe(old, cache), old)


def test_batch_norm_of_one_row_gives_the_bias_and_no_gradient():
    y, dx, _, seen = batch_norm(BatchNorm(3), normal(1, 3), normal(1, 3), weighted(1))
    np.testing.assert_array_equal(y[0], normal(3))
    np.testing.assert_array_equal(dx, 0)
    np.testing.assert_array_equal(seen["running_var"], normal(3) ** 2)


@pytest.mark.parametrize("n", [0, 1, 4])
def test_batch_norm_without_any_weight_is_finite_and_keeps_its_statistics(n):
    with np.errstate(all="raise"):
        y, dx, grads, seen = batch_norm(BatchNorm(3), normal(n, 3), np.zeros((n, 3)), weighted(n, *[0.0] * n))
    for part in (y, dx, grads["gain"], grads["bias"]):
        assert np.all(np.isfinite(part))
    np.testing.assert_array_equal(seen["running_mean"], normal(3))
    np.testing.assert_array_equal(seen["running_var"], normal(3) ** 2)
