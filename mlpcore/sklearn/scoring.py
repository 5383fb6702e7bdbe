"""What a scorer says of held-out rows, told the classes of the estimator where it would take them from those rows."""

import math
from collections.abc import Callable
from inspect import Parameter, signature
from numbers import Real
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, get_scorer, make_scorer, roc_auc_score

Scorer = Callable[..., Any]


def scorer_of(estimator: Any, y: Any, weights: np.ndarray | None) -> Scorer:
    """The estimator's ``scoring`` as a function ``(estimator, X, y)``, for rows with these labels or numbers.

    scikit-learn's scorers of probabilities take the columns for the classes that y has. Where it has not all, they are
    given the estimator's as ``labels``. Curves of one class against the rest, which have no such argument or no value
    for a class without a row, are averaged over the classes that y has, as the balanced accuracy is. Rows of weight 0
    do not count.
    """
    scorer = get_scorer(estimator.scoring) if isinstance(estimator.scoring, str) else estimator.scoring
    function, labels = getattr(scorer, "_score_func", None), getattr(estimator, "_labels", None)
    if function is None or labels is None or labels.kind == "multilabel-indicator":
        return scorer
    classes, words = labels.classes, dict(scorer._kwargs)
    present = np.unique(y if weights is None else y[weights > 0])
    if scorer._response_method == "predict" or present.size == classes.size:
        return scorer
    curves = function is average_precision_score or (function is roc_auc_score and words.get("multi_class") == "ovr")
    if curves and labels.kind == "multiclass":
        words.pop("multi_class", None)
        function = _Present(function, classes, present)
    elif "labels" in signature(function).parameters:
        words.setdefault("labels", classes)
    return make_scorer(function, response_method=scorer._response_method, greater_is_better=scorer._sign > 0, **words)


class _Present:
    """A score of one-hot rows and their probabilities, asked of the classes that are present."""

    def __init__(self, score: Callable, classes: np.ndarray, present: np.ndarray) -> None:
        self.score, self.columns, self.present = score, np.isin(classes, present), present

    def __call__(self, y: np.ndarray, probabilities: np.ndarray, sample_weight: Any = None, **words: Any) -> float:
        one_hot = (y[:, None] == self.present).astype(int)
        return self.score(one_hot, probabilities[:, self.columns], sample_weight=sample_weight, **words)


def score(scorer: Scorer, estimator: Any, X: Any, y: Any, weights: np.ndarray | None) -> float:
    """The score as a number, NaN for 0 / 0, by the weights of the rows where the scorer takes some."""
    extra = {} if weights is None or not _takes_weights(scorer) else {"sample_weight": weights}
    try:
        found = scorer(estimator, X, y, **extra)
    except ZeroDivisionError:
        return math.nan
    if not isinstance(found, Real) and np.ndim(found) != 0:
        raise ValueError(f"scoring={scorer!r} gave {found!r}, expected one number")
    return float(found)


def _takes_weights(scorer: Scorer) -> bool:
    """Whether sample_weight may be given beside (estimator, X, y)."""
    function = getattr(scorer, "_score_func", None)
    if function is roc_auc_score and scorer._kwargs.get("multi_class") == "ovo":  # type: ignore[attr-defined]  # a scorer of scikit-learn's
        return False
    words = signature(scorer if function is None else function).parameters
    return "sample_weight" in words or any(word.kind is Parameter.VAR_KEYWORD for word in words.values())
