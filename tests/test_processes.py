"""Models and estimators in other processes: they come back trained, with the bits of one process."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import pytest
from compiled import WAYS
from many_threads import LABELS, X, digest, go_on, model
from optional import optional

import mlpcore as mc

METHODS = pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())


def estimator(way: bool) -> Any:
    """An estimator that was fitted for one epoch."""
    optional("sklearn")
    from mlpcore.sklearn import MLPClassifier

    words = {"hidden_layer_sizes": (16,), "random_state": 0, "compile": way}
    return MLPClassifier(**words).partial_fit(X, LABELS, classes=[0, 1, 2])


def fitted(way: bool) -> mc.Model:
    """A model that was fitted for one epoch: in a fork, libraries are loaded and threads were running."""
    trained = model(way, 512)
    trained.fit(X, LABELS, epochs=1, batch_size=500)
    return trained


def in_a_pool(method: str, works: list[Any]) -> list[Any]:
    with multiprocessing.get_context(method).Pool(2) as pool:
        return pool.map_async(go_on, works).get(120)


def in_futures(method: str, works: list[Any]) -> list[Any]:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
        return [future.result(120) for future in [pool.submit(go_on, work) for work in works]]


def spread(way: bool, method: str, run: Callable[[str, list[Any]], list[Any]], made: Callable[[bool], Any]) -> None:
    predict = type(made(way)).predict if made is fitted else type(made(way)).predict_proba
    expected = digest(predict(go_on(made(way)), X))
    works = [made(way) for _ in range(3)]
    for returned in [*run(method, works), *map(go_on, works)]:  # there, and then here
        assert digest(predict(returned, X)) == expected
    twice = go_on(run(method, [made(way)])[0])
    np.testing.assert_array_equal(predict(twice, X), predict(go_on(go_on(made(way))), X))


@WAYS
@pytest.mark.parametrize("method", [name for name in multiprocessing.get_all_start_methods() if name == "fork"])
def test_models_come_back_from_forked_processes(method: str, way: bool) -> None:
    spread(way, method, in_a_pool, fitted)


@pytest.mark.long
@WAYS
@METHODS
@pytest.mark.parametrize("made", [fitted, estimator])
@pytest.mark.parametrize("run", [in_a_pool, in_futures])
def test_models_and_estimators_come_back_from_processes(
    run: Callable[[str, list[Any]], list[Any]], made: Callable[[bool], Any], method: str, way: bool
) -> None:
    spread(way, method, run, made)


@pytest.mark.long
@WAYS
@pytest.mark.parametrize("engine", ["threading", "loky", "multiprocessing"])
def test_a_grid_search_of_two_jobs_is_that_of_one(engine: str, way: bool) -> None:
    optional("sklearn")
    from joblib import parallel_config
    from sklearn.model_selection import GridSearchCV

    from mlpcore.sklearn import MLPClassifier

    grid = {"alpha": [1e-4, 1.0], "hidden_layer_sizes": [(4,), (512,)]}

    def scores(jobs: int) -> tuple[list[Any], str]:
        net = MLPClassifier(max_iter=2, random_state=0, compile=way, early_stopping=True)
        search = GridSearchCV(net, grid, n_jobs=jobs, cv=2, scoring="neg_log_loss").fit(X, LABELS)
        names = ("split0_test_score", "split1_test_score")
        return [search.cv_results_[name].tolist() for name in names], digest(search.predict_proba(X))

    expected = scores(1)
    with parallel_config(engine):
        assert scores(2) == expected
