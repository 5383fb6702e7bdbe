"""Successive halving and out-of-fold predictions of StackedSearchCV, against scikit-learn's own."""

from typing import Any

import numpy as np
import pytest
from optional import optional

sklearn = optional("sklearn")

from scipy.stats import loguniform  # noqa: E402
from sklearn import config_context  # noqa: E402
from sklearn.datasets import load_iris  # noqa: E402
from sklearn.experimental import enable_halving_search_cv  # noqa: E402, F401
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.model_selection import (  # noqa: E402
    GridSearchCV,
    GroupKFold,
    HalvingGridSearchCV,
    KFold,
    ShuffleSplit,
    cross_val_predict,
)
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from mlpcore.sklearn import MLPClassifier, MLPRegressor, StackedSearchCV  # noqa: E402
from mlpcore.sklearn.halving import iterations  # noqa: E402

X, LABELS = load_iris(return_X_y=True)
RATES = [3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1]
GRID = {"learning_rate_init": RATES, "alpha": [1e-4, 1.0]}
FOLDS = KFold(3, shuffle=True, random_state=0)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def classifier(**words: Any) -> MLPClassifier:
    return MLPClassifier(**({"hidden_layer_sizes": 8, "random_state": 0, "max_iter": 27} | words))


@pytest.mark.parametrize(
    "candidates, factor, most, expected",
    [
        (12, 3, 27, [3, 9, 27]),
        (27, 3, 27, [1, 3, 9, 27]),
        (100, 3, 10, [1, 3, 10]),
        (8, 2, 100, [12, 25, 50, 100]),
        (1, 3, 10, [10]),
        (2, 3, 10, [10]),
        (9, 3, 2, [2]),
    ],
)
def test_the_last_stage_has_all_epochs(candidates: int, factor: int, most: int, expected: list[int]) -> None:
    assert iterations(candidates, factor, most) == expected


@pytest.mark.parametrize("pipeline", [False, True])
def test_halving_is_that_of_scikit_learn(pipeline: bool) -> None:
    """The same candidates with the same scores in every stage, and the same best one."""
    net, prefix = classifier(), ""
    if pipeline:
        net, prefix = make_pipeline(StandardScaler(), net), "mlpclassifier__"
    grid = {prefix + name: values for name, values in GRID.items()}
    search = StackedSearchCV(net, grid, halving=3, cv=FOLDS, scoring="neg_log_loss").fit(X, LABELS)
    words: dict[str, Any] = {
        "scoring": "neg_log_loss",
        "resource": prefix + "max_iter",
        "max_resources": 27,
        "min_resources": 3,
        "factor": 3,
    }
    theirs = HalvingGridSearchCV(net, grid, cv=FOLDS, refit=False, **words).fit(X, LABELS)
    results, expected = search.cv_results_, theirs.cv_results_
    assert np.bincount(results["iter"]).tolist() == np.bincount(expected["iter"]).tolist() == [12, 4, 2]
    np.testing.assert_array_equal(results["n_resources"], expected["n_resources"])
    for stage in range(3):
        scores = [
            {str(params): score for params, score, at in zip(*map(found.get, NAMES), strict=True) if at == stage}
            for found in (results, expected)
        ]
        assert scores[0] == scores[1], stage
    assert search.best_params_ == theirs.best_params_ and search.best_score_ == theirs.best_score_
    best = {name: [value] for name, value in search.best_params_.items()}
    full = GridSearchCV(net, best, cv=FOLDS, scoring="neg_log_loss").fit(X, LABELS)
    assert full.best_score_ == search.best_score_  # that of all epochs
    np.testing.assert_array_equal(search.predict_proba(X), full.predict_proba(X))


NAMES = ("params", "mean_test_score", "iter")


@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite")
def test_halving_of_drawn_candidates_with_several_metrics_and_fits_that_fail() -> None:
    grid = {"learning_rate_init": loguniform(1e-4, 1e-1), "batch_size": [20, -1]}
    metrics = {"hits": "accuracy", "loss": "neg_log_loss"}
    words: dict[str, Any] = {"scoring": metrics, "refit": "loss", "cv": FOLDS, "random_state": 3}
    with pytest.warns(sklearn.exceptions.FitFailedWarning):
        search = StackedSearchCV(classifier(), grid, n_iter=9, halving=3, **words).fit(X, LABELS)
    results = search.cv_results_
    assert np.bincount(results["iter"]).tolist() == [9, 3, 1]
    assert np.isnan(results["mean_test_loss"][:9]).any() and not np.isnan(results["mean_test_loss"][9:]).any()
    first = results["mean_test_loss"][:9]
    kept = {str(results["params"][i] | {"max_iter": 9}) for i in np.argsort(-first)[:3]}
    assert {str(params) for params in results["params"][9:12]} == kept
    assert search.best_index_ == 12


