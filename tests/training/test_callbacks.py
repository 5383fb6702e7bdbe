"""Callbacks: when they are called and with what, early stopping and plateaus, and those that raise."""

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest
from devices import gpu
from fitting import EAGER, PLAIN, X, Y, assert_same, differ, make, state_of, untimed

import mlpcore as mc
from mlpcore.training.monitor import direction
from mlpcore.trees import named_leaves

HELD = (X[:9], Y[:9])


class Noting:
    """Writes down every call."""

    def __init__(self, name: str, notes: list) -> None:
        self.name, self.notes = name, notes

    def on_fit_begin(self, model: Any, epochs: int) -> None:
        self.notes.append((self.name, "begin", model, epochs))

    def on_epoch_end(self, report: mc.Report) -> None:
        self.notes.append((self.name, "epoch", report.model, report.epoch))

    def on_fit_end(self, model: Any) -> None:
        self.notes.append((self.name, "end", model, None))


class Scripted:
    """Makes the validation loss whatever the test needs: early stopping and plateaus look at a script."""

    def __init__(self, values: list[float], name: str = "val_loss") -> None:
        self.values, self.name = values, name

    def on_epoch_end(self, report: mc.Report) -> None:
        report.values[self.name] = self.values[report.epoch - 1]


class Raising:
    def __init__(self, event: str, error: BaseException, epoch: int = 1) -> None:
        def raise_it(*args: Any) -> None:
            if event != "on_epoch_end" or args[0].epoch == epoch:
                raise error

        setattr(self, event, raise_it)


class States:
    """A copy of the state and the prediction after every epoch."""

    def __init__(self) -> None:
        self.states: list[dict] = []
        self.predictions: list[np.ndarray] = []

    def on_epoch_end(self, report: mc.Report) -> None:
        self.states.append(state_of(report.model))
        self.predictions.append(report.model.predict(X))


# --- the calls


def test_every_callback_is_called_in_the_order_of_the_list() -> None:
    notes: list = []
    model = make()
    for _ in range(2):
        model.fit(X, Y, epochs=2, callbacks=[Noting("a", notes), Noting("b", notes)])
    events = [note[:2] for note in notes]
    once = [(name, event) for event in ("begin", "epoch", "epoch", "end") for name in ("a", "b")]
    assert events == 2 * once
    assert all(note[2] is model for note in notes)
    assert [note[3] for note in notes if note[:2] == ("a", "begin")] == [2, 2]
    assert [note[3] for note in notes if note[:2] == ("a", "epoch")] == [1, 2, 3, 4], "counted over all fits"


@pytest.mark.parametrize("kind", [tuple, list, iter])
def test_callbacks_come_in_any_iterable(kind: Any) -> None:
    notes: list = []
    make().fit(X, Y, epochs=3, callbacks=kind([Noting("a", notes)]))
    assert [note[1] for note in notes] == ["begin", "epoch", "epoch", "epoch", "end"]


def test_a_report_holds_model_epoch_and_the_row_of_the_history() -> None:
    reports: list[mc.Report] = []

    class Keep:
        def on_epoch_end(self, report: mc.Report) -> None:
            reports.append(report)

    model = make(metrics=["r2"], optimizer=mc.Adam(mc.StepDecay(0.1, 1, 0.5)))
    model.fit(X, Y, epochs=1)
    history = model.fit(X, Y, epochs=2, validation_data=HELD, callbacks=[Keep()])
    assert [(report.epoch, report.epochs) for report in reports] == [(2, 2), (3, 2)]
    assert [report.values for report in reports] == history.rows
    assert list(reports[0].values) == ["loss", "learning_rate", "rows_per_second", "val_loss", "val_r2"]
    assert all(report.model is model for report in reports)
    assert reports[-1].values["learning_rate"] == model.learning_rate


def test_a_callback_may_look_and_change_nothing() -> None:
    one, other = make(ema=0.9), make(ema=0.9)
    history = one.fit(X, Y, epochs=3, callbacks=[States(), Noting("a", [])])
    assert untimed(history) == untimed(other.fit(X, Y, epochs=3))
    assert_same(state_of(one), state_of(other))


