"""Loss and score of held-out rows after an epoch."""

import copy
import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import device as device_of
from sklearn.exceptions import UndefinedMetricWarning

from mlpcore.backends.transfer import library_of
from mlpcore.layers import Sequential
from mlpcore.model import Model
from mlpcore.namespace import namespace
from mlpcore.numerics import weights_of_rows
from mlpcore.sklearn.gaps import has_gaps
from mlpcore.sklearn.predictor import Predictor, in_blocks, tree_parts
from mlpcore.sklearn.scoring import score, scorer_of
from mlpcore.typing import Array, Loss

NO_SCORE = (
    "the score of early stopping (scoring={0!r}) is {2} on the {1} rows held out: an epoch with such a score is never "
    "the best one and does not end training; choose another score, or pass other rows as validation_data"
)


class HeldOut(NamedTuple):
    """Held-out rows: x, encoded target, weights of rows or entries (None: ones), and y as passed to scorers; all but x
    on the host."""

    x: Any
    target: np.ndarray
    weights: np.ndarray | None
    y: Any

    @classmethod
    def of(cls, problem: Any, rows: np.ndarray) -> "HeldOut":
        """The rows of a problem with the numbers ``rows``."""
        weights = None if problem.weights is None else problem.weights[rows]
        return cls(_take_rows(problem.x, rows), problem.target[rows], weights, problem.y[rows])

    def without_gaps(self, scoring: Any) -> "HeldOut":
        """The rows without a gap in y, with row weights, for a scorer; ValueError if there is none."""
        held_out = self if self.weights is None else self._replace(weights=weights_of_rows(self.weights))
        if not has_gaps(self.y):
            return held_out
        rows = np.flatnonzero(~np.any(np.isnan(self.y.reshape(self.y.shape[0], -1)), axis=1))
        if not rows.size:
            raise ValueError(
                f"scoring={scoring!r} needs rows without gaps in y, and none of the {self.y.shape[0]} rows held out is "
                "one; expected None or 'loss'"
            )
        return HeldOut.of(held_out, rows)


def _take_rows(x: Any, rows: np.ndarray) -> Any:
    """The rows with the numbers ``rows`` of a table of any library."""
    if library_of(x) in (None, "numpy"):
        return x[rows]
    xp = namespace(x)
    return xp.take(x, xp.asarray(rows, device=device_of(x)), axis=0)


def validator(
    estimator: Any, held_out: HeldOut, loss: Loss, place: Any
) -> Callable[[Model], tuple[float, float | None]]:
    """A function ``validate(model) -> (loss, score)`` on the held-out rows; the score is None without early stopping.

    The first score that is NaN or negative infinity causes an UndefinedMetricWarning.
    """
    backend, dtype = place.backend, place.dtype
    rows = held_out.x.shape[0]
    weights = np.ones(rows) if held_out.weights is None else held_out.weights
    whole = float(weights_of_rows(weights).sum())
    on_device = backend.asarray(weights, dtype=backend.dtypes[dtype])
    uses_scorer = estimator.early_stopping and estimator.scoring not in (None, "loss")
    scored = held_out.without_gaps(estimator.scoring) if uses_scorer else held_out
    scorer = scorer_of(estimator, scored.y, scored.weights) if uses_scorer else None
    target: Any = None
    warned = False

    def score_of(model: Model, z: Array, loss_value: float) -> float:
        if scorer is not None:
            if not bool(backend.xp.all(backend.xp.isfinite(z))):
                return math.nan
            return score(scorer, _snapshot(estimator, model, place), scored.x, scored.y, scored.weights)
        if estimator.scoring == "loss":
            return -loss_value
        return estimator._score_of(loss.predict(z), held_out.y, held_out.weights)

    def validate(model: Model) -> tuple[float, float | None]:
        nonlocal target, warned
        with backend.scope(dtype):
            z = in_blocks(model.trainer.score, held_out.x, backend, dtype)
            if target is None:
                target = loss.prepare(backend.asarray(held_out.target), z.shape[-1], backend.dtypes[dtype])
            total = loss.value_and_grad(z, target, on_device)[0] / whole if weights.any() else float("nan")
            value = float(backend.to_numpy(total)) if weights.any() else total
            if not estimator.early_stopping:
                return value, None
            score_value = score_of(model, z, value)
        if not warned and not score_value > -math.inf:
            warned = True
            warnings.warn(NO_SCORE.format(estimator.scoring, rows, score_value), UndefinedMetricWarning, stacklevel=7)
        return value, score_value

    return validate


def _snapshot(estimator: Any, model: Model, place: Any) -> Any:
    """A copy of the estimator with the model's current parameters, for a scorer."""
    snapshot = copy.copy(estimator)
    state = model.trainer.state
    net: Sequential = model.net  # type: ignore[assignment]  # the one that `network` made
    coefs, intercepts, other_params = tree_parts(net, model.layout.view(state.params + 0, state.statistics))
    snapshot.coefs_, snapshot.intercepts_ = coefs, intercepts
    snapshot._predictor = Predictor(
        *(net, model.loss, other_params, place.backend, place.dtype, place.name), model.compiled
    )
    snapshot.n_layers_ = len(coefs) + 1
    vars(snapshot).pop("feature_names_in_", None)  # the held-out rows are an array without column names
    return snapshot
