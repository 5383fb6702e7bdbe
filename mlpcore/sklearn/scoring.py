"""Scores of held-out rows, in which some of the estimator's classes may be missing."""

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

    scikit-learn's scorers of probabilities assume that the columns are the classes in y. If y lacks some, they get the
    estimator's classes as ``labels``. Scores of one-vs-rest curves, which have no such argument or are undefined for a
    class without rows, are averaged over the classes in y, as the balanced accuracy is. Rows of weight 0 do not count.
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
    """A score of one-hot labels and probabilities, restricted to the classes that are present."""

    def __init__(self, score: Callable, classes: np.ndarray, present: np.ndarray) -> None:
        self.score, self.columns, self.present = score, np.isin(classes, present), present

    def __call__(self, y: np.ndarray, probabilities: np.ndarray, sample_weight: Any = None, **words: Any) -> float:
        one_hot = (y[:, None] == self.present).astype(int)
        return self.score(one_hot, probabilities[:, self.columns], sample_weight=sample_weight, **words)


def score(scorer: Scorer, estimator: Any, X: Any, y: Any, weights: np.ndarray | None) -> float:
    """The score as a float, NaN for 0 / 0; with row weights where the scorer accepts them."""
    extra = {} if weights is None or not _takes_weights(scorer) else {"sample_weight": weights}
    try:
        value = scorer(estimator, X, y, **extra)
    except ZeroDivisionError:
        return math.nan
    if not isinstance(value, Real) and np.ndim(value) != 0:
        raise ValueError(f"scoring={scorer!r} gave {value!r}, expected one number")
    return float(value)


def _takes_weights(scorer: Scorer) -> bool:
    """Whether the scorer accepts ``sample_weight``."""
    function = getattr(scorer, "_score_func", None)
    if function is roc_auc_score and scorer._kwargs.get("multi_class") == "ovo":  # type: ignore[attr-defined]  # a scorer of scikit-learn's
        return False
    words = signature(scorer if function is None else function).parameters
    return "sample_weight" in words or any(word.kind is Parameter.VAR_KEYWORD for word in words.values())
