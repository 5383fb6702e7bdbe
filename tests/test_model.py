"""Model outside training: its parameters, predictions and rates, and every layer and loss in a whole model."""

from typing import Any

import numpy as np
import pytest
from fitting import EAGER, LABELS, NET, PLAIN, ROWS, X, Y, assert_same, classifier, differ, make, state_of
from members import LAYERS, LOSSES, assert_close

import mlpcore as mc
from mlpcore.gradient_check import draw_targets
from mlpcore.random import Stream
from mlpcore.trees import named_leaves, tree_map


def leaves(tree: Any) -> dict[str, np.ndarray]:
    return dict(named_leaves(tree))


# --- every member in a model


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", LAYERS)
def test_every_layer_trains_in_a_model(case: str, dtype: str) -> None:
    layer = LAYERS[case](4)
    net = mc.Sequential(mc.Linear(3, 4), layer, mc.Linear(layer.output_width(4), 2))
    model = make(net, optimizer=mc.Adam(0.02), dtype=dtype)
    history = model.fit(X, Y, epochs=30, batch_size=8, validation_data=(X, Y))
    assert np.all(np.isfinite(history.loss)) and history.val_loss[-1] < history.val_loss[0]
    assert {leaf.dtype.name for leaf in leaves(model.params).values()} == {dtype}
    prediction = model.predict(X)
    assert prediction.dtype == dtype and prediction.shape == (ROWS, 2)
    np.testing.assert_array_equal(prediction, model.predict(X), err_msg="no chance is left in a prediction")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", LOSSES)
def test_every_loss_trains_a_model(case: str, dtype: str) -> None:
    loss, kind = LOSSES[case]
    target = draw_targets(Stream(0), ROWS, 3)[kind]
    net = mc.Sequential(mc.Linear(3, 8), mc.Tanh(), mc.Linear(8, loss.outputs(3)))
    model = make(net, loss, mc.Adam(0.02), dtype=dtype)
    history = model.fit(X, target, epochs=30, batch_size=8, validation_data=(X, target))
    assert history.val_loss[-1] < history.val_loss[0] and history.loss[-1] < history.loss[0]
    expected = loss.predict(net.forward(model.params, X.astype(dtype))[0])
    for got, wanted in zip(leaves(model.predict(X)).values(), leaves(expected).values(), strict=True):
        assert got.dtype == dtype and got.shape[0] == ROWS
        np.testing.assert_array_equal(got, wanted)


# --- parameters


def test_the_parameters_that_are_read_are_a_copy() -> None:
    model = make(ema=0.5)
    model.fit(X, Y, epochs=1)
    before, prediction = state_of(model), model.predict(X)
    params = model.params
    kept = tree_map(np.copy, params)
    for leaf in leaves(params).values():
        leaf[...] = 99.0
    assert_same(state_of(model), before)
    params = model.params
    model.fit(X, Y, epochs=1)
    for name, leaf in leaves(params).items():
        np.testing.assert_array_equal(leaf, leaves(kept)[name], err_msg=name)
    model.params = params
    np.testing.assert_array_equal(model.predict(X), prediction)


@pytest.mark.parametrize("ema", [None, 0.5])
def test_given_parameters_are_the_ones_that_predict(ema: float | None) -> None:
    """By constructor or later, from any kind of leaf; training moves neither the tree nor what it was made of."""
    other = make(seed=5)
    other.fit(X, Y, epochs=1)
    tree = other.params
    kept = tree_map(np.copy, tree)
    for given in (tree, tree_map(np.ndarray.tolist, tree), tree_map(np.asfortranarray, tree)):
        built, later = make(params=given, ema=ema), make(ema=ema)
        later.fit(X, Y, epochs=1)
        later.params = given
        for model in (built, later):
            np.testing.assert_array_equal(model.predict(X), other.predict(X))
            np.testing.assert_array_equal(model.trainer.state.params, other.trainer.state.params)
            model.fit(X, Y, epochs=1)
            assert np.any(model.predict(X) != other.predict(X))
    for name, leaf in leaves(tree).items():
        np.testing.assert_array_equal(leaf, leaves(kept)[name], err_msg=name)


