"""``on_nonfinite`` of the estimators: batches left out, epochs trained again, and what is told of it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from optional import optional

sklearn = optional("sklearn")

from sklearn.base import clone  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402

import mlpcore as mc  # noqa: E402
from mlpcore.sklearn import MLPClassifier, MLPRegressor, StackedSearchCV  # noqa: E402

RNG = np.random.default_rng(0)
ROWS, BATCH = 22, 5  # four whole batches, and one of two rows
X = RNG.normal(size=(ROWS, 3))
Y = X[:, 0] - 0.5 * X[:, 1]
LABELS = np.argmax(X, axis=1)
NAMES = {"skip": "skipped", "restore": "restored"}
TOLD = "ignore:fit. .* batches were skipped", "ignore:fit. the loss"

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")


def estimator(kind: str = "regressor", **words: Any) -> Any:
    common = {"hidden_layer_sizes": 6, "random_state": 0, "max_iter": 4, "batch_size": BATCH, "shuffle": False}
    classes = {"regressor": MLPRegressor, "classifier": MLPClassifier}
    return classes[kind](**(common | {"learning_rate_init": 0.01} | words))


def target(kind: str) -> np.ndarray:
    return {"regressor": Y, "classifier": LABELS}[kind]


def flat(one: Any) -> np.ndarray:
    return np.concatenate([part.reshape(-1) for part in (*one.coefs_, *one.intercepts_)])


def with_rows(*rows: int) -> np.ndarray:
    """These rows are finite, but no step with one of them is: `HUGE` sees to it for every network and loss."""
    x = X.copy()
    x[list(rows), 1] = 1e300
    return x


def without(*rows: int) -> np.ndarray:
    """Weights of 0 for the batches of these rows."""
    return np.where(np.isin(np.arange(ROWS) // BATCH, [row // BATCH for row in rows]), 0.0, 1.0)


class Spoil:
    """Steps meet NaN in place of ``values(x)``, while ``bad`` says so of the model."""

    def __init__(self, bad: Callable[[mc.Model], bool], values: Callable[[Any], Any] = np.isfinite) -> None:
        self.bad, self.values = bad, values

    def on_fit_begin(self, model: mc.Model, epochs: int) -> None:
        run = model.trainer.run

        def spoiling(state: Any, data: Any, order: Any, draw: Any) -> Any:
            if self.bad(model):
                data = data._replace(x=np.where(self.values(data.x), np.nan, data.x))
            return run(state, data, order, draw)

        model.trainer.run = spoiling


HUGE = Spoil(lambda model: True, lambda x: np.abs(x) > 1e200)


class SecondEpoch(Spoil):
    """The second epoch fails so many times."""

    def __init__(self, times: int) -> None:
        super().__init__(self.fails)
        self.times = times

    def on_fit_begin(self, model: mc.Model, epochs: int) -> None:
        self.left = self.times
        super().on_fit_begin(model, epochs)

    def fails(self, model: mc.Model) -> bool:
        now = model.trainer.progress.epoch == 1 and self.left > 0
        self.left -= now
        return now


class Start:
    """Keeps a model that begins as the one that is trained."""

    def on_fit_begin(self, model: mc.Model, epochs: int) -> None:
        rules = model.trainer.rules._asdict()
        self.model = mc.Model(model.net, model.loss, model.optimizer, dtype=model.dtype, seed=model.seed, **rules)
        self.model.restore(model.snapshot())


@pytest.mark.parametrize("kind", ["regressor", "classifier"])
@pytest.mark.parametrize("choice", NAMES)
@pytest.mark.filterwarnings(*TOLD)
def test_an_estimator_recovers_as_the_model_does(choice: str, kind: str) -> None:
    start = Start()
    skips = choice == "skip"
    x, spoil = (with_rows(7, 21), [HUGE]) if skips else (X, [SecondEpoch(2)])
    one = estimator(kind, on_nonfinite=choice, callbacks=[start, *spoil]).fit(x, target(kind))
    y = LABELS if kind == "classifier" else Y[:, None]
    words = {"epochs": 4, "batch_size": BATCH, "shuffle": False, "on_nonfinite": choice}
    history = start.model.fit(x, y, callbacks=spoil, **words)
    counted = {name: getattr(one, f"{name}_curve_") for name in NAMES.values()}
    assert counted.pop(NAMES[choice]) == history[NAMES[choice]] == ([2, 2, 2, 2] if skips else [0, 2, 0, 0])
    assert [*counted.values()] == [None]
    np.testing.assert_allclose(one.loss_curve_, history.loss, rtol=1e-12)
    np.testing.assert_array_equal(one.to_model().predict(X), start.model.predict(X))


@pytest.mark.parametrize("words", [{}, {"solver": "sgd", "learning_rate": "invscaling"}, {"early_stopping": True}])
@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.filterwarnings(*TOLD)
def test_an_epoch_again_has_the_same_order_and_the_smaller_rate(times: int, words: dict[str, Any]) -> None:
    class Halve:
        def on_epoch_end(self, report: mc.Report) -> None:
            report.model.rate_scale *= 0.5 ** (times * (report.epoch == 1))

    words = words | {"shuffle": True, "random_state": 3, "validation_fraction": 0.2}
    one = estimator(on_nonfinite="restore", callbacks=[SecondEpoch(times)], **words).fit(X, Y)
    other = estimator(callbacks=[Halve()], **words).fit(X, Y)
    assert one.restored_curve_ == [0, times, 0, 0] and other.restored_curve_ is None
    np.testing.assert_array_equal(flat(one), flat(other))
    assert one.loss_curve_ == other.loss_curve_ and one.validation_scores_ == other.validation_scores_


@pytest.mark.parametrize("kind", ["regressor", "classifier"])
@pytest.mark.parametrize("words", [{}, {"dropout": 0.3, "clip_norm": 0.5}, {"solver": "sgd"}])
def test_a_skipped_batch_is_one_whose_rows_weigh_nothing(kind: str, words: dict[str, Any]) -> None:
    with pytest.warns(mc.MlpcoreWarning, match=r"^fit: 8 of 20 batches.*; skipped_curve_ says in which") as caught:
        one = estimator(kind, on_nonfinite="skip", callbacks=[HUGE], **words).fit(with_rows(0, 13), target(kind))
    assert [warning.filename for warning in caught if warning.category is mc.MlpcoreWarning] == [__file__]
    other = estimator(kind, **words).fit(X, target(kind), sample_weight=without(0, 13))
    np.testing.assert_array_equal(flat(one), flat(other))
    assert one.loss_curve_ == other.loss_curve_ and one.skipped_curve_ == [2] * 4


@pytest.mark.filterwarnings(*TOLD)
def test_partial_fits_and_warm_starts_go_on_counting() -> None:
    one, whole = estimator(on_nonfinite="skip", max_iter=1), estimator(on_nonfinite="skip", max_iter=3)
    for x in (with_rows(1), with_rows(1), with_rows(1)):
        one.partial_fit(x, Y)
    np.testing.assert_array_equal(flat(one), flat(whole.fit(with_rows(1), Y)))
    assert one.skipped_curve_ == whole.skipped_curve_ == [1, 1, 1]
    warm = estimator(on_nonfinite="restore", warm_start=True, max_iter=2, callbacks=[SecondEpoch(1)]).fit(X, Y)
    warm.set_params(callbacks=()).fit(X, Y)
    assert warm.restored_curve_ == [0, 1, 0, 0]
    straight = estimator(on_nonfinite="restore", callbacks=[SecondEpoch(1)]).fit(X, Y)
    np.testing.assert_array_equal(flat(warm), flat(straight))


@pytest.mark.parametrize("choice", NAMES)
@pytest.mark.filterwarnings(*TOLD)
def test_members_of_an_ensemble_recover_as_alone(choice: str) -> None:
    x, spoil = (with_rows(7), [HUGE]) if choice == "skip" else (X, [SecondEpoch(1)])
    words: dict[str, Any] = {"on_nonfinite": choice, "callbacks": spoil, "shuffle": True}
    ensemble = estimator(n_members=3, **words).fit(x, Y)
    for member in ensemble.estimators_:
        alone = estimator(**words | {"random_state": member.random_state}).fit(x, Y)
        np.testing.assert_array_equal(flat(member), flat(alone))
        name = f"{NAMES[choice]}_curve_"
        assert getattr(member, name) == getattr(alone, name) and sum(getattr(member, name)) > 0


@pytest.mark.parametrize(
    ("choice", "said"),
    [("raise", "^Solver produced non-finite"), ("skip", "all 5 batches were skipped"), ("restore", "back .* 5 times")],
)
def test_what_does_not_help_is_an_error_that_changes_nothing(choice: str, said: str) -> None:
    one = estimator(on_nonfinite=choice, warm_start=True).fit(X, Y)
    before, curve = flat(one), list(one.loss_curve_)
    one.callbacks = [Spoil(lambda model: True)]
    with pytest.raises(ValueError, match=said) as caught:
        one.fit(X, Y)
    assert isinstance(caught.value.__cause__, mc.NonFiniteError)
    np.testing.assert_array_equal(flat(one), before)
    assert one.loss_curve_ == curve


@pytest.mark.parametrize("choice", NAMES)
@pytest.mark.filterwarnings(*TOLD)
def test_early_stopping_keeps_its_best_weights_where_nothing_helps(choice: str) -> None:
    spoil = Spoil(lambda model: model.trainer.progress.epoch == 2)
    words: dict[str, Any] = {"early_stopping": True, "validation_fraction": 0.2}
    with pytest.warns(ConvergenceWarning, match="^Training diverged, and the best weights are kept"):
        one = estimator(on_nonfinite=choice, callbacks=[spoil], **words).fit(X, Y)
    assert one.n_iter_ == 3 and np.isnan(one.loss_curve_[-1])
    np.testing.assert_array_equal(flat(one), flat(estimator(**words, max_iter=2).fit(X, Y)))


@pytest.mark.parametrize("choice", NAMES)
@pytest.mark.filterwarnings("ignore:lbfgs failed")
def test_where_all_is_finite_nothing_differs(choice: str) -> None:
    one, other = estimator(on_nonfinite=choice, compat="sklearn").fit(X, Y), estimator(compat="sklearn").fit(X, Y)
    np.testing.assert_array_equal(flat(one), flat(other))
    assert getattr(one, f"{NAMES[choice]}_curve_") == [0] * 4 and one.loss_curve_ == other.loss_curve_
    one.set_params(solver="lbfgs", on_nonfinite="raise").fit(X, Y)
    assert not hasattr(one, "skipped_curve_") and not hasattr(one, "restored_curve_")


def test_the_argument_is_one_of_the_estimator() -> None:
    one = estimator(on_nonfinite="skip")
    assert one.get_params()["on_nonfinite"] == clone(one).on_nonfinite == "skip"
    with pytest.raises(ValueError, match=r"'on_nonfinite' parameter of MLPRegressor must be a str among .*'ignore'"):
        estimator(on_nonfinite="ignore").fit(X, Y)
    with pytest.raises(ValueError, match="on_nonfinite='skip' cannot be used with solver='lbfgs', expected its"):
        estimator(on_nonfinite="skip", solver="lbfgs").fit(X, Y)
    state = estimator().fit(X, Y).__getstate__()
    del state["on_nonfinite"]  # as pickles of earlier versions
    old = MLPRegressor()
    old.__setstate__(state)
    assert old.on_nonfinite == "raise" and old.partial_fit(X, Y).skipped_curve_ is None
    with pytest.warns(mc.MlpcoreWarning, match="scikit-learn has no on_nonfinite='skip'"):
        one.fit(X, Y).to_sklearn()


@pytest.mark.filterwarnings(*TOLD, "ignore::sklearn.exceptions.FitFailedWarning", "ignore:One or more", "ignore:divide")
def test_a_search_chooses_among_them() -> None:
    """With "raise" the fits on the bad row fail, and their score is NaN; with "skip" all are finite."""
    search = StackedSearchCV(estimator(), {"on_nonfinite": ["raise", "skip"]}, cv=2, scoring=scored)
    search.fit(with_rows(7), Y)
    assert np.isnan(search.cv_results_["mean_test_score"]).tolist() == [True, False]
    assert search.best_params_ == {"on_nonfinite": "skip"} and search.best_estimator_.skipped_curve_ == [1] * 4


def scored(fitted: Any, x: np.ndarray, y: np.ndarray) -> float:
    good = np.abs(x).max(axis=1) < 1e3
    return float(fitted.score(x[good], y[good]))
