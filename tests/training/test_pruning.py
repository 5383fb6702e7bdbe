"""OptunaPruning with Optuna's own samplers and pruners: what a trial is told, and how a pruned fit ends."""

import copy
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fitting import LABELS, X, Y, assert_same, classifier, make, state_of
from optional import optional

import mlpcore as mc

optuna = optional("optuna")
HELD = (X[:9], Y[:9])


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)


class Threshold(optuna.pruners.BasePruner):
    """Prunes at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def prune(self, study: Any, trial: Any) -> bool:
        return bool(trial.last_step == self.step)


def new_trial(direction: str = "minimize", prune_at: int = 99) -> Any:
    return optuna.create_study(direction=direction, pruner=Threshold(prune_at)).ask()


def reported(trial: Any) -> dict[int, float]:
    """What the study knows of the trial."""
    values: dict[int, float] = trial.study.trials[trial.number].intermediate_values
    return values


class Ends:
    """Counts the ends of fits."""

    count = 0

    def on_fit_end(self, model: Any) -> None:
        self.count += 1


def test_a_trial_is_told_the_value_of_every_epoch() -> None:
    trial, model = new_trial(), make()
    callback = mc.OptunaPruning(trial)
    history = model.fit(X, Y, epochs=3, validation_data=HELD, callbacks=[callback])
    assert reported(trial) == dict(enumerate(history.val_loss)) and not callback.pruned
    further = model.fit(X, Y, epochs=2, validation_data=HELD, callbacks=[callback])
    assert reported(trial) == dict(enumerate(history.val_loss + further.val_loss))
    accuracy = new_trial("maximize")
    words: dict[str, Any] = {"validation_data": (X, LABELS), "callbacks": [mc.OptunaPruning(accuracy, "val_accuracy")]}
    history = classifier(metrics=["accuracy"]).fit(X, LABELS, epochs=2, **words)
    assert reported(accuracy) == dict(enumerate(history["val_accuracy"]))


def test_a_pruned_fit_raises_at_the_end_of_its_epoch() -> None:
    trial, model, ends = new_trial(prune_at=1), make(), Ends()
    callback = mc.OptunaPruning(trial, "loss")
    with pytest.raises(optuna.TrialPruned, match="pruned in epoch 2: loss is "):
        model.fit(X, Y, epochs=5, callbacks=[callback, ends])
    assert callback.pruned and ends.count == 1
    other = make()
    other.fit(X, Y, epochs=2)
    assert_same(state_of(model), state_of(other))


def test_without_raises_it_stops_members_of_a_stack_alone() -> None:
    trials = [new_trial(prune_at=step) for step in (0, 2, 99)]
    stack = mc.Stack([make(seed=seed) for seed in range(3)])
    of_model = {
        id(model): mc.OptunaPruning(trial, "loss", raises=False) for model, trial in zip(stack, trials, strict=True)
    }
    histories = stack.fit(X, Y, epochs=4, callbacks=lambda model: [of_model[id(model)]])
    assert [len(history) for history in histories] == [1, 3, 4]
    assert [callback.pruned for callback in of_model.values()] == [True, True, False]
    assert histories[0].stopped == f"pruned in epoch 1: loss is {histories[0].loss[0]:.6g}"
    assert [reported(trial) for trial in trials] == [dict(enumerate(history.loss)) for history in histories]


def test_a_study_with_a_seed_prunes_the_same_trials_each_time() -> None:
    """A TPESampler and a MedianPruner."""

    def objective(trial: Any) -> float:
        optimizer = mc.Adam(trial.suggest_float("rate", 1e-6, 0.1, log=True))
        model = make(optimizer=optimizer)
        history = model.fit(X, Y, epochs=6, validation_data=HELD, callbacks=[mc.OptunaPruning(trial)])
        return float(history.val_loss[-1])

    studies = []
    for _ in range(2):
        pruner = optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=1)
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0), pruner=pruner)
        study.optimize(objective, n_trials=12)
        studies.append(study)
    seen = [[(trial.state, trial.params, trial.intermediate_values) for trial in study.trials] for study in studies]
    assert seen[0] == seen[1]
    steps = [
        len(trial.intermediate_values) for trial in studies[0].trials if trial.state == optuna.trial.TrialState.PRUNED
    ]
    assert 0 < len(steps) < 9 and min(steps) >= 2, "none in the warmup"


def test_a_resumed_fit_goes_on_at_its_step(tmp_path: Any) -> None:
    path, whole = tmp_path / "run", make().fit(X, Y, epochs=5)
    make().fit(X, Y, epochs=2, checkpoint=path)
    trial = new_trial()
    make().fit(X, Y, epochs=5, resume=path, callbacks=[mc.OptunaPruning(trial, "loss")])
    assert reported(trial) == {step: whole.loss[step] for step in (2, 3, 4)}


def test_values_that_are_not_finite_are_reported_as_they_are() -> None:
    class Undefined:
        def on_epoch_end(self, report: mc.Report) -> None:
            report.values["loss"] = float("nan")

    trial = new_trial()
    make().fit(X, Y, epochs=1, callbacks=[Undefined(), mc.OptunaPruning(trial, "loss")])
    assert np.isnan(reported(trial)[0])


def test_estimators() -> None:
    optional("sklearn")
    from sklearn.base import clone
    from sklearn.datasets import load_iris

    from mlpcore.sklearn import MLPClassifier

    x, y = load_iris(return_X_y=True)
    trial = new_trial("maximize", prune_at=2)
    callback = mc.OptunaPruning(trial, "val_score")
    net = MLPClassifier(4, early_stopping=True, random_state=0, callbacks=[callback])
    with pytest.raises(optuna.TrialPruned):
        net.fit(x, y)
    assert list(reported(trial)) == [0, 1, 2] and not hasattr(net, "coefs_")
    assert clone(net).callbacks[0] is callback, "it reports to the same study"
    steps = new_trial(prune_at=3)
    net = MLPClassifier(4, random_state=0, callbacks=[mc.OptunaPruning(steps, "loss")])
    for _ in range(3):
        net.partial_fit(x, y, classes=[0, 1, 2])
    with pytest.raises(optuna.TrialPruned), warnings.catch_warnings():
        net.partial_fit(x, y)
    assert list(reported(steps)) == [0, 1, 2, 3]


# --- what is refused


def test_what_cannot_be_right_is_refused() -> None:
    two = optuna.create_study(directions=["minimize", "maximize"]).ask()
    for trial, words, said in (
        (two, {}, "the study has 2 objectives"),
        (new_trial("maximize"), {}, 'val_loss has mode "min", but the study maximizes; set mode="max"'),
        (new_trial(), {"monitor": "val_accuracy"}, r'or optuna.create_study\(direction="maximize"\)'),
        (new_trial(), {"mode": "least"}, "OptunaPruning: mode is 'least'"),
    ):
        with pytest.raises(mc.ConfigurationError, match=said):
            mc.OptunaPruning(trial, **words)
    mc.OptunaPruning(new_trial(), "val_deviation", mode="min")
    mc.OptunaPruning(optuna.trial.FixedTrial({}), "val_accuracy")
    model = make()
    with pytest.raises(mc.ConfigurationError, match=r"monitor is 'val_loss', expected one of loss, .*validation_data"):
        model.fit(X, Y, callbacks=[mc.OptunaPruning(new_trial())])
    assert model.trainer.progress.epoch == 0, "before it trains"


def test_a_second_fit_for_one_trial_is_refused() -> None:
    callback = mc.OptunaPruning(new_trial(), "loss")
    make().fit(X, Y, epochs=2, callbacks=[callback])
    with pytest.raises(mc.ConfigurationError, match="epoch 1 was reported before, by another fit"):
        make().fit(X, Y, epochs=2, callbacks=[copy.deepcopy(callback)])
    shared = mc.OptunaPruning(new_trial(), "loss")
    with pytest.raises(mc.ConfigurationError, match="epoch 1 was reported before"):
        mc.Stack([make(seed=seed) for seed in range(2)]).fit(X, Y, callbacks=[shared])


def test_without_optuna_an_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = new_trial()
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(mc.MissingDependency, match=r"OptunaPruning .* pip install 'mlpcore\[optuna\]'"):
        mc.OptunaPruning(trial)
