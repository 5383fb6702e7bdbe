"""Products with epilogues: where they are found, and that networks train with them as without."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cuda_host
import numpy as np
import pytest
from devices import open_place
from printing import Case, Printed, programs

import mlpcore as mc
from mlpcore.backends.backend import Backend, Compilers
from mlpcore.backends.compiled.device_functions import device_jit
from mlpcore.backends.compiled.device_groups import run_as_one
from mlpcore.backends.compiled.device_steps import device_steps
from mlpcore.backends.run import run_eagerly
from mlpcore.compiler.cuda.bound import BoundDeviceProgram
from mlpcore.compiler.cuda.epilogues import FusedProduct
from mlpcore.compiler.cuda.program import DeviceProgram
from mlpcore.compiler.graph import N
from mlpcore.compiler.trace import Tracer
from mlpcore.namespace import namespace
from mlpcore.random import Stream

PLACES = [pytest.param("shim", marks=cuda_host.needed), pytest.param("cupy", marks=pytest.mark.gpu)]
X = Stream(0).normal((57, 20)).astype("float32")
LABELS = (Stream(1).uniform((57,)) * 5).astype("int64")


class OwnReLU(mc.ReLU):
    """A user's own class with the formulas of ReLU: epilogues are found by formulas, not by names."""


def net(*hidden: Any, width: int = 24) -> mc.Sequential:
    """Linear layers of 24 columns with other layers between them."""
    layers: list[Any] = [mc.Linear(20, width)]
    for layer in hidden:
        layers += [layer, mc.Linear(width, width)]
    return mc.Sequential(*layers[:-1], mc.Linear(width, 5))


# A network, and the epilogues of its step: activations, derivatives, sums of a factor.
FOUND: dict[str, tuple[mc.Sequential, list[str]]] = {
    "ReLU": (net(mc.ReLU(), mc.ReLU()), ["relu", "relu", "sums", "relu gradient", "relu gradient"]),
    "GELU": (net(mc.GELU("tanh"), OwnReLU()), ["gelu", "relu", "sums", "relu gradient", "gelu gradient"]),
    "columns of GELU not a multiple of 8": (net(mc.GELU("tanh"), width=21), ["sums", "sums"]),
    "other activations": (net(mc.GELU(), mc.LeakyReLU(), mc.Tanh()), ["sums"] * 4),
    "no bias": (
        mc.Sequential(mc.Linear(20, 24, bias=False), mc.ReLU(), mc.Linear(24, 5, bias=False)),
        ["relu", "relu gradient"],
    ),
    "dropout after ReLU": (
        mc.Sequential(mc.Linear(20, 24), mc.ReLU(), mc.Dropout(0.2), mc.Linear(24, 5)),
        ["sums", "sums"],
    ),
    "residual": (
        mc.Sequential(
            mc.Linear(20, 24), mc.Residual(mc.Sequential(mc.Linear(24, 24), mc.ReLU(), mc.Linear(24, 24))),
            mc.Linear(24, 5),
        ),
        ["relu", "sums", "sums", "relu gradient", "sums"],
    ),
}  # fmt: skip


def kinds(step: Printed) -> list[str]:
    """The epilogues of a step, in order."""
    fused = [item for item in step.traced.program.schedule.items if isinstance(item, FusedProduct)]
    return [one.activation + " gradient" * one.gradient if one.activation else "sums" for one in fused]


@pytest.mark.parametrize("name", FOUND)
def test_epilogues_are_found_by_their_formulas(name: str) -> None:
    net, expected = FOUND[name]
    (step, *_), _ = programs(Case(net, columns=20, classes=5), "float32")
    assert kinds(step.with_epilogues()) == expected


