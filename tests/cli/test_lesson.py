"""The lesson: its formulas are what the library computes, its numbers are the library's, its steps are all there."""

import base64
import math
from typing import Any

import numpy as np
import pytest

from mlpcore import layers as all_layers
from mlpcore.cli.lesson import Lesson, Rows, train
from mlpcore.cli.lesson.formulas import ACTIVATIONS, CONSTANTS, LINEAR, LOSSES, UPDATES
from mlpcore.cli.lesson.mathml import symbol, term
from mlpcore.cli.lesson.network import KEPT, NAMES, network
from mlpcore.cli.lesson.payload import CUT, WHOLE, payload
from mlpcore.cli.lesson.rows import EXAMPLES
from mlpcore.cli.lesson.stages import panels, steps
from mlpcore.layers import Linear
from mlpcore.layers.activation import Activation
from mlpcore.losses import HalfSquaredError, SigmoidCrossEntropy, SoftmaxCrossEntropy
from mlpcore.model import Model
from mlpcore.numerics import erf
from mlpcore.optimizers import SGD
from mlpcore.random import Stream
from mlpcore.training.gradients import value_and_grad
from mlpcore.trees import leaves

RANDOM = np.random.default_rng(0)
MEANINGS: dict[str, Any] = {
    **{name: getattr(np, name) for name in ("exp", "tanh", "log", "where")},
    "max": np.maximum,
    "sum": lambda array: np.sum(array, axis=-1, keepdims=True),
    "sum_rows": lambda array: np.sum(array, axis=-2),
    "sigma": lambda x: 1 / (1 + np.exp(-x)),
    "Phi": lambda x: 0.5 + 0.5 * np.asarray(erf(x / math.sqrt(2))),
    "phi": lambda x: np.exp(-x * x / 2) / math.sqrt(2 * math.pi),
    **CONSTANTS,
}


def evaluated(lines: Any, **values: Any) -> dict[str, Any]:
    """The values with those that the formulas compute, one after the other."""
    for name, expression in lines:
        values = values | {name: eval(expression.replace(".T", ".mT"), {"__builtins__": {}}, MEANINGS | values)}
    return values


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_the_formulas_of_an_activation_are_what_it_computes(kind: type) -> None:
    x, dy = 2 * RANDOM.normal(size=(5, 4)), RANDOM.normal(size=(5, 4))
    layer, formulas = kind(), ACTIVATIONS[kind]
    y, cache = layer.forward({}, x)
    found = evaluated(formulas.forward, x=x)
    np.testing.assert_allclose(found["y"], y, rtol=1e-9, atol=1e-12)
    dx, _ = layer.backward({}, cache, dy)
    np.testing.assert_allclose(evaluated(formulas.backward, dy=dy, **found)["dx"], dx, rtol=1e-9, atol=1e-12)


def test_every_activation_has_formulas_and_a_name() -> None:
    elementwise = {layer for layer in all_layers.LAYERS if issubclass(layer, Activation)}
    assert set(ACTIVATIONS) == elementwise == set(NAMES.values()) and len(elementwise) > 8


def test_the_formulas_of_linear_are_what_it_computes() -> None:
    layer, x, dy = Linear(3, 2), RANDOM.normal(size=(5, 3)), RANDOM.normal(size=(5, 2))
    params = {"weight": RANDOM.normal(size=(3, 2)), "bias": RANDOM.normal(size=2)}
    y, cache = layer.forward(params, x)
    dx, grads = layer.backward(params, cache, dy)
    found = evaluated((*LINEAR.forward, *LINEAR.backward), x=x, dy=dy, W=params["weight"], b=params["bias"])
    for name, expected in (("y", y), ("dx", dx), ("dW", grads["weight"]), ("db", grads["bias"])):
        np.testing.assert_allclose(found[name], expected, rtol=1e-12)


@pytest.mark.parametrize("kind", LOSSES)
def test_the_formulas_of_a_loss_are_what_it_computes(kind: type) -> None:
    loss, classes = kind(), 1 if kind is SigmoidCrossEntropy else 3
    z = RANDOM.normal(size=(6, classes))
    labels = np.arange(6) % max(2, classes)
    y, t = {
        SigmoidCrossEntropy: (labels, labels[:, None].astype(float)),
        SoftmaxCrossEntropy: (labels, np.eye(3)[labels]),
        HalfSquaredError: (z * z, z * z),
    }[kind]
    found = evaluated((*LOSSES[kind].forward, *LOSSES[kind].backward), z=z, t=t)
    value, dz = loss.value_and_grad(z, loss.prepare(y, classes, z.dtype), np.ones(6))
    np.testing.assert_allclose(found["L"].sum(), value, rtol=1e-12)
    np.testing.assert_allclose(found["dz"], dz, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found["p"], loss.predict(z), rtol=1e-12)