@pytest.mark.parametrize("backend", ["numpy", EAGER])
def test_assigned_parameters_train_like_those_of_the_constructor(backend: Any) -> None:
    """The average begins at them too, in memory of its own."""
    tree = make(seed=5).params
    one, other = make(ema=0.5, params=tree, backend=backend), assign(make(ema=0.5, backend=backend), tree)
    for model in (one, other):
        model.fit(X, Y, epochs=2)
        assert np.any(model.trainer.state.average != model.trainer.state.params)
    assert_same(state_of(one), state_of(other))


def test_the_givers_later_writes_do_not_reach_the_model() -> None:
    for build in (lambda tree: make(params=tree), lambda tree: assign(make(), tree)):
        tree = make(seed=5).params
        model = build(tree)
        expected = model.predict(X)
        for leaf in leaves(tree).values():
            leaf *= 2
        np.testing.assert_array_equal(model.predict(X), expected)


def assign(model: mc.Model, tree: Any) -> mc.Model:
    model.params = tree
    return model


def test_two_models_of_one_network_share_nothing() -> None:
    one, other = make(), make()
    before = state_of(other)
    one.fit(X, Y, epochs=1)
    assert_same(state_of(other), before)
    assert differ(state_of(one), before)


def test_assigning_parameters_leaves_optimizer_and_progress() -> None:
    """Only what predicts is replaced."""
    model = make(PLAIN)
    model.fit(X, Y, epochs=2)
    before = state_of(model)
    model.params = make(PLAIN, seed=9).params
    after = state_of(model)
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {"0"}, "the vector of parameters alone"
    assert len(model.fit(X, Y, epochs=1)) == 1


def test_params_of_a_float64_model_for_a_float32_one() -> None:
    tree = make(PLAIN).params
    model = make(PLAIN, dtype="float32", params=tree)
    for name, leaf in leaves(model.params).items():
        np.testing.assert_array_equal(leaf, leaves(tree)[name].astype("float32"))
    assert assign(model, tree).predict(X).dtype == "float32"


# --- predictions and evaluation


def test_a_prediction_is_the_network_without_noise_and_with_its_running_statistics() -> None:
    model = make()
    model.fit(X, Y, epochs=3)
    np.testing.assert_array_equal(model.predict(X), NET.forward(model.params, X)[0])
    assert_close(np.concatenate([model.predict(X[i : i + 1]) for i in range(ROWS)]), model.predict(X), roundings=10)


def test_a_prediction_is_its_users_own() -> None:
    model = make(PLAIN)
    first = model.predict(X)
    kept = first.copy()
    first[...] = 0
    np.testing.assert_array_equal(model.predict(X), kept)


def test_evaluation_is_the_mean_over_rows_and_the_metrics_on_the_prediction() -> None:
    model = classifier(metrics=["accuracy", "balanced_accuracy"])
    model.fit(X, LABELS, epochs=5)
    weights = 0.5 + Stream(1).uniform((ROWS,))
    for given in (None, weights):
        own = np.ones(ROWS) if given is None else weights
        probability = model.predict(X)
        np.testing.assert_allclose(probability.sum(axis=1), 1)
        found = model.evaluate(X, LABELS, sample_weight=given)
        losses = -np.log(probability[np.arange(ROWS), LABELS])
        assert found["loss"] == pytest.approx(own @ losses / own.sum(), rel=1e-12)
        assert found["accuracy"] == pytest.approx(own @ (probability.argmax(axis=1) == LABELS) / own.sum(), rel=1e-12)
        assert list(found) == ["loss", "accuracy", "balanced_accuracy"]
        assert all(type(value) is float for value in found.values())