def test_a_callback_may_stop_and_the_first_reason_counts() -> None:
    class StopAt:
        def __init__(self, epoch: int, reason: str) -> None:
            self.epoch, self.reason = epoch, reason

        def on_epoch_end(self, report: mc.Report) -> mc.Stop | None:
            return mc.Stop(self.reason) if report.epoch == self.epoch else None

    notes: list = []
    model, other = make(), make()
    callbacks = [StopAt(3, "enough"), StopAt(3, "also"), Noting("a", notes)]
    history = model.fit(X, Y, epochs=9, callbacks=callbacks)
    assert history.stopped == "enough" and len(history) == 3
    assert [note[1] for note in notes] == ["begin", *3 * ["epoch"], "end"], "the others see the last epoch too"
    other.fit(X, Y, epochs=3)
    assert_same(state_of(model), state_of(other))
    assert model.fit(X, Y, epochs=1).stopped is None


# --- callbacks that raise


@pytest.mark.parametrize("event", ["on_fit_begin", "on_epoch_end", "on_fit_end"])
def test_a_callback_that_raises_leaves_a_whole_model_and_the_others_their_end(event: str) -> None:
    notes: list = []
    model, other = make(), make()
    callbacks = [Noting("a", notes), Raising(event, RuntimeError("mine"), epoch=2), Noting("b", notes)]
    with pytest.raises(RuntimeError, match="mine"):
        model.fit(X, Y, epochs=3, callbacks=callbacks)
    ends = [note[0] for note in notes if note[1] == "end"]
    assert ends == (["a"] if event == "on_fit_begin" else ["a", "b"]), "the end only of what has begun"
    epochs = {"on_fit_begin": 0, "on_epoch_end": 2, "on_fit_end": 3}[event]
    if epochs:
        other.fit(X, Y, epochs=epochs)
    assert_same(state_of(model), state_of(other))
    assert len(model.fit(X, Y, epochs=1)) == 1


def test_a_callback_that_fails_at_the_beginning_of_another_needs_no_end() -> None:
    """EarlyStopping has nothing to put back before it has begun."""
    with pytest.raises(RuntimeError, match="mine"):
        make().fit(
            X, Y, validation_data=HELD, callbacks=[Raising("on_fit_begin", RuntimeError("mine")), mc.EarlyStopping()]
        )


def test_early_stopping_puts_the_best_weights_back_where_another_callback_raises() -> None:
    for event in ("on_epoch_end", "on_fit_end"):
        states, model = States(), make(PLAIN)
        scripted = Scripted([2.0, 1.0, 3.0, 3.0, 3.0])
        with pytest.raises(RuntimeError, match="mine"):
            model.fit(
                *(X, Y),
                epochs=4,
                validation_data=HELD,
                callbacks=[scripted, states, Raising(event, RuntimeError("mine"), epoch=4), mc.EarlyStopping()],
            )
        np.testing.assert_array_equal(model.predict(X), states.predictions[1])


# --- early stopping


def stop(values: list[float], monitor: str = "val_loss", ema: float | None = None, **words: Any) -> tuple:
    """A fit whose monitored column is a script; the model, its history, the rule, and the states by epoch."""
    states, rule, model = States(), mc.EarlyStopping(monitor, **words), make(PLAIN, metrics=["r2"], ema=ema)
    history = model.fit(
        *(X, Y),
        epochs=len(values),
        batch_size=5,
        validation_data=HELD,
        callbacks=[Scripted(values, monitor), states, rule],
    )
    return model, history, rule, states