def test_the_formula_of_the_update_is_what_the_optimizer_computes() -> None:
    w, gradient = RANDOM.normal(size=8), RANDOM.normal(size=8)
    optimizer = SGD(0.3)
    new, _ = optimizer.update(gradient, optimizer.init(w), w, np.asarray(0.3))
    (_, of_weight), (_, of_bias) = UPDATES[SGD]
    for expression, letter in ((of_weight, "W"), (of_bias, "b")):
        values = {letter: w, f"d{letter}": gradient, "rate": 0.3}
        np.testing.assert_array_equal(eval(expression, {"__builtins__": {}}, values), new)


def test_brackets_and_signs_are_printed_where_they_count() -> None:
    plain = {name: name for name in "abc"}

    def text(expression: str) -> str:
        return term(expression, plain).replace("<mo>", "").replace("</mo>", "").replace("<mrow>", "").replace(
            "</mrow>", ""
        )  # fmt: skip

    assert text("a * (b - c)") == "a⊙(b−c)" and text("a * b - c") == "a⊙b−c"
    assert text("a - (b - c)") == "a−(b−c)" and text("a - b + c") == "a−b+c"
    assert text("-a * b") == "−a⊙b" and text("-(a + b)") == "−(a+b)"
    assert text("a @ b.T") == "a·<msup>b<mi mathvariant='normal'>T</mi></msup>"
    assert text("(a - b)**2") == "<msup>(a−b)<mn>2</mn></msup>" and text("(a * b) / (a + b)").count("(") == 0
    assert "<mfrac>" in symbol("W", 1, "L") and symbol("z", 2) == "<msub><mi>z</mi><mn>2</mn></msub>"
    with pytest.raises(ValueError, match="no sign for"):
        term("a % b", plain)


def lesson_of(kind: str) -> Lesson:
    """A lesson after a few epochs: of two classes, of three, or of amounts."""
    x = RANDOM.normal(size=(30, 3))
    y = {"two": (x[:, 0] > 0).astype(int), "three": np.arange(30) % 3, "amounts": x[:, :1] * x[:, 1:2]}[kind]
    labels = {"two": ("no", "yes"), "three": ("a", "b", "c"), "amounts": ()}[kind]
    rows = Rows("rows", "", ("first", "second", "third"), "target", labels, (x, y), (x[:9], y[:9]))
    return train(rows, (5, 12), "tanh", epochs=6, learning_rate=0.1, batch_size=7, seed=3)


def floats(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f4")


@pytest.mark.parametrize("kind", ["two", "three", "amounts"])
def test_the_numbers_are_the_librarys(kind: str) -> None:
    """Against the gradient of the training step, the model's own predictions, and another training with this seed."""
    lesson = lesson_of(kind)
    page, model = payload(lesson), lesson.model
    x, y = lesson.rows.train
    shown = page["shown"]
    assert lesson.epochs == [*range(7)] and [len(units) for units in shown] == [3, 5, CUT, len(page["outputs"])]
    numbers = floats(page["numbers"]["data"]).reshape(7, len(page["rows"]), -1)
    weights = floats(page["weights"]["data"]).reshape(7, -1)
    again = Model(model.net, model.loss, SGD(0.1), dtype="float64", seed=3)
    target = model.loss.prepare(y, lesson.widths[-1], np.dtype("float64"))
    for epoch in range(7):
        params = again.params
        assert all(map(np.array_equal, leaves(params), leaves(lesson.params[epoch])))
        linear = [params[i] for i in (0, 2, 4)]
        for k, part in enumerate(linear, start=1):
            cut = np.ix_(shown[k - 1], shown[k])
            assert_slot(page["weights"], weights[epoch], f"W{k}", part["weight"][cut])
            assert_slot(page["weights"], weights[epoch], f"b{k}", part["bias"][None, shown[k]])
        for place, row in enumerate(page["rows"]):
            i, values = row["number"], numbers[epoch, place]
            one = x[i : i + 1]
            value, _, grads, _ = value_and_grad(model.net, model.loss)(
                params, one, target[i : i + 1], np.ones(1), model.net.noise(Stream(0), one.shape, "float64")
            )
            assert_slot(page["numbers"], values, "x", one)
            assert_slot(page["numbers"], values, "L", np.reshape(value, (1, 1)))
            assert_slot(page["numbers"], values, "p", again.predict(one))
            for k, layer in enumerate((0, 2, 4), start=1):
                cut, gradient = np.ix_(shown[k - 1], shown[k]), grads[layer]
                assert_slot(page["numbers"], values, f"dW{k}", gradient["weight"][cut])
                assert_slot(page["numbers"], values, f"db{k}", gradient["bias"][None, shown[k]])
                new = linear[k - 1]["weight"] - 0.1 * gradient["weight"]
                assert_slot(page["numbers"], values, f"new_W{k}", new[cut])
                start = page["numbers"]["slots"][f"measured{k}"][0]
                down, across, slope, claimed = values[start : start + 4]
                largest = np.abs(gradient["weight"][cut]).max()
                assert abs(claimed) == pytest.approx(largest) and slope == pytest.approx(claimed, rel=1e-5, abs=1e-9)
                assert gradient["weight"][int(down) - 1, int(across) - 1] == pytest.approx(claimed)
        losses = {"loss": again.evaluate(x, y)["loss"], "val_loss": again.evaluate(x[:9], y[:9])["loss"]}
        assert {name: page["measures"][name][epoch] for name in losses} == pytest.approx(losses, rel=1e-12)
        again.fit(x, y, epochs=1, batch_size=7)
    step = floats(page["numbers"]["data"]).reshape(7, len(page["rows"]), -1)
    old, new = (step[..., page["numbers"]["slots"][name][0]] for name in ("L", "new_L"))
    assert np.mean(new < old) > 0.95  # one small step downhill


def assert_slot(block: dict[str, Any], values: np.ndarray, name: str, expected: np.ndarray, rtol: float = 1e-6) -> None:
    start, rows, columns = block["slots"][name]
    found = values[start : start + rows * columns].reshape(rows, columns)
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-8, err_msg=name)


