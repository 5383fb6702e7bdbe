"""StackedSearchCV: scikit-learn's searches for arguments, by default with all fits side by side in one process."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
from joblib import effective_n_jobs, parallel_config
from joblib.parallel import get_active_backend
from sklearn import get_config
from sklearn.base import clone
from sklearn.model_selection import (
    GridSearchCV,
    ParameterGrid,
    ParameterSampler,
    RandomizedSearchCV,
    cross_val_predict,
)
from sklearn.utils._param_validation import Interval, StrOptions

from mlpcore.backends import get_backend
from mlpcore.backends.choice import AUTO, may_leave_host
from mlpcore.backends.transfer import library_of
from mlpcore.sklearn.grids import backends_of, backends_of_grid, listed
from mlpcore.sklearn.halving import best_of_last_stage, check_constant_splits, halve

HOST = "numpy"
CONSTRAINTS = {
    **GridSearchCV._parameter_constraints,
    "n_iter": [Interval(Integral, 1, None, closed="left"), None],
    "halving": [Interval(Integral, 2, None, closed="left"), None],
    "out_of_fold": [StrOptions({"predict", "predict_proba", "predict_log_proba"}), None],
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
    halving: A number, such as 3, for successive halving: all candidates train for few epochs, and that part of them
        with the best scores goes on to a stage of as many times the epochs, up to ``max_iter`` of the estimator. The
        fits of a stage start anew, as in scikit-learn's `HalvingGridSearchCV`; ``cv_results_`` has the rows of all
        stages, with their number under ``iter`` and ``max_iter`` under ``n_resources``. The best candidate is one of
        the last stage. None: all candidates train for ``max_iter`` epochs.
    out_of_fold: "predict", "predict_proba" or "predict_log_proba": the attribute ``out_of_fold_prediction_`` then has
        what this method of the best candidate returns for every row when trained on the folds without it, as
        scikit-learn's `cross_val_predict`. The splits must hold out each row once. It takes a fit more for each split.
    scoring, refit, cv, verbose, pre_dispatch, error_score, return_train_score: As in scikit-learn. With ``halving`` or
        ``out_of_fold``, which need the same splits twice, a ``cv`` that shuffles needs an integer as random_state.
    n_jobs: The number of threads; None for as many as a step may use (``MLPCORE_NUM_THREADS``), 1 for one fit after
        the other, each with all threads. Within `joblib.parallel_config` the fits run in the processes of that engine,
        such as "loky" or "dask", and ``n_jobs`` is their number, as in `GridSearchCV`; the results are the same.
    random_state: The seed, or a `RandomState`, with which candidates are drawn where there is ``n_iter``.

    On any other backend than NumPy (a GPU, PyTorch, JAX), and if X is an array of another library, the fits of one
    process run one after the other, whatever ``n_jobs`` is: one fit fills the device, and switches of the library are
    the process's. So do those with ``backend="auto"`` where ``mlpcore crossover`` has found that a GPU may pay.

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
    cv_results_: dict[str, Any]
    best_params_: dict[str, Any]
    best_score_: float
    best_estimator_: Any

    def __init__(
        self,
        estimator: Any,
        param_grid: Any,
        *,
        n_iter: int | None = None,
        halving: Any = None,
        out_of_fold: Any = None,
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: bool | str | Callable[..., int] = True,
        cv: Any = None,
        verbose: int = 0,
        pre_dispatch: int | str = "2*n_jobs",
        random_state: Any = None,
        error_score: float | str = np.nan,
        return_train_score: bool = False,
    ) -> None:
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
        self.halving = halving
        self.out_of_fold = out_of_fold
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, **params: Any) -> "StackedSearchCV":
        """Fit and score all candidates on all folds, and the best one on all rows; returns the search.

        X (n, features) and y (n,) or (n, outputs) are those of the estimator. ``params`` are passed on as in
        `GridSearchCV`: ``groups`` to the splitter, the others, such as ``sample_weight``, to the estimator's ``fit``,
        where arrays of length n are split like X; with metadata routing, to those who request them.

        ValueError for arguments that cannot be used, and where all fits fail. A fit that fails gets ``error_score`` and
        causes a `FitFailedWarning`; with ``error_score="raise"`` its error is raised.
        """
        for name in ("halving", "out_of_fold"):
            if getattr(self, name) is not None:
                check_constant_splits(self.cv, name)
        with parallel_config(**self._engine(X)):
            super().fit(X, y, **params)
            self.__dict__.pop("out_of_fold_prediction_", None)
            if self.out_of_fold is not None:
                self.out_of_fold_prediction_ = self._out_of_fold(X, y, params)
        return self

    def score(self, X: Any, y: Any = None, **params: Any) -> float:
        """The score of the best estimator on X, by ``scorer_[refit]`` or ``scorer_``."""
        return float(super().score(X, y, **params))

    def _out_of_fold(self, X: Any, y: Any, params: dict[str, Any]) -> np.ndarray:
        """The predictions of the best candidate for every row by the fit of the split that holds it out."""
        if not hasattr(self, "best_params_"):
            raise ValueError("StackedSearchCV: out_of_fold needs a best candidate; with several metrics, set refit")
        best, groups = clone(self.estimator).set_params(**clone(self.best_params_, safe=False)), None
        if not get_config()["enable_metadata_routing"]:
            groups = params.pop("groups", None)
        words = {"cv": self.cv, "n_jobs": self.n_jobs, "pre_dispatch": self.pre_dispatch, "method": self.out_of_fold}
        with self._one_thread():
            return cross_val_predict(best, X, y, groups=groups, params=params, **words)

    @property
    def param_distributions(self) -> Any:
        """``param_grid``, by its name in `RandomizedSearchCV`."""
        return self.param_grid

    def _run_search(self, evaluate_candidates: Any, *, callback_ctx: Any = None) -> None:
        self._check_distributions()
        with self._one_thread():
            if self.halving is not None:
                candidates = [*(ParameterGrid(self.param_grid) if self.n_iter is None else self._drawn())]
                metric = f"mean_test_{self.refit if isinstance(self.refit, str) else 'score'}"
                halve(candidates, self.estimator, self.halving, metric, evaluate_candidates)
            else:
                search = GridSearchCV if self.n_iter is None else RandomizedSearchCV
                extra = {} if callback_ctx is None else {"callback_ctx": callback_ctx}  # scikit-learn 1.9 and later
                search._run_search(self, evaluate_candidates, **extra)

    def _drawn(self) -> ParameterSampler:
        """The candidates, drawn from the distributions."""
        return ParameterSampler(self.param_grid, self.n_iter, random_state=self.random_state)

    def _select_best_index(self, refit: Any, refit_metric: str, results: dict[str, Any]) -> int:
        """The best candidate, of the last stage where there are several; a ``refit`` function sees all stages."""
        select = partial(GridSearchCV._select_best_index, refit, refit_metric)
        return select(results) if self.halving is None or callable(refit) else best_of_last_stage(results, select)

    @contextmanager
    def _one_thread(self) -> Iterator[None]:
        """The context of fits on several threads: compiled code uses one each."""
        several = effective_n_jobs(self.n_jobs) > 1
        # scikit-learn sets Python's warning filters in every thread. They are the process's, so that threads may leave
        # those of another behind.
        with get_backend(HOST).compile.one_thread() if several else nullcontext(), warnings.catch_warnings():
            yield

    def _check_distributions(self) -> None:
        """ValueError for a distribution without ``n_iter``."""
        for grid in listed(self.param_grid) if self.n_iter is None else ():
            for name, values in grid.items() if isinstance(grid, dict) else ():
                if hasattr(values, "rvs"):
                    raise ValueError(
                        f"StackedSearchCV: param_grid[{name!r}] is a distribution ({type(values).__name__}), expected "
                        "a list of values; to draw candidates, set n_iter to their number"
                    )

    def _engine(self, X: Any) -> dict[str, Any]:
        """The arguments of `joblib.parallel_config`.

        None where an engine of processes is set, or where this is a job of an engine: the fits of a search in a search
        run one after the other.
        """
        with parallel_config(prefer="threads"):  # what joblib takes where no engine is set
            engine, _ = get_active_backend()
            jobs = effective_n_jobs(None)
        if engine.nesting_level or not getattr(engine, "supports_sharedmem", False):
            return {}
        names = {*backends_of(self.estimator), *backends_of_grid(self.param_grid)}
        if names <= {HOST, AUTO} and library_of(X) in (None, HOST) and not (AUTO in names and may_leave_host()):
            return {"backend": "threading", "n_jobs": jobs if jobs > 1 else get_backend(HOST).compile.threads()}
        return {"backend": "sequential"}