FALLING = [5.0, 4.0, 3.0, 2.0, 1.0]
SCRIPTS: dict[str, tuple[list[float], dict[str, Any], int, int]] = {  # values, words, epochs run, best epoch
    "always better": (FALLING, {"patience": 1}, 5, 5),
    "patience of one": ([3.0, 2.0, 2.5, 1.0, 0.5], {"patience": 1}, 3, 2),
    "patience of two": ([3.0, 2.0, 2.5, 1.0, 1.5, 1.5, 0.1], {"patience": 2}, 6, 4),
    "equal is not better": ([2.0, 2.0, 2.0, 1.0], {"patience": 2}, 3, 1),
    "better by less than min_delta": ([2.0, 1.9, 1.8, 1.0], {"patience": 2, "min_delta": 0.3}, 3, 1),
    "better than the best by min_delta": ([2.0, 1.9, 1.6, 1.5, 1.4, 0.1], {"patience": 2, "min_delta": 0.3}, 5, 3),
    "the largest": ([1.0, 2.0, 1.5, 1.5, 9.0], {"patience": 2, "mode": "max"}, 4, 2),
    "the smallest by name": ([1.0, 2.0, 1.5, 0.5], {"patience": 2, "mode": "min", "monitor": "val_r2"}, 3, 1),
    "r2 should be large": ([0.1, 0.2, 0.15, 0.15, 0.9], {"patience": 2, "monitor": "val_r2"}, 4, 2),
    "not a number is not better": ([math.nan, 1.0, math.nan, math.nan, 0.5], {"patience": 2}, 4, 2),
    "infinite at first": ([math.inf, 1.0, 2.0, 2.0, 0.5], {"patience": 2}, 4, 2),
}


@pytest.mark.parametrize("case", SCRIPTS)
def test_early_stopping_ends_and_puts_the_best_epoch_back(case: str) -> None:
    values, words, epochs, best = SCRIPTS[case]
    monitor = words.get("monitor", "val_loss")
    model, history, rule, states = stop(values, **words)
    assert len(history) == epochs and rule.best_epoch == best
    ended = epochs < len(values)
    assert history.stopped == (f"{monitor} was best in epoch {best} and not since" if ended else None)
    np.testing.assert_array_equal(model.predict(X), states.predictions[best - 1])
    assert_same(state_of(model), states.states[epochs - 1], but=("0", "1"))
    kept, *_ = stop(values, restore_best=False, **words)
    np.testing.assert_array_equal(kept.predict(X), states.predictions[epochs - 1])
    assert differ(state_of(kept), states.states[0])


def test_early_stopping_where_nothing_was_ever_a_number() -> None:
    model, history, rule, states = stop([math.nan] * 4, patience=3)
    assert len(history) == 3 and rule.best_epoch == 0 and history.stopped == "val_loss was never a finite number"
    np.testing.assert_array_equal(model.predict(X), states.predictions[-1])


@pytest.mark.parametrize("ema", [None, 0.9])
def test_the_best_weights_come_with_their_average_and_statistics(ema: float | None) -> None:
    """On a real validation loss, with BatchNorm: to the bit what the best epoch's model was."""
    model, states, rule = make(ema=ema, optimizer=mc.Adam(0.1)), States(), mc.EarlyStopping(patience=3)
    history = model.fit(X, Y, epochs=40, batch_size=5, validation_data=HELD, callbacks=[states, rule])
    best = int(np.argmin(history.val_loss))
    assert len(history) - 3 == best + 1 < 38 and rule.best_epoch == best + 1 and rule.best == history.val_loss[best]
    got, expected, last = state_of(model), states.states[best], states.states[-1]
    restored = {name for name in got if not np.array_equal(got[name], last[name])}
    assert restored and all(np.array_equal(got[name], expected[name]) for name in restored)
    np.testing.assert_array_equal(model.predict(X), states.predictions[best])
    assert model.evaluate(*HELD)["loss"] == history.val_loss[best]


def test_training_goes_on_from_the_best_weights_and_the_rule_begins_anew() -> None:
    model, states, rule = make(), States(), mc.EarlyStopping(patience=2)
    for values in ([2.0, 1.0, 3.0, 3.0], [0.0, 0.0, 0.0, 0.0, 50.0, 40.0, 60.0, 60.0]):
        history = model.fit(X, Y, epochs=4, validation_data=HELD, callbacks=[Scripted(values), states, rule])
        assert len(history) == 4
    assert rule.best_epoch == 6 and rule.best == 40.0
    np.testing.assert_array_equal(model.predict(X), states.predictions[5])


