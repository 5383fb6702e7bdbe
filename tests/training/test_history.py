"""What fit tells about training: validation, metrics, the history, and the average that speaks for the weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fitting import EVERYTHING, FIT, LABELS, X, Y, assert_same, classifier, make, state_of, untimed

import mlpcore as mc
from mlpcore.random import Stream
from mlpcore.trees import named_leaves


def largest_error(target: Any, prediction: Any) -> float:
    """A user's metric that gives a Python number."""
    return float(np.max(np.abs(np.asarray(target) - np.asarray(prediction))))


def weighted_bias(target: Any, prediction: Any, weights: Any) -> Any:
    return np.sum(weights[:, None] * (prediction - target)) / np.sum(weights)


def test_validation_is_evaluation_after_every_epoch() -> None:
    metrics = ["mean_squared_error", "r2", largest_error, weighted_bias]
    weights = 0.5 + Stream(1).uniform((9,))
    seen: list[dict] = []

    class Watch:
        def on_epoch_end(self, report: mc.Report) -> None:
            seen.append(report.model.evaluate(X[:9], Y[:9], sample_weight=weights))

    for data in ((X[:9], Y[:9], weights), [X[:9].tolist(), Y[:9].tolist(), weights.tolist()]):
        seen.clear()
        model = make(metrics=metrics, ema=0.8)
        history = model.fit(X, Y, epochs=3, validation_data=data, callbacks=[Watch()])
        for name in ("loss", "mean_squared_error", "r2", "largest_error", "weighted_bias"):
            assert history[f"val_{name}"] == [row[name] for row in seen]
        prediction = model.predict(X[:9])
        assert seen[-1]["loss"] == pytest.approx(
            0.5 * ((prediction - Y[:9]) ** 2).sum(axis=1) @ weights / weights.sum(), rel=1e-12
        )
        assert seen[-1]["largest_error"] == np.abs(prediction - Y[:9]).max()
        assert seen[-1]["weighted_bias"] == pytest.approx(
            ((prediction - Y[:9]).sum(axis=1) @ weights) / weights.sum(), rel=1e-12
        )


def test_without_weights_every_row_of_the_validation_data_counts_the_same() -> None:
    histories = [
        make().fit(X, Y, epochs=2, validation_data=data)
        for data in ((X[:9], Y[:9]), (X[:9], Y[:9], np.ones(9)), (X[:9], Y[:9], None))
    ]
    assert untimed(histories[0]) == untimed(histories[1]) == untimed(histories[2])


def test_validation_does_not_touch_training() -> None:
    one, other = make(**EVERYTHING, metrics=["r2"]), make(**EVERYTHING)
    one.fit(X, Y, epochs=3, **FIT)
    other.fit(X, Y, epochs=3, batch_size=5)
    assert_same(state_of(one), state_of(other))


@pytest.mark.parametrize(
    "backend", ["array_api_strict", *(pytest.param(n, marks=pytest.mark.oracle) for n in ("torch", "jax"))]
)
def test_a_metric_of_the_user_may_give_a_python_number_on_every_backend(backend: str) -> None:
    try:
        model = make(backend=backend, metrics=[largest_error])
    except mc.BackendUnavailable as error:
        pytest.skip(str(error))
    expected = make(metrics=[largest_error])
    assert model.evaluate(X, Y) == pytest.approx(expected.evaluate(X, Y), rel=1e-9)


def test_evaluation_knows_no_penalty_and_no_noise() -> None:
    one, other = make(l2=10.0), make()
    assert one.evaluate(X, Y) == other.evaluate(X, Y)
    assert one.fit(X, Y, epochs=1).loss[0] > other.fit(X, Y, epochs=1).loss[0]


def test_the_history_of_a_fit() -> None:
    optimizer = mc.SGD(mc.StepDecay(0.1, 1, 0.5))
    history = make(optimizer=optimizer, metrics=["r2"]).fit(X, Y, epochs=3, **FIT)
    assert history.columns == ("loss", "learning_rate", "rows_per_second", "val_loss", "val_r2")
    assert len(history) == 3 and history.stopped is None
    for name in ("loss", "learning_rate", "rows_per_second", "val_loss"):
        assert getattr(history, name) == history[name] and len(history[name]) == 3
        assert all(type(value) is float for value in history[name])
    # Five steps in an epoch: the rate of the next step.
    assert history.learning_rate == pytest.approx([0.1 * 0.5**5, 0.1 * 0.5**10, 0.1 * 0.5**15])
    assert all(0 < speed < 1e9 for speed in history.rows_per_second)
    assert repr(history).startswith("History(3 epochs; last: loss=") and f"val_r2={history['val_r2'][2]:.6g})" in repr(
        history
    )
    with pytest.raises(KeyError, match="'acc'; there are loss, learning_rate, rows_per_second, val_loss, val_r2"):
        history["acc"]


def test_a_history_without_validation_or_without_epochs() -> None:
    history = make().fit(X, Y, epochs=1)
    assert history.val_loss == [] and len(history.loss) == 1
    empty = mc.History()
    assert empty.loss == [] and len(empty) == 0 and repr(empty) == "History(0 epochs; last: empty)"


def test_the_loss_falls() -> None:
    history = classifier(metrics=["accuracy"], optimizer=mc.Adam(0.05)).fit(
        X, LABELS, epochs=60, validation_data=(X, LABELS)
    )
    assert history.loss[-1] < 0.2 * history.loss[0] and history["val_accuracy"][-1] == 1


# --- the average


def test_where_an_average_is_kept_it_is_what_speaks(tmp_path: Path) -> None:
    model = make(ema=0.9, optimizer=mc.SGD(0.1))
    history = model.fit(X, Y, epochs=3, batch_size=5, validation_data=(X, Y))
    state = model.trainer.state
    assert np.any(state.average != state.params)
    still = make(params=model.layout.view(state.average, state.statistics))
    moving = make(params=model.layout.view(state.params, state.statistics))
    np.testing.assert_array_equal(model.predict(X), still.predict(X))
    assert np.all(model.predict(X) != moving.predict(X))
    assert model.evaluate(X, Y) == still.evaluate(X, Y) == {"loss": history.val_loss[-1]}
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(mc.load(tmp_path / "model").predict(X), still.predict(X))
    for (name, leaf), (_, expected) in zip(named_leaves(model.params), named_leaves(still.params), strict=True):
        np.testing.assert_array_equal(leaf, expected, err_msg=name)


def test_training_does_not_see_the_average() -> None:
    """Except through it nobody looks: parameters and losses are those without one."""
    one, other = make(ema=0.9), make()
    assert one.fit(X, Y, epochs=3).loss == other.fit(X, Y, epochs=3).loss
    np.testing.assert_array_equal(one.trainer.state.params, other.trainer.state.params)
