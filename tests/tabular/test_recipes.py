"""The recipes: what they are made of, by each switch; that they train; and what is refused."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from optional import optional

import mlpcore as mc
from mlpcore.random import Stream
from mlpcore.tabular.inputs import input_layers, piecewise
from mlpcore.tabular.recipe import steps_of
from mlpcore.tabular.recipes import RECIPES, SIMPLE, PlainMLP, RealMLP, TableShape, TabM
from mlpcore.training.factors import factors_of
from mlpcore.trees import Layout, named_leaves

LEVELS = (2, 12, 3, 1)
DRAWS = Stream(5)
X = np.concatenate(
    [DRAWS.child("x").normal((200, 3)), np.floor(DRAWS.child("c").uniform((200, 4)) * [3, 13, 4, 2])], axis=1
).astype("float32")
CLASSES, REALS = TableShape(3, LEVELS, classes=3), TableShape(3, LEVELS)
SMALL = {"realmlp": {"hidden": (16, 16)}, "realmlp-s": {"hidden": (16, 16)}, "tabm": {"hidden": (16,), "members": 4}}


def small(name: str, epochs: int) -> Any:
    return replace(RECIPES[name], **SMALL.get(name, {}), epochs=epochs, batch_size=32)


def parts(layer: Any) -> list[Any]:
    """All layers of a network."""
    return [layer, *(part for child in mc.layers.containers.children(layer) for part in parts(child))]


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("task", ["classes", "regression"])
def test_every_recipe_learns(name: str, task: str) -> None:
    """A rule of a number and a category; better than the most frequent class, or than the mean."""
    signal = X[:, 0] * np.where(X[:, 3] == 1, 2, -1)
    recipe = small(name, 60).build(CLASSES if task == "classes" else REALS, X)
    target = (
        np.digitize(signal, [-0.5, 0.5]) if task == "classes" else ((signal - signal.mean()) / signal.std())[:, None]
    )
    model = mc.Model(recipe.net, recipe.loss, recipe.optimizer, params=recipe.initial(X, Stream(1)), seed=3)
    model.fit(X, target, epochs=recipe.epochs, batch_size=recipe.batch_size)
    prediction = model.predict(X)
    if task == "classes":
        assert np.mean(np.argmax(prediction, axis=1) == target) > 0.75
    else:
        assert np.mean((prediction - target) ** 2) < 0.4
    assert not recipe.clamp and not recipe.from_data


@pytest.mark.parametrize("name", RECIPES)
def test_a_model_of_a_recipe_comes_back_from_its_file(name: str, tmp_path: Any) -> None:
    recipe = small(name, 2).build(CLASSES, X)
    model = mc.Model(recipe.net, recipe.loss, recipe.optimizer, params=recipe.initial(X, Stream(1)))
    model.fit(X, np.arange(200) % 3, epochs=2, batch_size=64)
    model.save(tmp_path / "model")
    back = mc.load(tmp_path / "model")
    np.testing.assert_array_equal(back.predict(X), model.predict(X))
    assert back.net == recipe.net and back.optimizer == recipe.optimizer


@pytest.mark.parametrize("library", ["torch", "jax"])
@pytest.mark.parametrize("name", RECIPES)
def test_every_library_trains_a_recipe_alike(name: str, library: str) -> None:
    optional(library)
    recipe = small(name, 3).build(CLASSES, X)
    losses = []
    for backend in ("numpy", library):
        words: dict[str, Any] = {"backend": backend, "dtype": "float64", "seed": 3}
        params = recipe.initial(X, Stream(1), "float64")
        model = mc.Model(recipe.net, recipe.loss, recipe.optimizer, params=params, **words)
        losses.append(model.fit(X, np.arange(200) % 3, epochs=3, batch_size=64).loss)
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-9)


def test_inputs_stand_side_by_side_in_the_order_of_the_columns() -> None:
    inputs = input_layers(CLASSES, X, largest_one_hot=8, clip=False)
    params = inputs.layer.init(Stream(0), "float64")
    y, _ = inputs.layer.forward(params, X[:4].astype("float64"))
    assert inputs.groups == (1, 1, 1, 1, 8, 3, 1) and y.shape == (4, 16)
    np.testing.assert_array_equal(y[:, :3], X[:4, :3])
    (table,) = [leaf for _, leaf in named_leaves(params)]
    np.testing.assert_array_equal(y[:, 4:12], table[X[:4, 4].astype(int)])
    np.testing.assert_array_equal(y[:, 12:15], X[:4, 5:6] == [1, 2, 3])


def test_one_hot_columns_are_clipped_by_the_rows() -> None:
    y, _ = input_layers(TableShape(0, (3,)), X[:, 5:6]).layer.forward(({}, {}, {}), X[:, 5:6].astype("float64"))
    hot = (X[:, 5:6] == [1, 2, 3]).astype("float64")
    np.testing.assert_allclose(y, mc.RobustClip.fit(hot)(hot), rtol=1e-12)


def test_piecewise_edges_are_quantiles_without_repetition() -> None:
    x = np.stack([np.arange(101.0), np.repeat(5.0, 101), np.minimum(np.arange(101.0), 1)], axis=1)
    assert piecewise(x, 4, 2)(3).edges == ((0.0, 25.0, 50.0, 75.0, 100.0), (5.0, 6.0), (0.0, 1.0))


SWITCHES = [  # a field, its value, the layer that is gone
    ({"embedding": "none"}, mc.PeriodicEmbedding),
    ({"embedding": "piecewise"}, mc.PeriodicEmbedding),
    ({"largest_one_hot": None}, mc.Embedding),
    ({"front_scale": False}, mc.Scale),
    ({"ntk": False}, mc.NTKLinear),
    ({"parametric": False}, mc.Parametric),
    ({"dropout": 0.0}, mc.Dropout),
]


@pytest.mark.parametrize(("words", "gone"), SWITCHES, ids=lambda value: str(value))
def test_every_ingredient_has_a_switch(words: dict[str, Any], gone: type) -> None:
    whole = [type(part) for part in parts(RealMLP().build(CLASSES, X).net)]
    without = [type(part) for part in parts(RealMLP(**words).build(CLASSES, X).net)]
    assert gone in whole and gone not in without
    if gone is not mc.PeriodicEmbedding:
        assert set(whole) - {gone} <= set(without) | {mc.Columns, mc.Concat, mc.Rates}


def test_numbers_of_the_paper() -> None:
    recipe, simple = RealMLP().build(CLASSES, X), SIMPLE.build(REALS, X)
    assert steps_of(200, 256, 256) == 256
    assert recipe.optimizer == mc.Adam(mc.CosLog(0.04, 256), beta2=0.95, weight_decay=mc.FlatCosine(0.02, 256))
    assert recipe.loss == mc.SoftmaxCrossEntropy(0.1)
    assert simple.optimizer == mc.Adam(mc.CosLog(0.07, 256), beta2=0.95) and simple.loss == mc.SquaredError()
    assert mc.Mish() in parts(simple.net) and mc.SELU() not in parts(simple.net)
    assert RealMLP().build(REALS, X).optimizer.learning_rate == mc.CosLog(0.2, 256)
    start = dict(named_leaves(simple.initial(X, Stream(1))))
    last = [leaf for name, leaf in start.items() if leaf.shape in ((256, 1), (1,))]
    assert len(last) == 2 and not any(np.any(leaf) for leaf in last)
    assert 0.9 < np.std(start["2.0.0.bias"]) < 1.1
    tabm = TabM().build(CLASSES, X)
    assert tabm.loss == mc.MembersLoss(mc.SoftmaxCrossEntropy(), 32) and tabm.patience == 16
    assert tabm.net.output_width(7) == 96
    scale = dict(named_leaves(tabm.initial(X, Stream(1))))["1.0.scale"]
    assert scale.shape == (32, 20) and set(np.unique(scale)) == {-1.0, 1.0}
    assert np.all(scale[:, 4:5] == scale[:, 4:16])  # the columns of one category
    assert PlainMLP().build(CLASSES, X).epochs == 100


def test_initial_values_from_the_rows_and_limits_are_switched_on() -> None:
    recipe = RealMLP(from_data=True, clamp=True).build(REALS, X)
    assert recipe.clamp and not RealMLP(clamp=True).build(CLASSES, X).clamp
    params = recipe.initial(X, Stream(1), "float64")
    h = X.astype("float64")
    for layer, part in zip(recipe.net.layers[:2], params[:2], strict=True):
        h, _ = layer.forward(part, h)
    first = params[2][0][0]
    z = h @ first["weight"] / h.shape[1] ** 0.5
    np.testing.assert_allclose(z.std(axis=0), 1.0, rtol=1e-9)
    assert np.all((z.min(axis=0) < -first["bias"]) & (-first["bias"] < z.max(axis=0)))


def test_biases_do_not_decay_and_learn_slowly() -> None:
    net = RealMLP().build(CLASSES, X).net
    layout = Layout(net.init(Stream(0), "float32"))
    rates, decays = factors_of(net, layout)
    for name, rate, decay in zip(layout.slots, rates, decays, strict=True):
        if re.fullmatch(r"2\.0\.\d+\.bias", name):
            assert (rate, decay) == (0.1, 0.0)
        elif re.fullmatch(r"(2\.0\.\d+|0\.2\.1)\.weight", name):
            assert (rate, decay) == (1.0, 1.0)
    assert (rates[list(layout.slots).index("1.0.scale")], decays[list(layout.slots).index("1.0.scale")]) == (6.0, 36.0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: TableShape(0), "expected a column or more"),
        (lambda: TableShape(2, classes=1), "two classes or more"),
        (lambda: TableShape(-1), "numeric is -1"),
        (lambda: RealMLP().build(CLASSES, X[:, :3]), r"x has shape \(200, 3\), expected \(rows, 7\)"),
        (
            lambda: RealMLP(embedding="fourier"),
            "embedding is 'fourier', expected one of 'periodic', 'piecewise', 'none'",
        ),
        (lambda: RealMLP(hidden=(0,)), "hidden is 0"),
        (lambda: TabM(members=0), "members is 0"),
    ],
)
def test_what_is_refused(wrong: Any, message: str) -> None:
    with pytest.raises(mc.ConfigurationError, match=message):
        wrong()
