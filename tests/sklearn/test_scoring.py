"""The score that early stopping watches: the classes are the estimator's, also where the rows held out lack some."""

import warnings
from collections.abc import Callable
from inspect import signature
from typing import Any

import numpy as np
import pytest
from optional import optional

sklearn = optional("sklearn")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from sklearn.exceptions import UndefinedMetricWarning  # noqa: E402
from sklearn.metrics import (  # noqa: E402
    average_precision_score,
    get_scorer,
    get_scorer_names,
    log_loss,
    make_scorer,
    roc_auc_score,
    top_k_accuracy_score,
)

from mlpcore.sklearn import LearningCurve, MLPClassifier, MLPRegressor  # noqa: E402

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 3))
LABELS = np.digitize(X[:, 0], [-0.6, 0.6])
WORDS: dict[str, Any] = {"hidden_layer_sizes": (4,), "max_iter": 3, "random_state": 0, "early_stopping": True}
# Of scores and probabilities; those of labels never ask for classes.
OF_CLASSES = ["neg_log_loss", "roc_auc_ovr", "roc_auc_ovr_weighted", "roc_auc_ovo", "roc_auc_ovo_weighted"]
OF_CLASSES += ["top_k_accuracy", "average_precision"]
OF_CLASSES += [name for name in ("d2_log_loss_score", "d2_brier_score") if name in get_scorer_names()]

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning"),
    pytest.mark.filterwarnings("ignore:No positive class found"),
]


def classifier(scoring: Any, **words: Any) -> MLPClassifier:
    return MLPClassifier(**(WORDS | words), scoring=scoring)


def flat(estimator: Any) -> np.ndarray:
    return np.concatenate([np.asarray(part).reshape(-1) for part in (*estimator.coefs_, *estimator.intercepts_)])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("scoring", [*OF_CLASSES, "accuracy", "balanced_accuracy", "f1_macro", "matthews_corrcoef"])
@pytest.mark.parametrize("kind", ["numbers", "texts"])
def test_a_class_of_one_row(kind: str, scoring: str, weighted: bool) -> None:
    """It is trained on, so that the rows held out have none of it."""
    x, labels = np.r_[X, X[:1]], np.r_[LABELS, 7]
    labels = labels if kind == "numbers" else np.array([f"class {label}" for label in labels])
    weights = np.linspace(0.5, 2, 121) if weighted else None
    model = classifier(scoring).fit(x, labels, sample_weight=weights)
    assert model.classes_.size == 4 and np.isfinite(model.validation_scores_).all()
    assert model.best_validation_score_ == max(model.validation_scores_)


def _log_loss(model: Any, x: np.ndarray, y: np.ndarray) -> float:
    return -log_loss(y, model.predict_proba(x), labels=model.classes_)


def _top_k(model: Any, x: np.ndarray, y: np.ndarray) -> float:
    probabilities = model.predict_proba(x)
    of_two = probabilities[:, 1] if model.classes_.size == 2 else probabilities
    return top_k_accuracy_score(y, of_two, labels=model.classes_)


def _of_curves(score: Callable) -> Callable:
    def mean(model: Any, x: np.ndarray, y: np.ndarray) -> float:
        return float(np.mean([score(y == label, model.predict_proba(x)[:, label]) for label in np.unique(y)]))

    return mean


EXPECTED = {
    "neg_log_loss": _log_loss,
    "top_k_accuracy": _top_k,
    "roc_auc_ovr": _of_curves(roc_auc_score),
    "average_precision": _of_curves(average_precision_score),
}


@pytest.mark.parametrize("scoring", EXPECTED)
@given(classes=st.sets(st.integers(0, 3), min_size=2))
def test_the_score_is_that_of_all_classes(scoring: str, classes: set[int]) -> None:
    labels = np.digitize(X[:, 0], [-0.8, 0, 0.8])
    rows = np.isin(labels, sorted(classes))
    held = X[rows], labels[rows]
    model = classifier(scoring).fit(X, labels, validation_data=held)
    best = EXPECTED[scoring](model, *held)
    assert model.best_validation_score_ == pytest.approx(best, rel=1e-12)
    if len(classes) == 4:
        assert best == pytest.approx(get_scorer(scoring)(model, *held), rel=1e-12)
    # A class whose rows have no weight is not there.
    weights = np.isin(labels, sorted(classes)).astype(float)
    by_weight = classifier(scoring).fit(X, labels, validation_data=(X, labels, weights))
    np.testing.assert_allclose(by_weight.validation_scores_, model.validation_scores_, rtol=1e-12)


def test_a_scorer_of_the_user_is_the_one_of_that_name() -> None:
    ours = make_scorer(log_loss, response_method="predict_proba", greater_is_better=False)
    own, named = (classifier(scorer).fit(X, LABELS, validation_data=(X, LABELS)) for scorer in (ours, "neg_log_loss"))
    assert own.validation_scores_ == named.validation_scores_


@pytest.mark.parametrize(
    "labels", [LABELS > 0, np.where(LABELS > 0, "yes", "no"), LABELS], ids=["bool", "text", "three"]
)
@pytest.mark.parametrize("scoring", ["neg_log_loss", "top_k_accuracy"])
def test_held_out_rows_of_one_class(scoring: str, labels: np.ndarray) -> None:
    rows = labels == labels[0]
    model = classifier(scoring).fit(X, labels, validation_data=(X[rows], labels[rows]))
    best = EXPECTED[scoring](model, X[rows], labels[rows])
    assert model.best_validation_score_ == pytest.approx(best, rel=1e-12)


