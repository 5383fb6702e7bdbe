"""LearningCurve: plots the epochs of a fitted estimator, with the interface of scikit-learn's Display objects."""

from typing import Any

from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from mlpcore.plotting import plot_history
from mlpcore.training.history import History


class LearningCurve:
    """The training loss of every epoch, and the validation loss and score if there are any.

    Create one with `from_estimator`. After `plot`, ``ax_`` is the axes of the losses, ``axes_`` all of them (the score
    has its own), ``figure_`` the figure and ``lines_`` the curves by their labels.
    """

    def __init__(self, history: History, *, estimator_name: str | None = None) -> None:
        self.history, self.estimator_name = history, estimator_name

    @classmethod
    def from_estimator(cls, estimator: Any, *, name: str | None = None, ax: Any = None) -> "LearningCurve":
        """Draw the curves of a fitted `MLPClassifier` or `MLPRegressor`, mlpcore's or scikit-learn's.

        ``ax`` is an axes for the losses, whose right side shows the score, or a pair of axes; None makes a figure with
        a panel for each. ``name`` is the title, by default the estimator's class. A ValueError for lbfgs, which has no
        epochs.
        """
        check_is_fitted(estimator)
        display = cls(_history(estimator), estimator_name=name or type(estimator).__name__)
        return display.plot(ax)

    def plot(self, ax: Any = None, *, name: str | None = None) -> "LearningCurve":
        """Draw the curves again, see `from_estimator`."""
        self.axes_ = plot_history(self.history, ax)
        self.ax_ = self.axes_[0]
        self.figure_ = self.ax_.figure
        self.lines_ = {line.get_label(): line for axes in self.axes_ for line in axes.lines}
        self.ax_.set_title(name or self.estimator_name or "", parse_math=False)
        return self


def _history(estimator: Any) -> History:
    """The epochs as a History; validation columns belong to the last epochs."""
    if "estimators_" in vars(estimator):
        raise ValueError(
            f"{type(estimator).__name__} is an ensemble, expected one network: one of estimators_, each with its curve"
        )
    losses = list(getattr(estimator, "loss_curve_", None) or [])
    if not losses:
        raise ValueError(
            f"{type(estimator).__name__} has no loss_curve_, expected a fit by epochs; solver='lbfgs' has none"
        )
    columns = {
        "val_loss": getattr(estimator, "validation_loss_curve_", None),
        _score_name(estimator): getattr(estimator, "validation_scores_", None),
    }
    rows = [{"loss": loss} for loss in losses]
    for name, values in columns.items():
        for row, value in zip(reversed(rows), reversed(values or []), strict=False):
            row[name] = value
    return History(rows)


def _score_name(estimator: Any) -> str:
    """The column name of the validation score."""
    scoring = getattr(estimator, "scoring", None)
    if scoring is None:
        return "val_accuracy" if is_classifier(estimator) else "val_r2"
    return f"val_{scoring}" if isinstance(scoring, str) and scoring != "loss" else "val_score"
