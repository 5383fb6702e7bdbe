"""Ensembles: with ``n_members > 1`` an estimator trains several networks on the same data and averages predictions.

Source: Lakshminarayanan, Pritzel & Blundell (2017), "Simple and scalable predictive uncertainty estimation using deep
ensembles"; for ``bootstrap`` Breiman (1996), "Bagging predictors".
"""

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from contextvars import copy_context
from functools import partial
from typing import Any

import numpy as np
from sklearn import config_context, get_config
from sklearn.base import clone
from sklearn.utils import check_random_state

from mlpcore.backends.backend import Backend
from mlpcore.errors import MlpcoreWarning
from mlpcore.sklearn.fitting import fit
from mlpcore.sklearn.problem import DeviceAndDtype, Problem, weights_or_ones
from mlpcore.sklearn.unseen import unseen_predictions
from mlpcore.sklearn.warm_start import rollback
from mlpcore.training.interruption import Interruption

# Attributes that only an ensemble has, and those that only a network has.
OF_ENSEMBLES = ("estimators_", "oob_score_", "oob_prediction_", "oob_decision_function_", "_bootstrapped_rows")
_OF_NETWORKS = ("coefs_", "intercepts_", "loss_", "t_", "_optimizer", "_no_improvement_count")
# What the estimator knows of the data, and its members too.
_OF_DATA = ("n_features_in_", "feature_names_in_", "classes_", "_labels", "n_outputs_", "out_activation_")


def check_arguments(estimator: Any, *, first: bool, once: bool) -> None:
    """ValueError for arguments of an ensemble that cannot be combined, or that a continued fit cannot change."""
    members = estimator.n_members
    if isinstance(members, bool):
        raise ValueError(f"n_members is {members!r}, expected an integer of 1 or more")
    if estimator.bootstrap and members == 1:
        raise ValueError("bootstrap=True needs n_members of 2 or more, got 1")
    if estimator.oob_score and not estimator.bootstrap:
        raise ValueError(
            "oob_score=True needs bootstrap=True, without which every member is trained on all rows; set both"
        )
    if estimator.bootstrap and once:
        raise ValueError("partial_fit cannot be used with bootstrap=True, which draws the rows of a whole fit; use fit")
    fitted = len(getattr(estimator, "estimators_", (estimator,)))
    if not first and members != fitted:
        raise ValueError(
            f"n_members is {members}, but the fit that warm_start and partial_fit continue had {fitted}; fit with "
            "warm_start=False, or a clone of the estimator"
        )


def fit_members(estimator: Any, problem: Problem, place: DeviceAndDtype, *, first: bool, once: bool) -> dict[str, Any]:
    """Train all members; returns the fitted attributes of the ensemble by name. The arguments are those of `fit`."""
    members = _members(estimator, first)
    rows, problems = problem.x.shape[0], [problem] * len(members)
    if estimator.bootstrap:
        problems = [_bootstrapped(problem, member.random_state) for member in members]
    of_data = {name: value for name, value in vars(estimator).items() if name in _OF_DATA}
    with ExitStack() as rollbacks:
        for member in members:
            vars(member).update(of_data)
            before = None if first else getattr(member, "_optimizer", None)
            rollbacks.enter_context(rollback(before, draws_too=True))
        jobs = [
            partial(fit, member, of_member, place, first=first, once=once)
            for member, of_member in zip(members, problems, strict=True)
        ]
        results = _side_by_side(jobs, place.backend)
        for member, of_member, attributes in zip(members, problems, results, strict=True):
            vars(member).update(attributes)
            member._calibrate(of_member)
    if first:
        for name in _OF_NETWORKS:
            vars(estimator).pop(name, None)
    of_ensemble: dict[str, Any] = {
        "estimators_": members,
        "n_iter_": max(member.n_iter_ for member in members),
        "n_layers_": members[0].n_layers_,
        "_predictor": members[0]._predictor,  # for its loss and the library of X, which all members share
    }
    if estimator.bootstrap:
        of_ensemble["_bootstrapped_rows"] = rows
    return of_ensemble | (_out_of_bag(estimator, members, problem) if estimator.oob_score else {})


