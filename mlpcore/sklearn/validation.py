"""Looks at held-out rows after an epoch: their loss, and the score that early stopping watches."""

import copy
from collections.abc import Callable
from inspect import Parameter, signature
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import device as device_of
from sklearn.metrics import get_scorer

from mlpcore.backends.transfer import library_of
from mlpcore.layers import Sequential
from mlpcore.model import Model
from mlpcore.namespace import namespace
from mlpcore.sklearn.runtime import Runtime, in_blocks, tree_parts
from mlpcore.typing import Loss


class HeldOut(NamedTuple):
    """The rows, their encoded target, weights (None: ones) and y as a score takes it; all on the host but x."""

    x: Any
    target: np.ndarray
    weights: np.ndarray | None
    y: Any

    @classmethod
    def of(cls, problem: Any, rows: np.ndarray) -> "HeldOut":
        """Some rows of a problem."""
        weights = None if problem.weights is None else problem.weights[rows]
        return cls(_taken(problem.x, rows), problem.target[rows], weights, problem.y[rows])


def _taken(x: Any, rows: np.ndarray) -> Any:
    """Rows of a table of any library."""
    if library_of(x) in (None, "numpy"):
        return x[rows]
    xp = namespace(x)
    return xp.take(x, xp.asarray(rows, device=device_of(x)), axis=0)


def validator(
    estimator: Any, held_out: HeldOut, loss: Loss, place: Any
) -> Callable[[Model], tuple[float, float | None]]:
    """The function ``model -> (loss, score)``; the score is None where no one watches it."""
    backend, dtype = place.backend, place.dtype
    rows = held_out.x.shape[0]
    weights = np.ones(rows) if held_out.weights is None else held_out.weights
    on_device = backend.asarray(weights, dtype=backend.dtypes[dtype])
    target: Any = None

    def look(model: Model) -> tuple[float, float | None]:
        nonlocal target
        with backend.scope(dtype):
            state = model._trainer.state
            z = in_blocks(lambda x, lane: model._score(state.params, state.statistics, x), held_out.x, backend, dtype)
            if target is None:
                target = loss.prepare(backend.asarray(held_out.target), z.shape[-1], backend.dtypes[dtype])
            total = (
                loss.value_and_grad(z, target, on_device)[0] / float(weights.sum()) if weights.any() else float("nan")
            )
            value = float(backend.to_numpy(total)) if weights.any() else total
            if not estimator.early_stopping:
                return value, None
            if estimator.scoring == "loss":
                return value, -value
            if estimator.scoring is None:
                return value, estimator._score_of(loss.predict(z), held_out.y, held_out.weights)
            return value, _scored(estimator, model, held_out, place)

    return look


def _scored(estimator: Any, model: Model, held_out: HeldOut, place: Any) -> float:
    """What a scikit-learn scorer says of the estimator with the model's present parameters."""
    seen = copy.copy(estimator)
    state = model._trainer.state
    net: Sequential = model.net  # type: ignore[assignment]  # the one that `network` made
    coefs, intercepts, others = tree_parts(net, model.layout.view(state.params + 0, state.statistics))
    seen.coefs_, seen.intercepts_ = coefs, intercepts
    seen._runtime = Runtime(net, model.loss, others, place.backend, place.dtype, place.name)
    seen.n_layers_ = len(coefs) + 1
    vars(seen).pop("feature_names_in_", None)  # the rows are an array by now
    scorer = get_scorer(estimator.scoring) if isinstance(estimator.scoring, str) else estimator.scoring
    extra = {} if held_out.weights is None or not _takes_weights(scorer) else {"sample_weight": held_out.weights}
    return float(scorer(seen, held_out.x, held_out.y, **extra))


def _takes_weights(scorer: Callable) -> bool:
    """Whether sample_weight may be given beside (estimator, X, y)."""
    words = signature(scorer).parameters
    return "sample_weight" in words or any(word.kind is Parameter.VAR_KEYWORD for word in words.values())
