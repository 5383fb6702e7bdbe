"""Searches under joblib's engines, threads, processes and a Dask cluster: the bits of one process, and its threads."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import numpy as np
import pytest
from optional import optional

sklearn = optional("sklearn")

from joblib import Parallel, delayed, parallel_config  # noqa: E402
from sklearn.datasets import load_iris  # noqa: E402
from sklearn.ensemble import VotingClassifier  # noqa: E402
from sklearn.model_selection import GridSearchCV, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

import mlpcore as mc  # noqa: E402
from mlpcore.compiler import pool  # noqa: E402
from mlpcore.sklearn import MLPClassifier, MLPRegressor, StackedSearchCV  # noqa: E402
from mlpcore.tabular import TabularClassifier  # noqa: E402

X, LABELS = load_iris(return_X_y=True)
GRID = {"alpha": [1e-4, 1.0], "hidden_layer_sizes": [(4,), (8, 3)]}
ENGINES = ["threading", "loky", "dask"]

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:A worker stopped while some jobs were given:UserWarning"),
]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], AbstractContextManager]]:
    """A function that returns the context of an engine with two workers."""
    opened, variables = [], set(os.environ)

    def context(name: str) -> AbstractContextManager:
        if name == "dask" and not opened:
            distributed = optional("distributed")
            folder = str(tmp_path_factory.mktemp("dask"))
            words = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "local_directory": folder}
            opened.append(distributed.LocalCluster(**words))
            opened.append(distributed.Client(opened[0]))
        return parallel_config(name, n_jobs=2)

    yield context
    for one in reversed(opened):
        one.close()
    for name in set(os.environ) - variables:  # Dask writes its limits for workers into this process too
        del os.environ[name]


def scores(search: Any, x: Any = X, y: Any = LABELS) -> tuple[list[Any], Any]:
    """The scores of all fits, and the best candidate."""
    search.fit(x, y)
    names = sorted(name for name in search.cv_results_ if name.startswith("split"))
    return [search.cv_results_[name].tolist() for name in names], search.best_params_


def net(**words: Any) -> MLPClassifier:
    return MLPClassifier(**{"hidden_layer_sizes": 8, "random_state": 0, "max_iter": 4, "compile": True, **words})


LOSS = {"cv": 3, "scoring": "neg_log_loss"}
SEARCHES: dict[str, Callable[[], Any]] = {
    "compiled": lambda: GridSearchCV(net(dropout=0.2), GRID, **LOSS),
    "NumPy calls": lambda: GridSearchCV(net(compile=False), GRID, **LOSS),
    "lbfgs": lambda: GridSearchCV(net(solver="lbfgs"), GRID, **LOSS),
    "an ensemble": lambda: GridSearchCV(net(n_members=2, bootstrap=True), GRID, **LOSS),
    "a table": lambda: GridSearchCV(
        TabularClassifier("mlp", max_epochs=2, random_state=0), {"n_ensemble": [1, 2]}, **LOSS
    ),
    "side by side": lambda: StackedSearchCV(net(), GRID, **LOSS),
    "halving": lambda: StackedSearchCV(net(), GRID, halving=2, **LOSS),
    "random": lambda: StackedSearchCV(net(), GRID, n_iter=3, random_state=1, **LOSS),
}


@cache
def alone(kind: str) -> Any:
    return scores(SEARCHES[kind]().set_params(n_jobs=1))


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("kind", SEARCHES)
def test_a_search_gives_the_bits_of_one_process(kind: str, name: str, engine: Any) -> None:
    with engine(name):
        found = scores(SEARCHES[kind]())
    assert found == alone(kind) and len({*found[0][0]}) > 1


@pytest.mark.long
@pytest.mark.parametrize("search", [GridSearchCV, StackedSearchCV])
def test_two_hundred_fits_give_the_bits_of_one_process(search: Any, engine: Any) -> None:
    """Forty candidates and five folds, under every engine."""
    grid = {
        "alpha": [1e-5, 1e-4, 1e-3, 1e-2, 1.0],
        "learning_rate_init": [0.001, 0.01],
        "hidden_layer_sizes": [(4,), (8, 3)],
        "activation": ["relu", "gelu"],
    }
    words = {"cv": 5, "scoring": "neg_log_loss"}
    expected = scores(GridSearchCV(net(), grid, **words))
    assert np.array(expected[0]).shape == (5, 40)
    for name in ENGINES:
        with engine(name):
            assert scores(search(net(), grid, **words)) == expected, name


@pytest.mark.parametrize("name", ["loky", "dask"])
def test_rows_that_workers_read_from_a_file(name: str, engine: Any) -> None:
    """joblib maps large arrays from files, read-only, into its processes."""
    x = np.random.default_rng(0).normal(size=(30_000, 6))
    y = x[:, 0] * x[:, 1]
    regressor = MLPRegressor(hidden_layer_sizes=8, max_iter=2, random_state=0)
    words = {"cv": 2, "scoring": "neg_mean_squared_error"}
    expected = cross_val_score(regressor, x, y, **words)
    with engine(name):
        np.testing.assert_array_equal(cross_val_score(regressor, x, y, **words), expected)


@pytest.mark.parametrize("name", ENGINES)
def test_fitted_estimators_come_back_from_workers(name: str, engine: Any) -> None:
    steps = make_pipeline(StandardScaler(), net())
    members = [("steps", steps), ("table", TabularClassifier("mlp", max_epochs=2, random_state=0))]
    with engine(name):
        voting = VotingClassifier(members, voting="soft").fit(X, LABELS)
    here = VotingClassifier(members, voting="soft", n_jobs=1).fit(X, LABELS)
    np.testing.assert_array_equal(voting.predict_proba(X), here.predict_proba(X))
    assert voting.estimators_[0][-1].partial_fit(X, LABELS) is voting.estimators_[0][-1]


@pytest.mark.parametrize("name", ENGINES)
def test_stacks_that_are_spread_have_the_bits_of_one_stack(name: str, engine: Any) -> None:
    architecture = mc.Sequential(mc.Linear(4, 6), mc.Tanh(), mc.Dropout(0.2), mc.Linear(6, 3))

    def train(rates: list[float]) -> list[mc.Model]:
        models = [mc.Model(architecture, mc.SoftmaxCrossEntropy(), mc.Adam(rate), compile=True) for rate in rates]
        mc.Stack(models).fit(X, LABELS, epochs=3)
        return models

    rates = [0.001, 0.003, 0.01, 0.03]
    with engine(name):
        parts = Parallel()(delayed(train)(rates[i : i + 2]) for i in (0, 2))
    for model, expected in zip([*parts[0], *parts[1]], train(rates), strict=True):
        np.testing.assert_array_equal(model.predict(X), expected.predict(X))


@pytest.mark.parametrize("name", ["loky", "dask"])
def test_workers_use_each_core_once(name: str, engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("MLPCORE_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(variable, raising=False)

    def threads(_: int) -> tuple[int, int]:
        return os.getpid(), pool.threads()

    before = pool.threads()
    with engine(name):
        found = dict(Parallel()(delayed(threads)(i) for i in range(20)))
    assert os.getpid() not in found and len(found) <= 2
    assert 2 * max(found.values()) <= max(2, os.cpu_count() or 1)
    assert pool.threads() == before, "the process that starts workers"


def test_a_search_runs_in_the_processes_of_an_engine_and_in_its_jobs_on_one_thread(engine: Any) -> None:
    def where(inner: bool) -> Any:
        search = StackedSearchCV(net(), GRID)
        return [search._engine(X)] if inner else Parallel()(delayed(where)(True) for _ in range(2))

    for name in ("loky", "dask"):
        with engine(name):
            assert where(True) == [{}]
    with engine("threading"):
        assert where(False) == [[{}], [{}]] and where(True) == [{"backend": "threading", "n_jobs": 2}]
    assert where(True) == [{"backend": "threading", "n_jobs": mc.get_backend("numpy").compile.threads()}]
