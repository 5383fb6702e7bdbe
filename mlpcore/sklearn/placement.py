"""``backend="auto"`` of estimators for rows on the host: NumPy, or the GPU for fits that should be faster there."""

from itertools import pairwise
from typing import Any

from scipy.sparse import issparse

from mlpcore.backends.choice import AUTO, Choice, Work, choose
from mlpcore.backends.choice.measurement import STEP
from mlpcore.errors import BackendUnavailable
from mlpcore.sklearn import translation
from mlpcore.sklearn.casts import is_foreign
from mlpcore.sklearn.combining import networks
from mlpcore.sklearn.constraints import FULL_BATCH
from mlpcore.sklearn.predictor import on_host
from mlpcore.sklearn.problem import Problem


def automatic(estimator: Any, X: Any, problem: Problem, dtype: str, *, first: bool) -> Choice | None:
    """The choice for a fit; None where the estimator or X names the backend.

    "auto" is the default, so that without a measurement of this machine it is NumPy, without a warning. A continued fit
    keeps the choice of the fit before.
    """
    if estimator.backend != AUTO or estimator.device is not None or is_foreign(X):
        return None
    if estimator.solver == FULL_BATCH:
        return Choice("numpy", "lbfgs is SciPy's there")
    if issparse(problem.x):
        return Choice("numpy", "X is sparse")
    before = None if first else getattr(estimator, "backend_choice_", None)
    if before is not None and _can_open(before):
        return before
    rows = problem.x.shape[0]
    batch = min(200 if estimator.batch_size == "auto" else int(estimator.batch_size), rows)
    widths = [problem.x.shape[1], *translation.hidden_sizes(estimator), problem.loss.outputs(problem.targets)]
    flops = sum(2 * n_in * n_out for n_in, n_out in pairwise(widths))
    return choose(Work.of(STEP, flops, batch, dtype), measured_only=True)


def _can_open(choice: Choice) -> bool:
    """Whether the backend of an earlier fit is here; an unpickled estimator may have come from another machine."""
    try:
        choice.open()
    except BackendUnavailable:
        return False
    return True


def record(estimator: Any, choice: Choice | None) -> None:
    """Set ``backend_choice_`` of an estimator and of its members; remove it where nothing was chosen."""
    for one in (estimator, *networks(estimator)):
        vars(one).pop("backend_choice_", None)
        if choice is not None:
            one.backend_choice_ = choice


def bring_to_host(estimator: Any) -> None:
    """Move the fitted networks to NumPy, so that an estimator is the same wherever "auto" has trained it."""
    for network in networks(estimator):
        for name in ("coefs_", "intercepts_"):
            setattr(network, name, list(on_host(tuple(getattr(network, name)))))
        network._predictor = network._predictor.on_numpy()
    estimator._predictor = networks(estimator)[0]._predictor