def test_many_columns_are_cut_to_those_that_vary_most() -> None:
    x = RANDOM.normal(size=(20, 15)) * np.where(np.arange(15) % 2, 1.0, 0.01)
    names = tuple(f"c{i}" for i in range(15))
    rows = Rows("wide", "", names, "y", ("a", "b"), (x, np.arange(20) % 2))
    page = payload(train(rows, (WHOLE,), "relu", epochs=1, learning_rate=0.1, batch_size=5))
    assert len(page["shown"][0]) == CUT and all(i % 2 for i in page["shown"][0])
    assert page["inputs"] == [names[i] for i in page["shown"][0]] and len(page["shown"][1]) == WHOLE
    assert "plane" not in page


def test_the_map_is_what_the_network_predicts() -> None:
    example = EXAMPLES["moons"]
    lesson = train(example.rows(0), (4,), "tanh", epochs=90, learning_rate=0.3, batch_size=8)
    assert len(lesson.epochs) == KEPT + 1 and lesson.epochs[0] == 0 and lesson.epochs[-1] == 90
    plane = payload(lesson)["plane"]
    maps = np.frombuffer(base64.b64decode(plane["maps"]), np.uint8).reshape(-1, plane["grid"], plane["grid"])
    first, second = (np.linspace(plane["low"][j], plane["high"][j], plane["grid"]) for j in (0, 1))
    for i, j in ((0, 0), (39, 0), (0, 39), (17, 23)):  # the row of the map is the second column of x
        predicted = lesson.model.predict(np.array([[first[j], second[i]]]))[0, 0]
        assert abs(maps[-1, i, j] - 255 * predicted) <= 0.5 + 1e-9
    assert maps[0].tolist() != maps[-1].tolist()
    points = floats(plane["points"]).reshape(-1, 2)
    assert len(points) + len(floats(plane["others"])) // 2 == len(lesson.rows.train[0])


@pytest.mark.parametrize("hidden", [(), (4,), (4, 3)])
def test_the_steps_go_through_every_layer_and_back(hidden: tuple[int, ...]) -> None:
    lesson = train(EXAMPLES["xor"].rows(0), hidden, "sigmoid", epochs=2, learning_rate=0.1, batch_size=4)
    page, found = payload(lesson), steps(lesson)
    last = len(lesson.layers) + 1
    forward = [*range(last + 1)]
    assert [step.panel for step in found] == [*forward, *reversed(forward[1:]), last + 1]
    assert len(panels(lesson)) == last + 2
    known = {"", *page["numbers"]["slots"], *page["weights"]["slots"]}
    for step in found:
        assert {*step.nodes, *step.edges} <= known
        assert len(step.nodes) == len(page["widths"]) and len(step.edges) == len(page["widths"]) - 1
    directions = [step.direction for step in found]
    assert directions == sorted(directions, reverse=True)  # forward, then backward
    assert found[last].nodes[-1] == "p" and "" not in found[last].nodes  # all that was computed is drawn


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_are_learnt(name: str) -> None:
    if name == "digits":
        pytest.importorskip("sklearn")
    example = EXAMPLES[name]
    lesson = train(
        example.rows(1), example.hidden, "tanh", epochs=example.epochs, learning_rate=example.learning_rate,
        batch_size=example.batch_size, seed=1,
    )  # fmt: skip
    assert lesson.measures[-1].get("val_accuracy", lesson.measures[-1]["accuracy"]) > 0.9


def test_a_network_has_no_activation_after_its_last_layer() -> None:
    assert [type(layer).__name__ for layer in network(2, (3, 4), "relu", 1).layers] == [
        "Linear", "ReLU", "Linear", "ReLU", "Linear",
    ]  # fmt: skip