def test_predictions_and_float64_have_none() -> None:
    """ReLU in an epilogue turns NaN into 0, which a step notices in its gradient and a prediction would not."""
    _, predictions = programs(Case(FOUND["ReLU"][0], columns=20, classes=5), "float32")
    steps, _ = programs(Case(FOUND["ReLU"][0], columns=20, classes=5), "float64")
    for printed in (predictions[0], steps[0]):
        assert not kinds(printed.with_epilogues())


def backward(xp: Any, x: Any, w: Any, bias: Any, v: Any, g: Any) -> list[Any]:
    """A layer with ReLU and its gradients, for weights v and the gradient g of the layer behind."""
    z = x @ w + xp.expand_dims(bias, axis=0)
    y = xp.maximum(z, 0.0)
    dz = (g @ v.mT) * xp.astype(y > 0.0, xp.float32)
    return [y @ v, x.mT @ dz, xp.sum(dz, axis=0), dz + 1, z + 1, y * 2, z, y]


# What is asked of these, and whether ReLU is fused.
ASKED = {
    "all gradients": ([0, 1, 2], True),
    "the activations too": ([0, 1, 2, 5], True),
    "no gradient of the weights, which would notice NaN": ([0, 2], False),
    "the argument of the activation": ([0, 1, 4], False),
    "that argument as a result": ([0, 1, 6], False),
    "the activations as a result": ([0, 1, 7], False),
}


@pytest.mark.parametrize("name", ASKED)
def test_what_must_be_written_or_noticed_is_not_fused(name: str) -> None:
    wanted, fused = ASKED[name]
    tracer = Tracer()
    shapes = (N, 20), (20, 24), (24,), (24, 5), (N, 5)
    made = backward(tracer, *(tracer.input(shape, "float32") for shape in shapes))
    program = DeviceProgram(tracer, [made[i] for i in wanted], epilogues=True)
    products = [item for item in program.schedule.items if isinstance(item, FusedProduct)]
    assert [one.gradient for one in products if one.activation] == ([False, True] if fused else [])


# --- training


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> Backend:
    """Kernels on the CPU by g++, and CuPy."""
    return cuda_host.backend() if request.param == "shim" else open_place("cupy")


