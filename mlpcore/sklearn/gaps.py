"""Targets of a regressor with gaps: their replacement for the fit, and the R2 of the observed entries."""

from typing import Any

import numpy as np
from scipy.sparse import issparse

from mlpcore.backends.transfer import to_host
from mlpcore.scores import r2
from mlpcore.sklearn.casts import is_foreign, of_numbers
from mlpcore.training import frames
from mlpcore.training.missing import without_gaps


def without_missing(y: Any) -> tuple[Any, np.ndarray | None]:
    """y on the host with a number in place of each gap (None, NaN, pandas' NA), and the mask (n, c) of the other
    entries, or None if there is no gap; see `mlpcore.training.missing.without_gaps`. Objects that are no tables of
    numbers are left to scikit-learn's checks.
    """
    if y is None or issparse(y):
        return y, None
    y = frames.readable("y", to_host(y) if is_foreign(y) else y)
    columns = frames.columns_of(y)
    y = of_numbers("y", y if columns else _with_nan(y))
    try:
        array = _with_nan(frames.numbers(y, columns))
    except ValueError:  # no rectangle
        return y, None
    return without_gaps(array.astype(np.float64) if array.dtype == object else array)


def with_gaps(y: np.ndarray, observed: np.ndarray | None) -> np.ndarray:
    """The targets (n,) or (n, c) with NaN where nothing was observed."""
    return y if observed is None else np.where(observed.reshape(y.shape), y, np.nan)


def has_gaps(y: Any) -> bool:
    """Whether the targets of a fit have NaN."""
    return isinstance(y, np.ndarray) and y.dtype.kind == "f" and bool(np.any(np.isnan(y)))


def r2_of_observed(y: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None) -> float:
    """The mean over the columns of R2 on the rows that have a target there, and a weight: (n,) of rows, or (n, c).

    Columns with fewer than two such rows are left out; NaN if there is no other.
    """
    targets, predictions = y.reshape(y.shape[0], -1), predicted.reshape(y.shape[0], -1)
    weights = np.ones(y.shape[0]) if weights is None else weights
    weights = np.broadcast_to(weights if weights.ndim == 2 else weights[:, None], targets.shape)
    scores = []
    for column in range(targets.shape[1]):
        rows = np.flatnonzero(~np.isnan(targets[:, column]) & (weights[:, column] > 0))
        if rows.size >= 2:
            at = rows, column
            scores.append(r2(targets[at], predictions[at], weights[at]))
    return float(np.mean(scores)) if scores else float("nan")


def _with_nan(y: Any) -> Any:
    """An array of objects with NaN in place of missing ones; anything else unchanged."""
    if isinstance(y, np.ma.MaskedArray):
        return y
    try:
        entries = np.asarray(y)
    except (ValueError, TypeError):  # no rectangle, or dates beside numbers
        return y
    if entries.dtype != object or not entries.ndim:
        return y
    return np.where(frames.missing(entries), np.nan, entries)
