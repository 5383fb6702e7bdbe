"""Successive halving: all candidates of a search train for few epochs, the better ones for more."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from mlpcore.sklearn.base import BaseMLP


def halve(
    candidates: Sequence[dict[str, Any]], estimator: Any, factor: int, metric: str, evaluate: Callable[..., Any]
) -> None:
    """Evaluate the candidates in stages: of n there remain the ``ceil(n / factor)`` best for the next stage.

    The last stage has the estimator's ``max_iter``, each one before it the ``factor``-th part of the next, and as many
    stages as the candidates need or ``max_iter`` allows. ``evaluate(candidates, more_results=...)`` returns the
    results of all stages so far, and ``metric`` names the score. Equal scores are kept in the order of the candidates,
    and candidates whose fits failed come last.

    Source: Jamieson & Talwalkar (2016), "Non-stochastic best arm identification and hyperparameter optimization".
    """
    argument = _argument(estimator)
    if any(argument in candidate for candidate in candidates):
        raise ValueError(f"StackedSearchCV: halving sets {argument}, expected param_grid without it")
    for stage, max_iter in enumerate(iterations(len(candidates), factor, estimator.get_params()[argument])):
        count = len(candidates)
        about = {"iter": [stage] * count, "n_resources": [max_iter] * count}
        results = evaluate([candidate | {argument: max_iter} for candidate in candidates], more_results=about)
        if metric not in results:
            raise ValueError("StackedSearchCV: halving with several metrics needs the name of one of them as refit")
        best_first = np.argsort(-results[metric][-count:], kind="stable")  # NaN comes last
        candidates = [candidates[i] for i in sorted(best_first[: -(-count // factor)])]


def iterations(candidates: int, factor: int, most: int) -> list[int]:
    """``max_iter`` of every stage: the last has ``most``, the first one at least 1."""
    stages = [most]
    while candidates >= factor and stages[0] >= factor:
        candidates, stages = -(-candidates // factor), [most // factor ** len(stages), *stages]
    return stages


def best_of_last_stage(results: dict[str, Any], select: Callable[[dict[str, Any]], int]) -> int:
    """The index in the results of what ``select`` chooses among the candidates of the last stage."""
    last = np.flatnonzero(results["iter"] == np.max(results["iter"]))
    return int(last[select({name: np.asarray(values)[last] for name, values in results.items()})])


def _argument(estimator: Any) -> str:
    """The name of the argument ``max_iter`` of the estimator, or of the last step of a pipeline."""
    prefix, last = "", estimator
    while isinstance(last, Pipeline):
        step, last = last.steps[-1]
        prefix += f"{step}__"
    if not isinstance(last, BaseMLP):
        raise ValueError(
            f"StackedSearchCV: halving needs an MLPClassifier, an MLPRegressor or a Pipeline that ends with one, got "
            f"{type(last).__name__}; for other estimators see scikit-learn's HalvingGridSearchCV"
        )
    return f"{prefix}max_iter"


def check_constant_splits(cv: Any, wanted: str) -> None:
    """ValueError unless ``cv``, the argument of a search, gives the same splits in every call."""
    if hasattr(cv, "__next__"):
        raise ValueError(f"StackedSearchCV: {wanted} uses the splits twice, got an iterator as cv; use list(cv)")
    if getattr(cv, "shuffle", hasattr(cv, "random_state")) and not isinstance(getattr(cv, "random_state", 0), int):
        raise ValueError(
            f"StackedSearchCV: {wanted} needs the same splits each time, got {cv!r}; set its random_state to an integer"
        )