@pytest.fixture
def fused(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of products with epilogues of each program that was bound."""
    numbers: list[int] = []
    bind = BoundDeviceProgram.__init__

    def noting(self: BoundDeviceProgram, program: DeviceProgram, *words: Any) -> None:
        bind(self, program, *words)
        numbers.append(sum(isinstance(item, FusedProduct) for item in program.schedule.items))

    monkeypatch.setattr(BoundDeviceProgram, "__init__", noting)
    return numbers


def trained(net: Any, backend: Backend, compile: bool | str, x: np.ndarray = X, **words: Any) -> mc.Model:
    """A model after three epochs, with a ragged last batch and row weights."""
    fit = {"epochs": 3, "batch_size": 16, "sample_weight": 0.5 + np.arange(57) / 57}
    words = {"optimizer": mc.Adam(0.01), "dtype": "float32", "seed": 3, **words}
    model = mc.Model(net, mc.SoftmaxCrossEntropy(), backend=backend, compile=compile, **words)
    model.fit(x, LABELS, **fit)
    return model


def params(model: mc.Model) -> np.ndarray:
    return model.backend.to_numpy(model.trainer.state.params)


@pytest.mark.parametrize("precision", ["highest", "tf32", "bfloat16"])
@pytest.mark.parametrize("name", FOUND)
def test_steps_with_epilogues_train_as_without(name: str, precision: str, place: Backend, fused: list[int]) -> None:
    if precision not in place.compile.precisions:
        pytest.skip(f"no products in {precision} here")
    net, _ = FOUND[name]
    plain = trained(net, place, "auto", precision=precision)
    assert not any(fused)
    own = trained(net, place, True, precision=precision)
    least = {"highest": 2e-6, "tf32": 2e-3, "bfloat16": 2e-2}[precision]
    np.testing.assert_allclose(params(own), params(plain), rtol=0, atol=least)
    if "relu" in FOUND[name][1] or precision != "bfloat16":  # sums are of unrounded factors
        assert any(fused)


def test_stacks_train_with_epilogues_as_each_alone(place: Backend, fused: list[int]) -> None:
    models = [
        mc.Model(net(mc.ReLU(), mc.GELU("tanh")), mc.SoftmaxCrossEntropy(), mc.Adam(0.01), seed=seed, backend=place,
                 dtype="float32", compile=True)
        for seed in (3, 4, 5)
    ]  # fmt: skip
    mc.Stack(models).fit(X, LABELS, epochs=2, batch_size=16)
    assert any(fused)
    for seed, model in zip((3, 4, 5), models, strict=True):
        words = {"seed": seed, "backend": place, "dtype": "float32", "compile": "auto"}
        alone = mc.Model(net(mc.ReLU(), mc.GELU("tanh")), mc.SoftmaxCrossEntropy(), mc.Adam(0.01), **words)
        alone.fit(X, LABELS, epochs=2, batch_size=16)
        np.testing.assert_allclose(params(model), params(alone), rtol=0, atol=2e-6)


def changed(**words: Any) -> Backend:
    """Kernels on the CPU, by a device that differs in some functions."""
    numpy, device = mc.get_backend("numpy"), replace(cuda_host.device(), **words)
    steps = device_steps(run_eagerly(numpy.xp, numpy.asarray), device)
    return replace(numpy, compile=Compilers(steps, device_jit(device), ("highest",), run_as_one(device)))


@cuda_host.needed
def test_captured_steps_with_epilogues_have_the_bits_of_single_launches() -> None:
    captured, single = (
        trained(FOUND["GELU"][0], changed(), True),
        trained(FOUND["GELU"][0], changed(capture=None), True),
    )
    np.testing.assert_array_equal(params(captured), params(single))


@cuda_host.needed
def test_a_device_without_an_epilogue_runs_products_and_kernels(fused: list[int]) -> None:
    def prepare(product: Any) -> Callable[[], None] | None:
        return None if product.activation == "gelu" else cuda_host.device().fused_product(product)

    own = trained(FOUND["GELU"][0], changed(fused_product=prepare), True)
    np.testing.assert_array_equal(params(own), params(trained(FOUND["GELU"][0], changed(fused_product=None), True)))
    assert not any(fused)


class Logarithm(mc.Activation):
    """``y = log(x)``, NaN for negative x."""

    def activate(self, x: Any) -> tuple[Any, Any]:
        return namespace(x).log(x), x

    def gradient(self, cache: Any, dy: Any) -> Any:
        return dy / cache


@pytest.mark.parametrize("row", [np.full(20, 3e38), np.resize([3e38, -3e38], 20)])
def test_rows_whose_products_overflow_are_noticed(row: np.ndarray, place: Backend, fused: list[int]) -> None:
    x = X.copy()
    x[40] = row
    for compile in ("auto", True):
        with pytest.raises(mc.NonFiniteError):
            trained(FOUND["ReLU"][0], place, compile, x)
    assert any(fused)


def test_nan_that_relu_hides_is_noticed(place: Backend, fused: list[int]) -> None:
    """It reaches the gradient of the weights, whose factor is the same array."""
    net = mc.Sequential(Logarithm(), *FOUND["ReLU"][0].layers)
    for compile in ("auto", True):
        with pytest.raises(mc.NonFiniteError):
            trained(net, place, compile)
    assert any(fused)


@pytest.mark.parametrize("rate", [1e4, 1e19, 1e38])
def test_a_run_that_diverges_is_found_as_without_epilogues(rate: float, place: Backend) -> None:
    messages = []
    for compile in ("auto", True):
        with pytest.raises(mc.NonFiniteError) as error:
            trained(FOUND["ReLU"][0], place, compile, optimizer=mc.SGD(rate))
        messages.append(str(error.value))
    assert messages[0] == messages[1]
