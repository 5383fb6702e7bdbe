"""StackedSearchCV against scikit-learn's searches, which fit one candidate after the other."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from optional import optional

sklearn = optional("sklearn")

from scipy.sparse import csr_matrix  # noqa: E402
from scipy.stats import loguniform  # noqa: E402
from sklearn import config_context  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.datasets import load_iris  # noqa: E402
from sklearn.exceptions import FitFailedWarning, NotFittedError  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, RandomizedSearchCV, ShuffleSplit  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.utils._param_validation import InvalidParameterError  # noqa: E402

import mlpcore as mc  # noqa: E402
from mlpcore.sklearn import MLPClassifier, MLPRegressor, StackedSearchCV  # noqa: E402

X, LABELS = load_iris(return_X_y=True)
Y = X[:, 3]
FAST: dict[str, Any] = {"hidden_layer_sizes": 8, "random_state": 0, "max_iter": 8, "learning_rate_init": 0.03}
ALPHAS = [1e-4, 1e-2, 1.0, 10.0, 100.0]
MIXED = [
    {"solver": ["lbfgs"], "hidden_layer_sizes": [(), (3,), (4, 2)], "alpha": [1e-4, 1.0]},
    {"solver": ["adam"], "hidden_layer_sizes": [(5,), (6, 3)], "batch_size": [16, 50], "activation": ["relu", "gelu"]},
]

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(autouse=True)
def three_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads, on a machine with one core too."""
    monkeypatch.setenv("MLPCORE_NUM_THREADS", "3")


def classifier(**words: Any) -> MLPClassifier:
    return MLPClassifier(**(FAST | words))


def alike(search: Any, expected: Any) -> None:
    """Check that two fitted searches have the same results, except for times."""
    assert search.cv_results_.keys() == expected.cv_results_.keys()
    for name, values in expected.cv_results_.items():
        if name.startswith("param"):
            assert list(search.cv_results_[name]) == list(values), name
        elif "_time" not in name:
            np.testing.assert_array_equal(search.cv_results_[name], values, err_msg=name)
    for name in ("best_index_", "best_params_", "best_score_", "n_splits_", "multimetric_"):
        assert hasattr(search, name) == hasattr(expected, name), name
        if hasattr(expected, name):
            assert getattr(search, name) == getattr(expected, name), name
    assert hasattr(search, "best_estimator_") == hasattr(expected, "best_estimator_")


def compared(estimator: Any, param_grid: Any, y: Any = LABELS, x: Any = X, fit: Any = None, **words: Any) -> Any:
    """The fitted search, which is like scikit-learn's grid search."""
    search = StackedSearchCV(estimator, param_grid, **words).fit(x, y, **(fit or {}))
    alike(search, GridSearchCV(estimator, param_grid, **words).fit(x, y, **(fit or {})))
    return search


# --- the results are those of scikit-learn's searches


@pytest.mark.parametrize("compile", [True, False])
def test_a_grid(compile: bool) -> None:
    grid = {"alpha": ALPHAS, "hidden_layer_sizes": [(4,), (8, 3)]}
    search = compared(classifier(compile=compile), grid, cv=3, return_train_score=True)
    assert len(search.cv_results_["params"]) == 10
    np.testing.assert_array_equal(search.predict_proba(X), search.best_estimator_.predict_proba(X))
    direct = classifier(compile=compile, **search.best_params_).fit(X, LABELS)
    np.testing.assert_array_equal(search.predict_proba(X), direct.predict_proba(X))
    assert search.score(X, LABELS) == direct.score(X, LABELS)
    assert search.n_features_in_ == 4 and search.classes_.tolist() == [0, 1, 2]


def test_solvers_architectures_and_batch_sizes_in_one_grid() -> None:
    scores = compared(classifier(max_iter=20), MIXED, cv=4).cv_results_["mean_test_score"]
    assert len(scores) == 14 and len(set(scores)) > 5


@pytest.mark.parametrize("random_state", [7, np.random.RandomState(7)])
def test_a_random_search(random_state: Any) -> None:
    grid = {"alpha": loguniform(1e-5, 1.0), "batch_size": [10, 20, 50]}
    words: dict[str, Any] = {"n_iter": 8, "cv": KFold(3, shuffle=True, random_state=0)}
    search = StackedSearchCV(classifier(), grid, random_state=copy.deepcopy(random_state), **words).fit(X, LABELS)
    other = RandomizedSearchCV(classifier(), grid, random_state=copy.deepcopy(random_state), **words)
    alike(search, other.fit(X, LABELS))
    assert len({params["alpha"] for params in search.cv_results_["params"]}) == 8