def test_the_best_candidate_is_one_of_the_last_stage() -> None:
    """Also where scores were better in an earlier one; a function as ``refit`` chooses from all."""
    words: dict[str, Any] = {"cv": 3, "scoring": lambda net, x, y: -net.n_iter_}
    search = StackedSearchCV(classifier(), GRID, halving=3, **words).fit(X, LABELS)
    assert search.best_index_ == 16 and search.best_params_["max_iter"] == 27 and search.best_score_ == -27
    chosen = StackedSearchCV(classifier(), GRID, halving=3, refit=lambda results: 5, **words).fit(X, LABELS)
    assert chosen.best_params_["max_iter"] == 3


def test_wrong_halving() -> None:
    for words, said in (
        ({"estimator": LogisticRegression(), "param_grid": {"C": [1.0]}}, "halving needs an MLPClassifier"),
        ({"param_grid": {"max_iter": [3, 4]}}, "halving sets max_iter, expected param_grid without it"),
        ({"scoring": {"hits": "accuracy", "loss": "neg_log_loss"}, "refit": False}, "needs the name of one of them"),
        ({"cv": KFold(3, shuffle=True)}, "halving needs the same splits each time, got KFold.*set its random_state"),
        ({"cv": ShuffleSplit(3)}, "set its random_state to an integer"),
        ({"cv": iter([([0], [1])])}, r"halving uses the splits twice, got an iterator as cv; use list\(cv\)"),
        ({"halving": 1}, "The 'halving' parameter of StackedSearchCV must be"),
        ({"halving": None, "out_of_fold": "transform"}, "The 'out_of_fold' parameter of StackedSearchCV must be"),
        ({"halving": None, "out_of_fold": "predict", "cv": KFold(3, shuffle=True)}, "out_of_fold needs the same"),
        ({"halving": None, "out_of_fold": "predict", "refit": False, "scoring": {"a": "accuracy"}}, "set refit"),
        (
            {"halving": None, "out_of_fold": "predict", "cv": ShuffleSplit(3, random_state=0)},
            "only works for",
        ),
    ):
        fixed: dict[str, Any] = {"estimator": classifier(max_iter=4), "param_grid": {"alpha": [1.0]}, "cv": 3}
        with pytest.raises(ValueError, match=said):
            StackedSearchCV(**(fixed | {"halving": 2} | words)).fit(X, LABELS)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba"])
def test_out_of_fold_predictions_of_the_best_candidate(method: str) -> None:
    search = StackedSearchCV(classifier(), GRID, halving=3, cv=FOLDS, out_of_fold=method).fit(X, LABELS)
    expected = cross_val_predict(search.best_estimator_, X, LABELS, cv=FOLDS, method=method)
    np.testing.assert_array_equal(search.out_of_fold_prediction_, expected)
    assert len(expected) == len(X)
    search.set_params(out_of_fold=None).fit(X, LABELS)
    assert not hasattr(search, "out_of_fold_prediction_")


@pytest.mark.parametrize("routing", [False, True])
def test_out_of_fold_predictions_with_groups_and_weights(routing: bool) -> None:
    groups, weights = np.arange(150) % 5, np.random.default_rng(0).uniform(0.1, 3, 150)
    net = MLPRegressor(hidden_layer_sizes=4, random_state=0, max_iter=20)
    grid, fit = {"alpha": [1e-4, 1.0]}, {"groups": groups, "sample_weight": weights}
    with config_context(enable_metadata_routing=routing):
        if routing:
            net.set_fit_request(sample_weight=True, groups=False).set_score_request(sample_weight=True)
        search = StackedSearchCV(net, grid, cv=GroupKFold(5), out_of_fold="predict").fit(X, X[:, 3], **fit)
    for train, test in GroupKFold(5).split(X, groups=groups):
        alone = MLPRegressor(hidden_layer_sizes=4, random_state=0, max_iter=20, **search.best_params_)
        alone.fit(X[train], X[train, 3], sample_weight=weights[train])
        np.testing.assert_array_equal(search.out_of_fold_prediction_[test], alone.predict(X[test]))