def test_one_rule_may_serve_several_models() -> None:
    rule = mc.EarlyStopping(patience=2)
    results = [stop([3.0, 1.0, 2.0, 2.0, 2.0], patience=2)[1].stopped]
    for _ in range(2):
        results.append(make(PLAIN).fit(X, Y, validation_data=HELD, callbacks=[Scripted([3, 1, 2, 2, 2]), rule]).stopped)
    assert len(set(results)) == 1


@pytest.mark.parametrize("make_rule", [lambda: mc.EarlyStopping("loss"), lambda: mc.ReduceOnPlateau("loss")])
def test_a_rule_in_two_fits_at_once_is_refused(make_rule: Any) -> None:
    """Each would take the other's epochs for its own. One after the other they may share it."""
    rule, other = make_rule(), make(PLAIN)

    class Inner:
        def on_epoch_end(self, report: mc.Report) -> None:
            other.fit(X, Y, epochs=2, callbacks=[rule])

    with pytest.raises(mc.ConfigurationError, match=f"^{type(rule).__name__} is at work in two fits at once, .* each"):
        make(PLAIN).fit(X, Y, epochs=2, callbacks=[Inner(), rule])
    assert len(make(PLAIN).fit(X, Y, epochs=2, callbacks=[rule])) == 2
    assert len(other.fit(X, Y, epochs=2, callbacks=[make_rule(), rule])) == 2


def test_a_rule_holds_no_model_after_a_fit() -> None:
    """It is copied and pickled with the estimators that it is an argument of."""
    for rule in (mc.EarlyStopping("loss", patience=1), mc.ReduceOnPlateau("loss")):
        make(PLAIN, optimizer=mc.SGD(0.5)).fit(X, Y, epochs=3, callbacks=[rule])
        assert vars(pickle.loads(pickle.dumps(rule))) == vars(copy.deepcopy(rule)) == vars(rule)
        assert not any(isinstance(value, (mc.Model, dict)) for value in vars(rule).values())


@pytest.mark.parametrize(
    ("monitor", "expected"),
    [
        *(("loss", "min"), ("val_loss", "min"), ("val_mean_squared_error", "min"), ("val_mean_absolute_error", "min")),
        *(("val_root_mean_squared_error", "min"), ("val_accuracy", "max"), ("val_balanced_accuracy", "max")),
        ("val_r2", "max"),
    ],
)
def test_the_direction_of_a_monitor(monitor: str, expected: str) -> None:
    assert direction(monitor, "auto") == expected
    assert direction(monitor, "min") == "min" and direction(monitor, "max") == "max"


# --- plateaus


def plateau(values: list[float], **words: Any) -> tuple[mc.Model, mc.History]:
    model = make(PLAIN, optimizer=mc.SGD(0.1))
    rule = mc.ReduceOnPlateau(**{"factor": 0.5, "patience": 2, **words})
    history = model.fit(X, Y, epochs=len(values), validation_data=HELD, callbacks=[Scripted(values), rule])
    return model, history


@pytest.mark.parametrize(
    ("values", "words", "scale"),
    [
        (FALLING, {}, 1.0),
        ([2.0, 2.0], {}, 1.0),
        ([2.0, 2.0, 2.0], {}, 0.5),
        ([2.0, 2.0, 2.0, 2.0], {}, 0.5),
        ([2.0, 2.0, 2.0, 2.0, 2.0], {}, 0.25),
        ([2.0, 2.0, 1.0, 1.0, 0.5], {}, 1.0),
        ([2.0, 1.9, 1.8], {"min_delta": 0.5}, 0.5),
        ([1.0, 2.0, 3.0], {"mode": "max"}, 1.0),
        ([1.0, 0.5, 0.5], {"mode": "max"}, 0.5),
        ([2.0] * 9, {"factor": 0.1, "min_scale": 0.05}, 0.05),
        ([math.nan] * 3, {}, 0.5),
    ],
)
def test_the_rate_falls_on_a_plateau(values: list[float], words: dict, scale: float) -> None:
    model, _ = plateau(values, **words)
    assert model.rate_scale == pytest.approx(scale, rel=1e-12)
    assert model.learning_rate == pytest.approx(0.1 * scale, rel=1e-12)


