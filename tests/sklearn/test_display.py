"""LearningCurve: the right curves at the right places, on our estimators and on scikit-learn's."""

from typing import Any

import numpy as np
import pytest
from optional import optional

sklearn = optional("sklearn")
matplotlib = optional("matplotlib")
matplotlib.use("Agg")

from matplotlib import pyplot as plt  # noqa: E402  # after the choice of Agg
from matplotlib.figure import Figure  # noqa: E402
from sklearn.exceptions import NotFittedError  # noqa: E402
from sklearn.neural_network import MLPClassifier as TheirClassifier  # noqa: E402

from mlpcore.sklearn import LearningCurve, MLPClassifier, MLPRegressor  # noqa: E402

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 3))
LABELS, Y = (X[:, 0] > 0).astype(int), X[:, 0]
WORDS: dict[str, Any] = {"hidden_layer_sizes": 5, "random_state": 0, "max_iter": 9}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(autouse=True)
def no_figures_left():
    yield
    plt.close("all")


def points(line: Any) -> tuple[list[float], list[float]]:
    return list(line.get_xdata()), list(line.get_ydata())


def test_losses_and_score_in_two_panels() -> None:
    model = MLPClassifier(**WORDS, early_stopping=True).fit(X, LABELS)
    shown = LearningCurve.from_estimator(model)
    middles, ends = [i + 0.5 for i in range(9)], list(range(1, 10))
    assert points(shown.lines_["training"]) == (middles, model.loss_curve_)
    assert points(shown.lines_["validation"]) == (ends, model.validation_loss_curve_)
    assert points(shown.lines_["validation accuracy"]) == (ends, model.validation_scores_)
    assert len(shown.axes_) == 2 and shown.ax_ is shown.axes_[0] and shown.figure_ is plt.gcf()
    assert shown.ax_.get_title() == "MLPClassifier" and shown.axes_[1].get_ylabel() == "accuracy (%)"
    again = shown.plot(name="a $5 title")
    assert again is shown and shown.ax_.get_title() == "a $5 title"
    shown.figure_.canvas.draw()


def test_axes_of_the_caller() -> None:
    model = MLPRegressor(**WORDS, early_stopping=True).fit(X, Y)
    ax = Figure().add_subplot()
    shown = LearningCurve.from_estimator(model, ax=ax, name="mine")
    assert shown.ax_ is ax and ax.get_title() == "mine" and "validation r2" in shown.lines_
    assert shown.axes_[1].get_position().bounds == ax.get_position().bounds
    assert plt.get_fignums() == []


def test_what_was_not_taken_is_not_drawn() -> None:
    assert set(LearningCurve.from_estimator(MLPRegressor(**WORDS).fit(X, Y)).lines_) == {"training"}
    held = MLPRegressor(**WORDS).fit(X, Y, validation_data=(X, Y))
    assert set(LearningCurve.from_estimator(held).lines_) == {"training", "validation"}
    named = MLPClassifier(**WORDS, early_stopping=True, scoring="balanced_accuracy").fit(X, LABELS)
    assert "validation balanced accuracy" in LearningCurve.from_estimator(named).lines_
    theirs = TheirClassifier(**WORDS, early_stopping=True).fit(X, LABELS)
    assert set(LearningCurve.from_estimator(theirs).lines_) == {"training", "validation accuracy"}


def test_validation_that_began_later_stands_beside_the_last_epochs() -> None:
    model = MLPRegressor(**WORDS, warm_start=True).fit(X, Y)
    model.fit(X, Y, validation_data=(X, Y))
    assert points(LearningCurve.from_estimator(model).lines_["validation"])[0] == list(range(10, 19))


def test_refusals() -> None:
    with pytest.raises(ValueError, match="has no loss_curve_"):
        LearningCurve.from_estimator(MLPRegressor(**WORDS, solver="lbfgs").fit(X, Y))
    with pytest.raises(NotFittedError):
        LearningCurve.from_estimator(MLPRegressor())
