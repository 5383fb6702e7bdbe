"""Facts about single layers; what all layers share is in tests/laws, and torch's opinion in tests/oracles."""

import math
from dataclasses import replace

import numpy as np
import pytest

from mlpcore.errors import ConfigurationError
from mlpcore.layers import (
    ELU,
    GELU,
    LAYERS,
    SELU,
    BatchNorm,
    Dropout,
    Identity,
    LayerNorm,
    LeakyReLU,
    Linear,
    Mish,
    ReLU,
    Residual,
    RMSNorm,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from mlpcore.layers.activation import Activation
from mlpcore.random import Stream
from mlpcore.trees import tree_map
from mlpcore.typing import Training

EPS = np.finfo(float).eps
STREAM = Stream(3, "1", step=4)


def run(layer, x, dy=None, training=None, **params):
    """``(y, dx, dparams, cache)`` with the initial parameters, or those given."""
    params = layer.init(STREAM, str(x.dtype)) | params
    y, cache = layer.forward(params, x, training)
    return y, *layer.backward(params, cache, np.ones_like(y) if dy is None else dy), cache


def normal(*shape):
    return Stream(0, "x").normal(shape)


def softplus(x):
    return math.log1p(math.exp(x))


def logistic(x):
    return 1 / (1 + math.exp(-x))


# The constants of SELU, from the paper.
ALPHA, SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
# Every elementwise layer, and its formula in the words of `math`.
ACTIVATIONS = [
    (Identity(), lambda x: x),
    (ReLU(), lambda x: max(x, 0.0)),
    (LeakyReLU(), lambda x: x if x > 0 else 0.01 * x),
    (LeakyReLU(0.3), lambda x: x if x > 0 else 0.3 * x),
    (ELU(), lambda x: x if x > 0 else math.expm1(x)),
    (ELU(0.5), lambda x: x if x > 0 else 0.5 * math.expm1(x)),
    (SELU(), lambda x: SCALE * (x if x > 0 else ALPHA * math.expm1(x))),
    (GELU(), lambda x: x * 0.5 * (1 + math.erf(x / math.sqrt(2)))),
    (GELU("tanh"), lambda x: 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
    (SiLU(), lambda x: x * logistic(x)),
    (Mish(), lambda x: x * math.tanh(softplus(x))),
    (Softplus(), softplus),
    (Sigmoid(), logistic),
    (Tanh(), math.tanh),
]
NAMES = [repr(layer) for layer, _ in ACTIVATIONS]


@pytest.mark.parametrize(("layer", "formula"), ACTIVATIONS, ids=NAMES)
def test_activation_is_its_formula(layer, formula):
    x = np.linspace(-30, 30, 401)
    expected = np.array([formula(number) for number in x])
    # A few roundings of numbers of the size of 1 and x.
    np.testing.assert_allclose(run(layer, x)[0], expected, rtol=8 * EPS, atol=32 * EPS)


# The slopes far below and far above zero.
TAILS = {
    Identity(): (1, 1),
    LeakyReLU(): (0.01, 1),
    LeakyReLU(0.3): (0.3, 1),
    SELU(): (0, SCALE),
    Sigmoid(): (0, 0),
    Tanh(): (0, 0),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layer", [layer for layer, _ in ACTIVATIONS], ids=NAMES)
def test_activation_far_out(layer, dtype):
    x = np.asarray([-1e4, -800, -120, 120, 800, 1e4], dtype=dtype)
    with np.errstate(all="raise", under="ignore"):
        y, dx, _, _ = run(layer, x)
    assert np.all(np.isfinite(y))
    below, above = TAILS.get(layer, (0, 1))
    unit = np.finfo(dtype).eps
    np.testing.assert_allclose(dx, [below] * 3 + [above] * 3, rtol=4 * unit, atol=unit)
    if above:  # the line that y joins goes through the origin
        np.testing.assert_allclose(y[3:], above * x[3:], rtol=4 * unit)


@pytest.mark.parametrize(
    ("layer", "slope"),
    [(ReLU(), 0), (LeakyReLU(0.2), 0.2), (ELU(0.7), 0.7), (ELU(), 1), (SELU(), SCALE * ALPHA)],
    ids=repr,
)
def test_derivative_at_the_kink_is_the_one_from_below(layer, slope):
    x = np.asarray([0.0, -0.0])
    np.testing.assert_allclose(run(layer, x)[1], slope, rtol=2 * EPS)
    np.testing.assert_array_equal(run(layer, x)[0], 0)


@pytest.mark.parametrize("layer", [kind for kind in LAYERS if issubclass(kind, Activation)])
def test_activations_are_elementwise(layer):
    """Another number in one entry changes y and dx there alone."""
    x, dy = normal(3, 4), 1 + normal(3, 4) ** 2
    x[1, 2] = 0.5
    other = x.copy()
    other[1, 2] = 1.0
    changed = [one != two for one, two in zip(run(layer(), x, dy)[:2], run(layer(), other, dy)[:2], strict=True)]
    elsewhere = np.ones(x.shape, bool)
    elsewhere[1, 2] = False
    assert changed[0][1, 2] and not any(np.any(part[elsewhere]) for part in changed)


@pytest.mark.parametrize("layer", [layer for layer, _ in ACTIVATIONS] + [Softmax()], ids=repr)
def test_nan_stays_nan(layer):
    assert np.isnan(run(layer, np.asarray([[np.nan]]))[0][0, 0])


def test_selu_keeps_mean_0_and_variance_1():
    x = np.linspace(-12, 12, 240_001)
    density = np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi) * (x[1] - x[0])
    y = run(SELU(), x)[0]
    np.testing.assert_allclose([np.sum(y * density), np.sum(y * y * density)], [0, 1], atol=1e-9)


def test_gelu_forms_are_close():
    x = np.linspace(-10, 10, 2001)
    gates = [layer.activate(x)[1][1] for layer in (GELU(), GELU("tanh"))]
    assert 1e-4 < np.max(np.abs(gates[0] - gates[1])) < 5e-4


def test_softplus_does_not_become_linear():
    assert run(Softplus(), np.asarray([21.0]))[0][0] == 21 + math.log1p(math.exp(-21)) > 21


def test_softmax():
    x = np.asarray([[0.0, math.log(2), math.log(5)], [1e4, 0, -1e4], [7, 7, 7]])
    y, dx, _, _ = run(Softmax(), x, dy=np.asarray([[1.0, 0, 0]] * 3))
    third = 1 / 3
    np.testing.assert_allclose(y, [[1 / 8, 2 / 8, 5 / 8], [1, 0, 0], [third] * 3], rtol=4 * EPS)
    expected = [[7 / 64, -2 / 64, -5 / 64], [0, 0, 0], [2 / 9, -1 / 9, -1 / 9]]
    np.testing.assert_allclose(dx, expected, rtol=8 * EPS)
    np.testing.assert_array_equal(run(Softmax(), normal(3, 1))[0], 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.999, 1 - 1.5 * 2.0**-17])
def test_dropout_noise_is_the_mask_over_the_share_kept(rate, dtype):
    noise = Dropout(rate).noise(STREAM, (40, 50), dtype)
    kept = STREAM.child("mask").mask((40, 50), 1 - rate)
    assert noise.dtype == dtype
    np.testing.assert_array_equal(noise != 0, kept)
    factor = np.asarray(65536 / round(65536 * (1 - rate)), dtype=dtype)
    np.testing.assert_array_equal(noise[kept], factor)
    if rate == 0:
        np.testing.assert_array_equal(noise, 1)


def test_dropout_uses_the_noise_it_is_given():
    layer, x, dy = Dropout(0.25), normal(30, 20), normal(30, 20)
    noise = layer.noise(STREAM, x.shape, "float64")
    assert 0.15 < np.mean(noise == 0) < 0.35
    y, dx, grads, _ = run(layer, x, dy, Training(noise, np.ones(len(x))))
    np.testing.assert_array_equal(y, x * noise)
    np.testing.assert_array_equal(dx, dy * noise)
    assert grads == {}
    y, dx, _, _ = run(layer, x, dy)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(dx, dy)


def test_dropout_of_a_stack_draws_by_member():
    stacked = Dropout().noise(STREAM, (3, 8, 5), "float32")
    for member in range(3):
        alone = Dropout().noise(replace(STREAM, member=member), (8, 5), "float32")
        np.testing.assert_array_equal(stacked[member], alone)
    assert np.any(stacked[0] != stacked[1])
    assert Dropout().noise(STREAM, (0, 8, 5), "float32").shape == (0, 8, 5)


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


def test_batch_norm_says_that_rows_depend_on_each_other():
    assert not BatchNorm(2).row_independent
    assert not Sequential(Linear(3, 2), Residual(BatchNorm(2))).row_independent
    assert all(layer.row_independent for layer in (LayerNorm(2), RMSNorm(2), Dropout(), ReLU()))


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


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: LeakyReLU(-0.1), "LeakyReLU: slope is -0.1"),
        (lambda: ELU(math.inf), "ELU: alpha is inf"),
        (lambda: GELU("fast"), "GELU: approximate is 'fast', expected one of 'none', 'tanh'"),
        (lambda: Dropout(1.0), "Dropout: rate is 1.0"),
        (lambda: Dropout(1 - 2.0**-18), "Dropout: rate is 0.99999"),
        (lambda: Dropout(-0.1), "Dropout: rate is -0.1, expected a finite number of at least 0"),
        (lambda: LayerNorm(0), "LayerNorm: features is 0"),
        (lambda: LayerNorm(2, eps=0), "LayerNorm: eps is 0"),
        (lambda: RMSNorm(2.0), "RMSNorm: features is 2.0"),
        (lambda: RMSNorm(2, eps=-1.0), "RMSNorm: eps is -1.0"),
        (lambda: BatchNorm(True), "BatchNorm: features is True"),
        (lambda: BatchNorm(2, momentum=1.5), "BatchNorm: momentum is 1.5"),
        (lambda: BatchNorm(2, eps=0.0), "BatchNorm: eps is 0.0"),
    ],
)
def test_values_that_cannot_work(wrong, message):
    with pytest.raises(ConfigurationError) as error:
        wrong()
    assert str(error.value).startswith(message)