def _members(estimator: Any, first: bool) -> list[Any]:
    """Clones with the present arguments: new ones with seeds of their own, or with the fitted state of the members."""
    if first:
        random = check_random_state(estimator.random_state)
        seeds = [int(random.randint(np.iinfo(np.int32).max)) for _ in range(estimator.n_members)]
    else:
        seeds = [member.random_state for member in estimator.estimators_]
    alone = {"n_members": 1, "bootstrap": False, "oob_score": False}
    members = [clone(estimator).set_params(random_state=seed, **alone) for seed in seeds]
    for i, member in enumerate(members):
        member.progress = estimator.progress and i == 0  # one progress line, not several at once
        if hasattr(member, "set_callbacks"):
            member.set_callbacks()  # scikit-learn's are called for the fit of the ensemble
        if not first:
            arguments, fitted = member.get_params(deep=False), vars(estimator.estimators_[i])
            vars(member).update({name: value for name, value in fitted.items() if name not in arguments})
    return members


def _side_by_side(jobs: Sequence[Callable[[], Any]], backend: Backend) -> list[Any]:
    """The results of all jobs: on NumPy on as many threads as there are cores, else one after the other.

    An error of a job is raised once the jobs that had begun have ended; no other begins. Ctrl-C ends all trainings
    after a step, and then raises KeyboardInterrupt.
    """
    config, failed = get_config(), list[BaseException]()

    def run(job: Callable[[], Any]) -> Any:
        if interruption or failed:
            return None
        try:
            with config_context(**config):  # scikit-learn's configuration is one for each thread
                return job()
        except BaseException as error:
            failed.append(error)
            return None

    with Interruption().shared() as interruption:
        workers = min(len(jobs), backend.compile.threads())
        if workers == 1:
            results = [run(job) for job in jobs]
        else:
            with backend.compile.one_thread(), ThreadPoolExecutor(workers, "mlpcore-member") as pool:
                futures = [pool.submit(copy_context().run, run, job) for job in jobs]
            results = [future.result() for future in futures]
    if failed:
        raise failed[0]
    if interruption:
        raise KeyboardInterrupt
    return results


def bootstrap_rows(seed: int, rows: int) -> np.ndarray:
    """``rows`` row numbers drawn with replacement, (rows,).

    The numbers are not those that scikit-learn would draw from the same seed, as a member draws its initial weights
    from them.
    """
    return np.random.default_rng((seed, 1)).integers(rows, size=rows)


def samples(estimator: Any) -> list[np.ndarray]:
    """The rows that each member has drawn; AttributeError without ``bootstrap``."""
    rows = vars(estimator).get("_bootstrapped_rows")
    if rows is None:
        raise AttributeError("estimators_samples_ needs an ensemble that was fitted with bootstrap=True")
    return [bootstrap_rows(member.random_state, rows) for member in estimator.estimators_]


def _bootstrapped(problem: Problem, seed: int) -> Problem:
    """The problem with the weights of its rows, or of their entries, multiplied by how often each row was drawn."""
    rows, weights = problem.x.shape[0], weights_or_ones(problem)
    counts = np.bincount(bootstrap_rows(seed, rows), minlength=rows)
    weights = weights * (counts if weights.ndim == 1 else counts[:, None])
    if not weights.any():
        raise ValueError("bootstrap=True drew no row with a weight above 0 for a member; drop the rows of weight 0")
    return problem._replace(weights=weights)


def _out_of_bag(estimator: Any, members: Sequence[Any], problem: Problem) -> dict[str, Any]:
    """The out-of-bag predictions and their score, by name."""
    rows = problem.x.shape[0]
    unseen = [np.setdiff1d(np.arange(rows), bootstrap_rows(member.random_state, rows)) for member in members]
    prediction = unseen_predictions(members, problem, unseen)
    known = ~np.isnan(prediction).any(axis=1)
    if not known.all():
        warnings.warn(
            f"every member has drawn {np.sum(~known)} of the {rows} rows, whose out-of-bag predictions are NaN and do "
            "not count in oob_score_; more members leave fewer such rows",
            MlpcoreWarning,
            stacklevel=5,
        )
    return estimator._out_of_bag(prediction, problem.y, known)