def test_the_lower_rate_is_the_one_that_is_used() -> None:
    """After a plateau in epoch 3, the fourth is trained like one of half the rate."""
    model, history = plateau([2.0, 2.0, 2.0, 1.0])
    first, second = make(PLAIN, optimizer=mc.SGD(0.1)), make(PLAIN, optimizer=mc.SGD(0.05))
    first.fit(X, Y, epochs=3)
    second.trainer.state, second.trainer.progress = first.trainer.state, first.trainer.progress
    second.fit(X, Y, epochs=1)
    np.testing.assert_allclose(model.predict(X), second.predict(X), rtol=1e-12)
    assert history.learning_rate == pytest.approx([0.1, 0.1, 0.1, 0.05]), "as it was when the epoch's row was made"


def test_a_scale_below_the_least_is_not_raised() -> None:
    model = make(PLAIN)
    model.rate_scale = 1e-9
    model.fit(X, Y, epochs=3, validation_data=HELD, callbacks=[Scripted([1.0] * 3), mc.ReduceOnPlateau(patience=1)])
    assert model.rate_scale == pytest.approx(1e-9)


def test_the_scale_stays_for_the_next_fit() -> None:
    model, _ = plateau([2.0, 2.0, 2.0])
    assert model.fit(X, Y, epochs=1).learning_rate == [pytest.approx(0.05)]


# --- what cannot work is said before anything happens


class Nothing:
    pass


WRONG: dict[str, tuple[Any, str]] = {
    "one that is no list": (mc.EarlyStopping("loss"), r"fit: callbacks is <.*EarlyStopping.*, expected a list such as"),
    "None": (None, "fit: callbacks is None, expected a list"),
    "a class": ([mc.EarlyStopping], r"fit: the callback <class '.*EarlyStopping'> is never called, expected an object"),
    "a function": ([print], "is never called, expected an object with a method on_fit_begin, on_epoch_end, on_fit_end"),
    "without a method": ([Nothing()], "is never called"),
    "no validation data": (
        [mc.EarlyStopping()],
        "^EarlyStopping: monitor is 'val_loss', expected one of loss, learning_rate, rows_per_second; pass .*val_",
    ),
    "no such metric": ([mc.ReduceOnPlateau("val_r2")], "^ReduceOnPlateau: monitor is 'val_r2'"),
    "no such column": ([mc.EarlyStopping("lost")], "^EarlyStopping: monitor is 'lost', expected .*rows"),
    "one twice": (2 * [mc.EarlyStopping("loss")], "fit: callbacks has the same EarlyStopping twice, which would count"),
}


@pytest.mark.parametrize("case", WRONG)
def test_callbacks_that_cannot_work_are_refused_first(case: str) -> None:
    callbacks, said = WRONG[case]
    model = make()
    before = state_of(model)
    with pytest.raises(mc.ConfigurationError, match=said):
        model.fit(X, Y, callbacks=callbacks)
    assert_same(state_of(model), before)


def test_a_metric_may_be_monitored() -> None:
    model = make(metrics=["r2"])
    assert len(model.fit(X, Y, epochs=2, validation_data=HELD, callbacks=[mc.EarlyStopping("val_r2")])) == 2
    with pytest.raises(mc.ConfigurationError, match=r"expected one of loss, .*, val_loss, val_r2$"):
        model.fit(X, Y, validation_data=HELD, callbacks=[mc.EarlyStopping("val_accuracy")])


