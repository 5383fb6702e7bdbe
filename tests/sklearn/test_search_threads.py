"""The threads of StackedSearchCV: where its fits run, what compiled code uses there, and what a search leaves."""

import signal
import threading
import warnings
from typing import Any, ClassVar

import numpy as np
import pytest
from optional import optional
from tiles import threads_of_tiles

sklearn = optional("sklearn")

from sklearn.base import BaseEstimator, ClassifierMixin, clone  # noqa: E402
from sklearn.datasets import load_iris  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from mlpcore.compiler import pool  # noqa: E402
from mlpcore.compiler.blas_threads import thread_settings  # noqa: E402
from mlpcore.sklearn import MLPClassifier, StackedSearchCV  # noqa: E402

X, LABELS = load_iris(return_X_y=True)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(autouse=True)
def three_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads, on a machine with one core too."""
    monkeypatch.setenv("MLPCORE_NUM_THREADS", "3")


class Recorder(ClassifierMixin, BaseEstimator):
    """Records the threads of its fits, and how many of them compiled code and BLAS use there."""

    threads: ClassVar[set[int]] = set()
    tiles: ClassVar[set[int]] = set()
    blas: ClassVar[set[int]] = set()

    def __init__(self, number: int = 0) -> None:
        self.number = number

    def fit(self, x: Any, y: Any) -> "Recorder":
        self.threads.add(threading.get_ident())
        self.tiles.add(len(threads_of_tiles()))
        self.blas.update(setting.get() for setting in thread_settings())
        self.classes_ = np.unique(y)
        return self

    def predict(self, x: Any) -> Any:
        return np.zeros(len(x), int)


@pytest.fixture
def recorded() -> type[Recorder]:
    for seen in (Recorder.threads, Recorder.tiles, Recorder.blas):
        seen.clear()
    return Recorder


def thread_settings_are_restored() -> bool:
    """Whether compiled code uses several threads again."""
    return pool.address() is None or len(threads_of_tiles()) == 2


@pytest.mark.parametrize(("n_jobs", "most"), [(None, 3), (2, 2)])
def test_fits_run_on_several_threads_and_compiled_code_on_one_each(
    recorded: type[Recorder], n_jobs: int | None, most: int
) -> None:
    before = [setting.get() for setting in thread_settings()]
    StackedSearchCV(recorded(), {"number": list(range(8))}, cv=4, n_jobs=n_jobs, refit=False).fit(X, LABELS)
    assert len(recorded.threads - {threading.get_ident()}) == len(recorded.threads) == most
    assert recorded.tiles == {1} and recorded.blas <= {1}
    assert thread_settings_are_restored() and [setting.get() for setting in thread_settings()] == before


def test_the_last_fit_and_a_search_with_one_thread_use_all_of_them(recorded: type[Recorder]) -> None:
    if pool.address() is None:
        pytest.skip("no C compiler")
    StackedSearchCV(recorded(), {"number": [1, 2]}, cv=2).fit(X, LABELS)
    assert threading.get_ident() in recorded.threads and recorded.tiles == {1, 2}
    for seen in (recorded.threads, recorded.tiles):
        seen.clear()
    StackedSearchCV(recorded(), {"number": [1, 2]}, cv=2, n_jobs=1).fit(X, LABELS)
    assert recorded.threads == {threading.get_ident()} and recorded.tiles == {2}


class OnThreads(MLPClassifier):
    """An estimator that records the threads of its fits."""

    threads: ClassVar[set[int]] = set()

    def _fit(self, *arguments: Any, **words: Any) -> Any:
        self.threads.add(threading.get_ident())
        return super()._fit(*arguments, **words)


def test_on_other_backends_one_fit_runs_after_the_other() -> None:
    torch = optional("torch")
    net, rows = OnThreads(8, max_iter=2, random_state=0), torch.asarray(X)
    elsewhere, alphas = clone(net).set_params(backend="torch"), {"alpha": [1e-4, 1.0]}
    steps = make_pipeline(StandardScaler(), net)
    for estimator, grid, x, alone in (
        (net, alphas, X, False),
        (clone(net).set_params(backend="numpy"), alphas, X, False),
        (elsewhere, alphas, X, True),
        (net, {"backend": ["numpy", "torch"]}, X, True),
        (net, alphas, rows, True),
        (steps, {"onthreads__alpha": [1e-4, 1.0]}, X, False),
        (clone(steps).set_params(onthreads__backend="torch"), {"onthreads__alpha": [1.0]}, X, True),
        (steps, [{"onthreads__alpha": [1.0]}, {"onthreads__backend": ["auto", "torch"]}], X, True),
        (steps, {"onthreads": [net, elsewhere]}, X, True),
    ):
        OnThreads.threads.clear()
        StackedSearchCV(estimator, grid, cv=3, n_jobs=3, refit=False).fit(x, LABELS)
        assert (OnThreads.threads == {threading.get_ident()}) is alone, (estimator, grid)


def test_a_fit_that_fails_leaves_the_threads_as_they_were(recorded: type[Recorder]) -> None:
    for grid in ({"alpha": [-1.0, 1.0] * 4}, {"alfa": [1.0] * 4}):
        with pytest.raises(ValueError, match=r"'alpha' parameter|Invalid parameter 'alfa'"):
            StackedSearchCV(MLPClassifier(8, max_iter=2), grid, cv=3, error_score="raise").fit(X, LABELS)
        assert thread_settings_are_restored()


def test_warning_filters_are_as_before() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        before = list(warnings.filters)
        for _ in range(3):
            StackedSearchCV(MLPClassifier(8, max_iter=1), {"alpha": [1e-4, 1e-2, 1.0, 10.0, 100.0]}, cv=4).fit(
                X, LABELS
            )
            assert list(warnings.filters) == before


class Interrupting(Recorder):
    """Presses Ctrl-C in its third fit, and waits in all others."""

    begun = 0
    lock = threading.Lock()
    goes_on = threading.Event()

    def fit(self, x: Any, y: Any) -> "Recorder":
        with self.lock:
            Interrupting.begun += 1
            press = self.begun == 3
        if press:
            signal.raise_signal(signal.SIGINT)
        assert self.goes_on.wait(20)
        return super().fit(x, y)


def test_ctrl_c_ends_a_search(ctrl_c: None) -> None:
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals arrive in the main thread")
    search = StackedSearchCV(Interrupting(), {"number": list(range(40))}, cv=3)
    try:
        with pytest.raises(KeyboardInterrupt):
            search.fit(X, LABELS)
        assert not hasattr(search, "cv_results_") and thread_settings_are_restored()
    finally:
        Interrupting.goes_on.set()
    assert Interrupting.begun <= 6
    search.set_params(estimator=LogisticRegression(), param_grid={"C": [0.1, 1.0]}).fit(X, LABELS)
    assert search.best_score_ > 0.9