@pytest.mark.parametrize("name", ["net", "loss", "optimizer", "backend", "dtype", "precision", "seed", "rules"])
def test_what_a_model_is_made_of_cannot_be_set_afterwards(name: str) -> None:
    """The compiled step would not know of it."""
    model = make()
    with pytest.raises(AttributeError, match=f"Model.{name} cannot be set, as the training step"):
        setattr(model, name, getattr(model, name))
    model.note = "a user's own"  # type: ignore[attr-defined]


def test_evaluation_of_more_rows_than_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make(metrics=["r2"])
    whole, prediction = model.evaluate(X, Y), model.predict(X)
    monkeypatch.setattr("mlpcore.training.scores.BLOCK_ROWS", 5)
    assert model.evaluate(X, Y) == pytest.approx(whole, rel=1e-12)
    assert_close(model.predict(X), prediction, roundings=10)


def test_asking_a_model_changes_nothing_in_it() -> None:
    model = make(ema=0.5, metrics=["r2"])
    model.fit(X, Y, epochs=1)
    before = state_of(model)
    model.predict(X)
    model.evaluate(X, Y)
    assert (
        "Linear(3, 5, bias=False)" in model.summary()
        and repr(model) == f"Model({NET!r}, HalfSquaredError(), backend='numpy')"
    )
    assert model.learning_rate == 0.01 and model.rate_scale == 1
    assert model.specification.seed == 0
    assert_same(state_of(model), before)


# --- rates


def test_the_learning_rate_is_that_of_the_next_step() -> None:
    model = make(PLAIN, optimizer=mc.SGD(mc.StepDecay(0.5, 2, 0.5)))
    assert model.learning_rate == 0.5
    model.fit(X, Y, epochs=1, batch_size=8)  # three steps
    assert model.learning_rate == pytest.approx(0.25)
    model.rate_scale = 0.1
    assert model.learning_rate == pytest.approx(0.025) and model.rate_scale == pytest.approx(0.1)


def test_a_scaled_rate_is_the_rate_of_another_optimizer() -> None:
    one, other = make(PLAIN, optimizer=mc.SGD(0.25)), make(PLAIN, optimizer=mc.SGD(0.0625))
    one.rate_scale = 0.25
    one.fit(X, Y, epochs=2)
    other.fit(X, Y, epochs=2)
    np.testing.assert_array_equal(one.predict(X), other.predict(X))


# --- copies on the same backend


def test_a_copy_goes_on_like_the_model_and_shares_nothing_with_it() -> None:
    def first_column(target: Any, prediction: Any) -> float:
        return float(np.mean(prediction[:, 0]))

    model = make(ema=0.5, metrics=["r2", first_column])
    model.fit(X, Y, epochs=1, batch_size=5)
    copy = model.to("numpy")
    before = state_of(model)
    assert_same(state_of(copy), before)
    assert copy.evaluate(X, Y) == model.evaluate(X, Y)
    copy.fit(X, Y, epochs=2, batch_size=5)
    assert_same(state_of(model), before)
    model.fit(X, Y, epochs=2, batch_size=5)
    assert_same(state_of(copy), state_of(model))


class Passed:
    """Passes on all that another object has."""

    def __init__(self, other: Any) -> None:
        self.other = other

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "other":
            raise AttributeError(name)
        return getattr(self.other, name)


def test_objects_that_pass_on_their_methods_are_layers_losses_and_optimizers() -> None:
    net = mc.Sequential(Passed(PLAIN.layers[0]), mc.Residual(Passed(mc.Tanh())), *PLAIN.layers[2:])
    model, other = make(net, Passed(mc.SquaredError()), Passed(mc.Adam(0.01))), make(PLAIN, mc.SquaredError())
    model.fit(X, Y, epochs=1)
    other.fit(X, Y, epochs=1)
    assert model.predict(X).shape == other.predict(X).shape
    assert max(mc.check_gradients(Passed(mc.SquaredError())).values()) < 1e-6
    for value in (Passed(mc.Adam(0.01)), mc.SquaredError, None):
        with pytest.raises(mc.ConfigurationError, match=r"Model: loss is .*, expected a loss like"):
            make(PLAIN, value or Passed(None))
