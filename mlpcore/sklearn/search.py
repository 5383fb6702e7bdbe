"""StackedSearchCV: scikit-learn's searches for arguments, with all fits of all folds side by side in one process."""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from numbers import Integral
from typing import Any

import numpy as np
from joblib import effective_n_jobs, parallel_config
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.utils._param_validation import Interval

from mlpcore.backends import get_backend
from mlpcore.backends.backend import Backend
from mlpcore.backends.transfer import library_of
from mlpcore.sklearn.base import BaseMLP

HOST = "numpy"
CONSTRAINTS = {
    **GridSearchCV._parameter_constraints,
    "n_iter": [Interval(Integral, 1, None, closed="left"), None],
    "random_state": ["random_state"],
}


class StackedSearchCV(GridSearchCV):
    """A grid or random search with cross-validation whose fits run side by side on the threads of one process.

    The arguments, the methods and the fitted attributes (``cv_results_``, ``best_estimator_``, ``best_score_``,
    ``best_params_``, ``best_index_``, ``scorer_``, ``n_splits_``, ``refit_time_``, ``multimetric_``) are those of
    scikit-learn's `GridSearchCV`, or with ``n_iter`` of its `RandomizedSearchCV`, and so are the scores. Compiled steps
    use one thread each and release Python's lock: nothing is pickled, the threads read one X, the fits of a candidate
    share its traced step, and candidates that differ in numbers only share the compiled code. The last fit, that of
    ``best_estimator_``, uses all threads.

    estimator: `MLPClassifier`, `MLPRegressor`, a `Pipeline` with one of them, which is fitted in every fold, or any
        estimator of scikit-learn. Estimators that hold Python's lock gain no time.
    param_grid: A dict of argument name to a list of values, or a list of such dicts. With ``n_iter``, distributions may
        take the place of lists: objects with a method ``rvs``, such as those of `scipy.stats`.
    n_iter: The number of candidates that are drawn from ``param_grid``; None for all its combinations.
    scoring, refit, cv, verbose, pre_dispatch, error_score, return_train_score: As in scikit-learn.
    n_jobs: The number of threads; None for as many as the cores (``MLPCORE_NUM_THREADS``), 1 for one fit after the
        other, each with all threads. A surrounding `joblib.parallel_config` is not heeded.
    random_state: The seed, or a `RandomState`, with which candidates are drawn where there is ``n_iter``.

    On any other backend than NumPy (a GPU, PyTorch, JAX), and if X is an array of another library, the fits run one
    after the other, whatever ``n_jobs`` is: one fit fills the device, and switches of the library are the process's.

    Many short fits pay for a compilation that one of them would not: ``compile=True`` of our estimators prints C, where
    "auto" may choose NumPy calls, which hold Python's lock. Where the steps of an epoch take less than a millisecond,
    threads wait for the lock most of the time, and `GridSearchCV` with ``n_jobs`` processes may be faster.

    An estimator whose ``random_state`` is an integer or a `RandomState` gets the same numbers in every fit, as each has
    a copy. With None, all fits draw from NumPy's global random numbers, in an order that depends on the threads. Ctrl-C
    ends a search with several threads with KeyboardInterrupt; fits that have begun run on in the background. With one
    thread it ends the running fit, as in `GridSearchCV`. Before Python 3.14 the filters of warnings are the process's:
    a warning that is to be ignored may in rare cases be shown.

    >>> from mlpcore.sklearn import MLPClassifier, StackedSearchCV
    >>> X = [[i / 30] for i in range(30)]
    >>> y = ["high" if row > [0.5] else "low" for row in X]
    >>> net = MLPClassifier(4, solver="lbfgs", random_state=0)
    >>> search = StackedSearchCV(net, {"alpha": [0.0001, 1000.0]}, cv=3).fit(X, y)
    >>> search.best_params_, search.cv_results_["rank_test_score"].tolist()
    ({'alpha': 0.0001}, [1, 2])
    """

    _parameter_constraints: dict = CONSTRAINTS

    def __init__(
        self,
        estimator,
        param_grid,
        *,
        n_iter=None,
        scoring=None,
        n_jobs=None,
        refit=True,
        cv=None,
        verbose=0,
        pre_dispatch="2*n_jobs",
        random_state=None,
        error_score=np.nan,
        return_train_score=False,
    ):
        super().__init__(
            estimator,
            param_grid,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.n_iter = n_iter
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, **params: Any) -> "StackedSearchCV":
        """Fit and score all candidates on all folds, and the best one on all rows; returns the search.

        X (n, features) and y (n,) or (n, outputs) are those of the estimator. ``params`` are passed on as in
        `GridSearchCV`: ``groups`` to the splitter, the others, such as ``sample_weight``, to the estimator's ``fit``,
        where arrays of length n are split like X; with metadata routing, to those who request them.

        ValueError for arguments that cannot be used, and where all fits fail. A fit that fails gets ``error_score`` and
        causes a `FitFailedWarning`; with ``error_score="raise"`` its error is raised.
        """
        with parallel_config(**self._threads(X)):
            return super().fit(X, y, **params)

    @property
    def param_distributions(self) -> Any:
        """``param_grid``, by its name in `RandomizedSearchCV`."""
        return self.param_grid

    def _run_search(self, evaluate_candidates: Any, *, callback_ctx: Any = None) -> None:
        self._check_distributions()
        search = GridSearchCV if self.n_iter is None else RandomizedSearchCV
        extra = {} if callback_ctx is None else {"callback_ctx": callback_ctx}  # scikit-learn 1.9 and later
        several = effective_n_jobs(self.n_jobs) > 1
        # scikit-learn sets Python's warning filters in every thread. They are the process's, so that threads may leave
        # those of another behind.
        with get_backend(HOST).compile.one_thread() if several else nullcontext(), warnings.catch_warnings():
            search._run_search(self, evaluate_candidates, **extra)

    def _check_distributions(self) -> None:
        """ValueError for a distribution without ``n_iter``."""
        for grid in _listed(self.param_grid) if self.n_iter is None else ():
            for name, values in grid.items() if isinstance(grid, dict) else ():
                if hasattr(values, "rvs"):
                    raise ValueError(
                        f"StackedSearchCV: param_grid[{name!r}] is a distribution ({type(values).__name__}), expected "
                        "a list of values; to draw candidates, set n_iter to their number"
                    )

    def _threads(self, X: Any) -> dict[str, Any]:
        """The arguments of `joblib.parallel_config`."""
        names = {*_backends(self.estimator), *_backends_of(self.param_grid)} - {"auto"}
        if names <= {HOST} and library_of(X) in (None, HOST):
            return {"backend": "threading", "n_jobs": get_backend(HOST).compile.threads()}
        return {"backend": "sequential"}


def _listed(param_grid: Any) -> list[Any]:
    """The dicts of a grid; none of another object, which scikit-learn refuses."""
    return [param_grid] if isinstance(param_grid, dict) else param_grid if isinstance(param_grid, list) else []


def _backends_of(param_grid: Any) -> Iterator[str]:
    """Yield the backends that the values of a grid name."""
    for grid in _listed(param_grid):
        for name, values in grid.items() if isinstance(grid, dict) else ():
            listed = values if isinstance(values, Iterable) and not isinstance(values, str) else ()
            for value in listed:
                if name.rpartition("__")[2] == "backend":
                    yield from _named(value)
                yield from _backends(value)


def _backends(estimator: Any) -> Iterator[str]:
    """Yield the backends of the estimators of this library in ``estimator``."""
    if isinstance(estimator, type) or not hasattr(estimator, "get_params"):
        return
    for part in (estimator, *estimator.get_params(deep=True).values()):
        if isinstance(part, BaseMLP):
            yield from _named(part.backend)


def _named(backend: Any) -> Iterator[str]:
    """Yield the name of a backend; nothing for another object, which the estimator refuses."""
    if isinstance(backend, (str, Backend)):
        yield backend if isinstance(backend, str) else backend.name
