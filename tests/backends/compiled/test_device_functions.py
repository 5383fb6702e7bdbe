"""Predictions and L-BFGS's function by printed CUDA, on a device of host memory."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cuda_host import device, needed
from dense import LABELS, Looking, X, deep
from members import LAYERS

import mlpcore as mc
from mlpcore.backends import get_backend
from mlpcore.backends.backend import Backend
from mlpcore.backends.compilation import Compilation
from mlpcore.backends.compiled.device_functions import MAX_PROGRAMS, DeviceFunction, device_jit
from mlpcore.random import Stream
from mlpcore.training.gradients import value_and_grad
from mlpcore.trees import Layout

pytestmark = needed


def on_device() -> Backend:
    """NumPy's arrays, with predictions as they go on CuPy."""
    numpy = get_backend("numpy")
    return replace(numpy, compile=replace(numpy.compile, function=device_jit(device(backwards=True))))


def jitted(function: Any, rows: tuple[int, ...] = (-1,), asked: bool | str = "auto") -> DeviceFunction:
    """The function on the device."""
    return device_jit(device(backwards=True))(function, Compilation(asked), rows)


@pytest.mark.parametrize("case", LAYERS)
def test_predictions_through_every_layer(case: str) -> None:
    net = mc.Sequential(mc.Linear(5, 4), LAYERS[case](4))
    net = mc.Sequential(net, mc.Linear(net.output_width(5), 3))
    models = [mc.Model(net, mc.SoftmaxCrossEntropy(), backend=one, dtype="float64") for one in (on_device(), "numpy")]
    for rows in (X, X[:1], X[:7]):
        found, right = (model.predict(rows) for model in models)
        assert found.dtype == right.dtype and found.shape == right.shape
        np.testing.assert_allclose(found, right, rtol=1e-10, atol=1e-12)


def test_results_are_arrays_of_their_own_and_follow_the_arguments() -> None:
    w = np.ones((5, 3))
    function = jitted(lambda w, x: (x @ w, x, x + 1.0, w[0, ...]))
    first, second = function(w, X), function(2 * w, X)
    for one, right in zip(first, (X @ w, X, X + 1, w[0]), strict=True):
        np.testing.assert_allclose(one, right, rtol=1e-12)
        assert not np.shares_memory(one, X) and not np.shares_memory(one, w)
    np.testing.assert_allclose(second[0], 2 * first[0], rtol=1e-12)


def test_memory_is_kept_for_few_numbers_of_rows() -> None:
    function = jitted(lambda x: x * 2.0)
    for rows in range(1, 2 * MAX_PROGRAMS):
        np.testing.assert_array_equal(function(X[:rows]), 2 * X[:rows])
    assert len(function.bound) == MAX_PROGRAMS and len(function.traced) == 1


@pytest.mark.parametrize("asked", ["auto", False])
def test_what_is_not_compiled_is_called(asked: bool | str) -> None:
    net = deep(Looking() if asked == "auto" else mc.ReLU())
    params = net.init(Stream(0, "init"), "float64")
    function = jitted(lambda params, x: net.forward(params, x)[0], asked=asked)
    np.testing.assert_array_equal(function(params, X), net.forward(params, X)[0])
    assert not function.bound
    np.testing.assert_array_equal(function(params, X[:0]), net.forward(params, X[:0])[0])


def test_a_value_and_its_gradient_over_all_rows() -> None:
    """As L-BFGS asks for them: the rows stand in the first arguments."""
    net = deep(mc.GELU())
    params = net.init(Stream(0, "init"), "float64")
    layout, score = Layout(params), value_and_grad(net, mc.SoftmaxCrossEntropy())

    def whole(x: Any, target: Any, weights: Any, vector: Any) -> Any:
        value, _, grads, _ = score(layout.view(vector, ()), x, target, weights, ((), (), ()))
        return value, layout.flat(grads)

    vector, weights = layout.flat(params), 0.5 + Stream(1).uniform((len(X),))
    function = jitted(whole, rows=(0, 1, 2))
    for scale in (1.0, 0.3):
        found, right = (one(X, LABELS, weights, scale * vector) for one in (function, whole))
        for got, expected in zip(found, right, strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-12)
    assert len(function.bound) == 1