# For several labels a row, or for positive numbers.
ELSEWHERE = ("_samples", "_deviance", "_log_error")


@pytest.mark.parametrize("scoring", [name for name in get_scorer_names() if not name.endswith(ELSEWHERE)])
def test_every_scorer_with_and_without_weights(scoring: str) -> None:
    """One that takes none is asked without them."""
    yes, weights = (LABELS > 0).astype(int), np.linspace(0.5, 2, 120)
    plain = classifier(scoring).fit(X, yes, validation_data=(X, yes))
    weighted = classifier(scoring).fit(X, yes, validation_data=(X, yes, weights))
    assert np.isfinite(plain.validation_scores_ + weighted.validation_scores_).all()
    scorer, takes = get_scorer(scoring), "sample_weight" in signature(get_scorer(scoring)._score_func).parameters
    if not takes:
        assert weighted.validation_scores_ == plain.validation_scores_
    elif "_ovo" not in scoring:
        best = scorer(weighted, X, yes, sample_weight=weights)
        assert weighted.best_validation_score_ == pytest.approx(best, rel=1e-12)


def test_pairs_of_classes_take_no_weights() -> None:
    held = X[:40], LABELS[:40]
    for scoring in ("roc_auc_ovo", "roc_auc_ovo_weighted"):
        plain = classifier(scoring).fit(X, LABELS, validation_data=held)
        weighted = classifier(scoring).fit(X, LABELS, validation_data=(*held, np.linspace(0.5, 2, 40)))
        assert plain.validation_scores_ == weighted.validation_scores_


@pytest.mark.parametrize("compat", [None, "sklearn"])
def test_a_class_of_one_row_beside_one_other(compat: str | None) -> None:
    """scikit-learn's stratified split refuses it."""
    labels = np.r_[np.zeros(119, int), 1]
    model = classifier(None, compat=compat)
    if compat is not None:
        with pytest.raises(ValueError, match="only 1 member"):
            model.fit(X, labels)
        return
    assert model.fit(X, labels).classes_.tolist() == [0, 1] and len(model.validation_scores_) == 3
    np.testing.assert_array_equal(
        flat(classifier(None).fit(X, LABELS > 0)), flat(classifier(None, compat="sklearn").fit(X, LABELS > 0))
    )


# --- scores that cannot be computed


def _nan(model: Any, x: np.ndarray, y: np.ndarray) -> float:
    return float("nan")


def _lowest(model: Any, x: np.ndarray, y: np.ndarray) -> float:
    return -float("inf")


@pytest.mark.parametrize("scoring", [_nan, _lowest, "roc_auc", "roc_auc_ovo_weighted"])
def test_a_score_that_cannot_be_computed_is_told_once(scoring: Any) -> None:
    """And the last weights are kept: the first ones would be the best by no score."""
    yes = LABELS > 0 if scoring == "roc_auc" else LABELS
    held = (X[yes == 1], yes[yes == 1]) if isinstance(scoring, str) else (X, yes)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = classifier(scoring, n_iter_no_change=1).fit(X, yes, validation_data=held)
    told = [one for one in caught if "the score of early stopping" in str(one.message)]
    assert len(told) == 1 and issubclass(told[0].category, UndefinedMetricWarning)
    assert not np.isfinite(model.validation_scores_).any() and model.n_iter_ == 3
    np.testing.assert_array_equal(flat(model), flat(classifier(None, early_stopping=False).fit(X, yes)))
    again = classifier(scoring, warm_start=True).fit(X, yes, validation_data=held).fit(X, yes, validation_data=held)
    np.testing.assert_array_equal(flat(again), flat(classifier(None, early_stopping=False, max_iter=6).fit(X, yes)))
    assert LearningCurve.from_estimator(model).lines_


def test_the_best_of_the_scores_that_can_be_computed() -> None:
    scores, seen = [float("nan"), 0.25, float("nan"), 0.125], []

    def scoring(model: Any, x: np.ndarray, y: np.ndarray) -> float:
        seen.append(flat(model))
        return scores[len(seen) - 1]

    with pytest.warns(UndefinedMetricWarning, match=r"is nan on the 12 rows held out"):
        model = classifier(scoring, max_iter=4).fit(X, LABELS)
    assert model.best_validation_score_ == 0.25
    np.testing.assert_array_equal(flat(model), seen[1])


def test_one_row_has_no_r2() -> None:
    words = WORDS | {"max_iter": 4}
    with pytest.warns(UndefinedMetricWarning, match=r"\(scoring=None\) is nan on the 1 rows held out"):
        model = MLPRegressor(**words).fit(X, X[:, 0], validation_data=(X[:1], X[:1, 0]))
    plain = MLPRegressor(**(words | {"early_stopping": False})).fit(X, X[:, 0])
    np.testing.assert_array_equal(flat(model), flat(plain))


def test_a_score_is_one_number() -> None:
    with pytest.raises(ValueError, match=r"gave .*, expected one number"):
        classifier(lambda *rows: [0.5, 0.25]).fit(X, LABELS)
