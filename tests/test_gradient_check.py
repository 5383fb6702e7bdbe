"""`check_gradients` finds wrong gradients, names them, and takes any layer or loss that follows the protocols."""

from typing import Any

import array_api_strict
import numpy as np
import pytest
from libraries import MAKERS, NUMPY
from members import LAYERS, LOSSES
from optional import optional

import mlpcore as mc
from mlpcore.gradient_check import check_gradients
from mlpcore.gradient_check.differences import TOLERANCE


class Affine:
    """A user's layer, ``y = a * x + b``, with planted faults."""

    row_independent = True

    def __init__(self, fault: str = "") -> None:
        self.fault = fault

    def __repr__(self) -> str:
        return "Affine()"

    def output_width(self, n_in):
        return n_in

    def init(self, rng, dtype):
        return {"a": np.ones(5, dtype=dtype), "b": np.zeros(5, dtype=dtype)}

    def noise(self, stream, shape, dtype):
        return ()

    def forward(self, params, x, training=None):
        self.calls = getattr(self, "calls", 0) + 1
        drift = 1e-3 * self.calls if self.fault == "drift" else 0.0
        return params["a"] * x + params["b"] + drift, x

    def backward(self, params, cache, dy, *, need_dx=True):
        grads: dict[str, Any] = {"a": (cache * dy).sum(-2), "b": dy.sum(-2)}
        if self.fault == "small":
            grads["a"] = grads["a"] * (1 + 5e-6)
        elif self.fault == "one entry":
            grads["b"] = grads["b"] + np.asarray([0, 0, 0, 0, 1e-3])
        elif self.fault == "mean":
            grads["b"] = grads["b"] / 6
        elif self.fault == "missing":
            del grads["b"]
        elif self.fault == "shape":
            grads["b"] = grads["b"][None, :]
        elif self.fault == "nan":
            grads["b"] = grads["b"] * np.nan
        return (dy * params["a"] * (-1 if self.fault == "sign" else 1) if need_dx else None), grads


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("small", r"^Affine\(\): the gradient of params\.a \(5,\) .* expected -?\d.* \(relative error [45](\.\d)?e-06"),
        ("one entry", r"the gradient of params\.b \(5,\)"),
        ("mean", r"the gradient of params\.b "),
        ("sign", r"the gradient of x \(6, 5\)"),
        ("nan", r"the gradient of params\.b .* is nan, expected"),
        ("missing", r"expected those of the inputs: .*'params\.b': \(5,\)"),
        ("shape", r"have the leaves and shapes .*'params\.b': \(1, 5\)"),
        ("drift", r"no smooth point for .* gives the same for the same arguments"),
    ],
)
def test_faults_are_found_and_named(fault, message):
    with pytest.raises(mc.GradientCheckError, match=message):
        check_gradients(Affine(fault), x=np.ones((6, 5)))
    assert max(check_gradients(Affine(), x=np.ones((6, 5))).values()) < TOLERANCE


class WrongLoss:
    """A user's loss of positive targets, with a wrong gradient on request."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def outputs(self, target_columns):
        return target_columns

    def prepare(self, target, outputs, dtype):
        if np.any(target <= 0):
            raise ValueError("only positive targets")
        return target.astype(dtype)

    def value_and_grad(self, z, target, weights):
        error = z - np.log(target)
        return np.sum(weights * np.sum(error**2, axis=-1)), self.factor * weights[:, None] * error

    def predict(self, z):
        return np.exp(z)


def test_losses_of_users():
    check_gradients(WrongLoss(2.0))
    with pytest.raises(mc.GradientCheckError, match=r"target of probabilities: the gradient of z \(6, 3\)"):
        check_gradients(WrongLoss(2.001))
    with pytest.raises(mc.DataError, match="only positive targets; pass target="):
        check_gradients(WrongLoss(2.0), target=np.zeros((4, 2)))


def test_one_seed_one_report():
    net = LAYERS["nested"](4)
    assert check_gradients(net, seed=3) == check_gradients(net, seed=3) != check_gradients(net, seed=4)


def test_a_given_point_at_a_kink_is_shifted():
    check_gradients(mc.ReLU(), x=np.zeros((3, 4)))
    check_gradients(mc.AbsoluteError(), x=np.ones((3, 2)), target=np.ones((3, 2)))


def test_inputs_stay_as_they_are():
    x = NUMPY.asarray(np.linspace(-1, 1, 8, dtype="float32").reshape(2, 4))
    check_gradients(mc.Linear(4, 3), x=x)


def test_flat_functions_pass():
    """LayerNorm of a single column is constant: both slopes are rounding errors."""
    check_gradients(mc.LayerNorm(1))


@pytest.mark.parametrize("shape", [(0, 4), (1, 4), (9, 4)])
def test_any_number_of_rows(shape):
    check_gradients(mc.Sequential(mc.Linear(4, 3), mc.Dropout(), mc.Tanh()), x=np.ones(shape))


@pytest.mark.parametrize("library", ["array_api_strict", "torch"])
def test_arrays_of_other_libraries(library):
    if library == "torch":
        optional("torch")
    xp = MAKERS[library]()
    x = xp.asarray(np.linspace(-1, 1, 20, dtype="float32").reshape(5, 4))
    check_gradients(LAYERS["nested with BatchNorm"](4), x=x)
    for loss, _ in LOSSES.values():
        check_gradients(loss, x=xp.asarray(np.linspace(-1, 1, 30).reshape(5, 6)))


def test_a_library_without_float64_is_refused():
    xp = MAKERS["jax"]() if optional("jax") else None
    with pytest.raises(mc.DataError, match="enable 64-bit"), pytest.warns(UserWarning, match="float64"):
        check_gradients(mc.ReLU(), x=xp.asarray(np.ones((2, 3), dtype="float32")))
    with xp.scope("float64"):
        check_gradients(LAYERS["nested"](4), x=xp.asarray(np.ones((2, 4))))


@pytest.mark.parametrize("target", [np.asarray([2, 0, 1]), np.asarray([[0.2, 0.8], [1.0, 0.0]])])
def test_given_targets_say_how_many_scores_there_are(target):
    check_gradients(mc.SoftmaxCrossEntropy(), target=target)


def test_other_libraries_in_targets():
    device = array_api_strict.Device("device1")
    z, labels = array_api_strict.ones((2, 3), device=device), array_api_strict.asarray([2, 0], device=device)
    check_gradients(mc.SoftmaxCrossEntropy(), x=z, target=labels)


@pytest.mark.parametrize(
    ("thing", "words", "message"),
    [
        (mc.ReLU, {}, "neither a layer nor a loss; pass an object such as"),
        (mc.Adam(), {}, "neither a layer nor a loss"),
        (mc.ReLU(), {"target": np.ones(3)}, "is a layer, which takes no target"),
        (mc.Linear(10_000, 2), {}, "takes none of 1 to 4096 columns; pass x"),
        (mc.Linear(4, 2), {"x": np.ones((3, 5))}, "x has 5 columns, expected 4"),
        (mc.Linear(4, 2), {"x": np.ones((2, 3, 4))}, r"x has the shape \(2, 3, 4\), expected two axes"),
        (mc.Huber(), {"x": np.ones(3)}, r"x has the shape \(3,\), expected two axes"),
    ],
)
def test_misuse(thing, words, message):
    with pytest.raises(mc.ConfigurationError, match=message):
        check_gradients(thing, **words)