def test_regressors_and_data_frames() -> None:
    pandas = optional("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    grid = {"loss": ["squared_error", "huber"], "alpha": ALPHAS}
    search = compared(MLPRegressor(**FAST), grid, Y, frame, cv=3, scoring="neg_mean_absolute_error")
    assert search.feature_names_in_.tolist() == list("abcd") and search.best_score_ < 0


def test_equal_scores_share_a_rank_and_the_first_is_the_best() -> None:
    """``validation_fraction`` changes nothing without early stopping."""
    search = compared(classifier(), {"alpha": [1e-4, 1e3], "validation_fraction": [0.1, 0.2, 0.3, 0.4]}, cv=3)
    ranks = search.cv_results_["rank_test_score"].tolist()
    assert ranks == [1] * 4 + [5] * 4 and search.best_index_ == 0


def test_several_metrics() -> None:
    words: dict[str, Any] = {"cv": 3, "scoring": {"hits": "accuracy", "loss": "neg_log_loss"}}
    search = compared(classifier(), {"alpha": ALPHAS, "batch_size": [20, 50]}, refit="loss", **words)
    assert search.best_score_ == search.cv_results_["mean_test_loss"].max()
    assert search.score(X, LABELS) < 0
    without = compared(classifier(), {"alpha": ALPHAS}, refit=False, **words)
    assert not hasattr(without, "best_params_") and not hasattr(without, "predict")
    chosen = compared(classifier(), {"alpha": ALPHAS}, refit=lambda results: 3, **words)
    assert chosen.best_params_ == {"alpha": 10.0}
    single = compared(classifier(), {"alpha": ALPHAS}, refit=False, cv=3)
    assert single.best_score_ > 0 and not hasattr(single, "best_estimator_")
    with pytest.raises(ValueError, match="refit must be set to a scorer key"):
        StackedSearchCV(classifier(), {"alpha": ALPHAS}, **words).fit(X, LABELS)


def test_groups_and_weights() -> None:
    groups, weights = np.arange(150) % 5, np.random.default_rng(0).uniform(0.1, 3, 150)
    grid, fit = {"alpha": ALPHAS}, {"groups": groups, "sample_weight": weights}
    search = compared(classifier(), grid, fit=fit, cv=GroupKFold(5))
    assert search.n_splits_ == 5
    plain = StackedSearchCV(classifier(), grid, cv=GroupKFold(5)).fit(X, LABELS, groups=groups)
    assert not np.array_equal(plain.predict_proba(X), search.predict_proba(X))
    with config_context(enable_metadata_routing=True):
        net = classifier().set_fit_request(sample_weight=True, groups=False).set_score_request(sample_weight=True)
        routed = compared(net, grid, fit=fit, cv=GroupKFold(5))
    np.testing.assert_array_equal(routed.predict_proba(X), search.predict_proba(X))
    with pytest.raises(ValueError, match="The 'groups' parameter should not be None"):
        StackedSearchCV(classifier(), grid, cv=GroupKFold(5)).fit(X, LABELS)


def test_sparse_rows() -> None:
    compared(classifier(), {"alpha": ALPHAS, "early_stopping": [False, True]}, x=csr_matrix(X), cv=3)


def test_a_pipeline_is_fitted_in_every_fold() -> None:
    steps = make_pipeline(StandardScaler(), classifier(max_iter=20))
    grid = {"standardscaler__with_mean": [True, False], "mlpclassifier__alpha": ALPHAS}
    search = compared(steps, grid, x=X * 1e3 + 5, cv=3)
    assert search.best_score_ > 0.8 and search.best_estimator_[0].mean_.shape == (4,)


def test_any_estimator_and_unsupervised_ones() -> None:
    from sklearn.decomposition import PCA

    compared(LogisticRegression(max_iter=500), {"C": ALPHAS, "tol": [1e-4, 1e-2]}, cv=3)
    compared(PCA(random_state=0), {"n_components": [1, 2, 3]}, y=None, cv=5)


def test_random_numbers_are_those_of_every_fit_alone() -> None:
    """Each fit has a copy of a `RandomState`, of callbacks with a state, and of folds drawn once."""
    net = classifier(
        random_state=np.random.RandomState(3), dropout=0.2, callbacks=[mc.EarlyStopping("loss", patience=2)]
    )
    splitter = ShuffleSplit(4, random_state=np.random.RandomState(5))
    search = StackedSearchCV(net, {"alpha": ALPHAS}, cv=copy.deepcopy(splitter)).fit(X, LABELS)
    alike(search, GridSearchCV(net, {"alpha": ALPHAS}, cv=copy.deepcopy(splitter)).fit(X, LABELS))


# --- failures


def test_candidates_that_fail() -> None:
    grid = {"alpha": [1e-4, 1e-2, -1.0, 1.0], "batch_size": [20, 50]}
    with pytest.warns(FitFailedWarning, match="6 fits failed out of a total of 24"):
        search = StackedSearchCV(classifier(), grid, cv=3).fit(X, LABELS)
    with pytest.warns(FitFailedWarning):
        alike(search, GridSearchCV(classifier(), grid, cv=3).fit(X, LABELS))
    assert np.isnan(search.cv_results_["mean_test_score"]).tolist() == [False] * 4 + [True] * 2 + [False] * 2
    with pytest.warns(FitFailedWarning):
        compared(classifier(), grid, cv=3, error_score=-5.0)
    with pytest.raises(InvalidParameterError, match="The 'alpha' parameter of MLPClassifier"):
        StackedSearchCV(classifier(), grid, cv=3, error_score="raise").fit(X, LABELS)
    with pytest.raises(ValueError, match="All the 6 fits failed"):
        StackedSearchCV(classifier(), {"alpha": [-1.0, -2.0]}, cv=3).fit(X, LABELS)


def test_wrong_arguments() -> None:
    for words, said in (
        ({"param_grid": {"alpha": loguniform(0.1, 1)}}, r"StackedSearchCV: param_grid\['alpha'\] is a distribution"),
        ({"param_grid": [{}, {"alpha": loguniform(0.1, 1)}]}, "set n_iter to their number"),
        ({"param_grid": {"alfa": [1.0]}}, "Invalid parameter 'alfa' for estimator MLPClassifier"),
        ({"param_grid": {"alpha": 1.0}}, r"Parameter (grid|values) for parameter"),
        ({"param_grid": {"alpha": []}}, "non-empty"),
        ({"param_grid": {"backend": [None, 3]}}, "All the 6 fits failed"),
        ({"param_grid": 3}, "The 'param_grid' parameter of StackedSearchCV must be"),
        ({"n_iter": 0}, "The 'n_iter' parameter of StackedSearchCV must be"),
        ({"n_iter": 2.5}, "The 'n_iter' parameter of StackedSearchCV must be"),
        ({"n_iter": 1, "random_state": "x"}, "The 'random_state' parameter of StackedSearchCV must be"),
        ({"n_jobs": "all"}, "The 'n_jobs' parameter of StackedSearchCV must be"),
        ({"n_jobs": 0}, "n_jobs == 0"),
        ({"cv": 1}, r"k-fold cross-validation requires|The 'cv' parameter of StackedSearchCV must be"),
        ({"scoring": "hits"}, "The 'scoring' parameter of StackedSearchCV must be"),
        ({"estimator": MLPClassifier}, "not an instance|instead of a class|estimator"),
        ({"estimator": 3}, "The 'estimator' parameter of StackedSearchCV must be"),
    ):
        with pytest.raises((TypeError, ValueError), match=said):
            StackedSearchCV(**({"estimator": classifier(), "param_grid": {"alpha": [1.0]}, "cv": 3} | words)).fit(
                X, LABELS
            )
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        StackedSearchCV(classifier(), {"alpha": [1.0]}).fit(X, LABELS[1:])
    with pytest.raises(NotFittedError):
        StackedSearchCV(classifier(), {"alpha": [1.0]}).predict(X)


# --- the object


def test_clone_pickle_and_arguments() -> None:
    search = StackedSearchCV(classifier(), {"alpha": ALPHAS}, n_iter=3, cv=3, random_state=1)
    assert search.get_params(deep=False).keys() == {
        *GridSearchCV(classifier(), {}).get_params(deep=False),
        *("n_iter", "random_state", "halving", "out_of_fold"),
    }
    fresh = clone(search).set_params(estimator__alpha=0.5, n_iter=None)
    assert fresh.get_params()["estimator__alpha"] == 0.5 and search.get_params()["estimator__alpha"] == 1e-4
    assert "n_iter=3" in repr(search) and "StackedSearchCV" in search._repr_html_()
    fresh.fit(X, LABELS)
    loaded = pickle.loads(pickle.dumps(fresh))
    alike(loaded, fresh)
    np.testing.assert_array_equal(loaded.predict_proba(X), fresh.predict_proba(X))
    assert not hasattr(clone(fresh), "cv_results_")
    alike(fresh.fit(X, LABELS), loaded)


def test_a_search_in_a_search() -> None:
    inner = StackedSearchCV(classifier(), {"alpha": [1e-4, 1.0]}, cv=2)
    outer = StackedSearchCV(inner, {"estimator__batch_size": [20, 50]}, cv=3).fit(X, LABELS)
    theirs = GridSearchCV(GridSearchCV(classifier(), {"alpha": [1e-4, 1.0]}, cv=2), outer.param_grid, cv=3)
    np.testing.assert_array_equal(
        outer.cv_results_["mean_test_score"], theirs.fit(X, LABELS).cv_results_["mean_test_score"]
    )