@pytest.mark.parametrize(
    ("make_rule", "said"),
    [
        (lambda: mc.EarlyStopping(patience=0), "EarlyStopping: patience is 0, expected a whole number of 1 or more"),
        (lambda: mc.EarlyStopping(patience=True), "patience is True"),
        (lambda: mc.EarlyStopping(patience=2.0), "patience is 2.0"),
        (lambda: mc.EarlyStopping(min_delta=-1.0), "EarlyStopping: min_delta is -1.0, expected a finite number of at"),
        (lambda: mc.EarlyStopping(min_delta=math.nan), "min_delta is nan"),
        (lambda: mc.EarlyStopping(mode="best"), "mode is 'best', expected one of 'auto', 'min', 'max'"),
        (
            lambda: mc.ReduceOnPlateau(factor=1.0),
            "ReduceOnPlateau: factor is 1.0, expected a finite number above 0 and",
        ),
        (lambda: mc.ReduceOnPlateau(factor=0.0), "factor is 0.0"),
        (lambda: mc.ReduceOnPlateau(min_scale=0.0), "min_scale is 0.0"),
        (lambda: mc.ReduceOnPlateau(patience=-1), "patience is -1"),
        (lambda: mc.ReduceOnPlateau(mode=None), "mode is None"),
    ],
)
def test_rules_check_their_numbers(make_rule: Any, said: str) -> None:
    with pytest.raises(mc.ConfigurationError, match=said):
        make_rule()


def test_rules_take_numbers_of_numpy() -> None:
    assert mc.EarlyStopping(patience=np.int64(3), min_delta=np.float32(0.5)).patience == 3
    assert mc.ReduceOnPlateau(factor=np.float64(0.5)).factor == 0.5


# --- snapshots


@pytest.mark.parametrize("backend", ["numpy", EAGER])
def test_a_snapshot_may_be_put_back_again_and_again(backend: Any) -> None:
    """Also where a step writes into the vector it is given."""
    model = make(ema=0.9, backend=backend)
    model.fit(X, Y, epochs=1)
    snapshot, wanted = model.snapshot(), model.predict(X)
    kept = {name: leaf.copy() for name, leaf in named_leaves(snapshot)}
    for _ in range(3):
        model.fit(X, Y, epochs=1)
        assert np.any(model.predict(X) != wanted)
        model.restore(snapshot)
        np.testing.assert_array_equal(model.predict(X), wanted)
    model.fit(X, Y, epochs=1)
    for name, leaf in named_leaves(snapshot):
        np.testing.assert_array_equal(leaf, kept[name], err_msg=name)


@pytest.mark.parametrize(
    "backend", ["numpy", "array_api_strict", pytest.param("torch", marks=pytest.mark.oracle), gpu("cupy")]
)
def test_a_snapshot_goes_from_one_model_to_another_like_it(backend: str) -> None:
    """Of any backend: its arrays may be NumPy's too."""
    try:
        model = make(ema=0.9, backend=backend, dtype="float32")
    except mc.BackendUnavailable as error:
        pytest.skip(str(error))
    other = make(ema=0.9, seed=5)
    other.fit(X, Y, epochs=2)
    model.restore(other.snapshot())
    np.testing.assert_allclose(model.predict(X), other.predict(X), rtol=1e-4)
    for name, leaf in model.snapshot().items():
        np.testing.assert_array_equal(model.backend.to_numpy(leaf), other.snapshot()[name].astype("float32"))
    model.fit(X, Y, epochs=1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda kept: kept.pop("params.0.weight"),
            r"params\.0\.weight has shape None in the snapshot, expected \(3, 5",
        ),
        (lambda kept: kept.update(more=np.ones(2)), r"more has shape \(2,\) in the snapshot, expected None as"),
        (
            lambda kept: kept.update({"statistics.1.running_mean": np.ones(4)}),
            r"statistics\.1\.running_mean has shape \(4,\) in the snapshot, expected \(5,\)",
        ),
    ],
)
def test_a_snapshot_of_another_network_is_refused(change: Any, said: str) -> None:
    model = make(ema=0.9)
    snapshot, before = model.snapshot(), state_of(model)
    change(snapshot)
    with pytest.raises(mc.DataError, match=f"^restore: {said}"):
        model.restore(snapshot)
    with pytest.raises(mc.DataError, match=r"restore: average\.0\.weight has shape"):
        make().restore(model.snapshot())
    with pytest.raises(mc.DataError, match="restore: the snapshot is of type tuple, expected what snapshot"):
        model.restore(tuple(model.snapshot().values()))
    assert_same(state_of(model), before)
