"""Weights of rows and of entries: checks of ``sample_weight``, gaps in y, and the product with class weights."""

import math
from typing import Any

import numpy as np

from mlpcore.backends.transfer import to_host
from mlpcore.configuration import plain
from mlpcore.errors import DataError
from mlpcore.numerics import weights_of_rows
from mlpcore.training.missing import takes_entries
from mlpcore.training.reading import read_array
from mlpcore.typing import Array, Loss


def sample_weights(sample_weight: Any, rows: int, dtype: str, columns: int | None = None) -> np.ndarray:
    """Weights as a float64 host array: finite, not negative, not all zero; ones where none are given.

    They are weights of rows (n,), or of the entries of the target (n, columns) if ``columns`` is a number; those that
    are equal along each row are returned as row weights. DataError otherwise, and if rounded to ``dtype`` all weights
    are zero or their sum is infinite.
    """
    if sample_weight is None:
        return np.ones(rows)
    weights = np.asarray(to_host(read_array("sample_weight", sample_weight)[0]), dtype=np.float64)
    if weights.shape not in ((rows,), (rows, columns)):
        entries = "" if columns is None else f", or ({rows}, {columns}) like the entries of y"
        if columns is None and weights.ndim == 2:
            entries = "; weights of entries need a loss with a term for each column of y, such as SquaredError"
        raise DataError(f"sample_weight has shape {weights.shape}, expected ({rows},) like the rows of x{entries}")
    for row, *column in np.argwhere(~np.isfinite(weights) | (weights < 0))[:1]:
        where = f"in row {row}" + "".join(f", column {number}" for number in column)
        raise DataError(f"sample_weight is {weights[(row, *column)]} {where}, expected finite numbers of 0 or more")
    _check_total("sample_weight", weights, dtype)
    return plain_weights(weights)


def observed_weights(weights: np.ndarray, observed: np.ndarray, dtype: str) -> np.ndarray:
    """Host weights (n,) or (n, c), 0 for entries that are not observed; row weights if they are equal along each row.

    DataError if no positive weight is left.
    """
    left = plain_weights((weights if weights.ndim == 2 else weights[:, None]) * observed)
    _check_total("sample_weight, left out where y is NaN,", left, dtype)
    return left


def plain_weights(weights: np.ndarray) -> np.ndarray:
    """Weights of entries that are equal along each row as row weights, all other weights unchanged."""
    alike = weights.ndim == 2 and bool(np.all(weights == weights[:, :1]))
    return np.ascontiguousarray(weights[:, 0]) if alike else weights


def entry_columns(loss: Loss, target: Array) -> int | None:
    """The columns of the target as the loss prepared it, None for a loss that takes weights of rows only."""
    return int(target.shape[1]) if takes_entries(loss) and target.ndim == 2 else None


def times_class_weights(
    weights: np.ndarray, class_weight: dict[int, float] | str, target: np.ndarray, outputs: int, dtype: str
) -> np.ndarray:
    """The row weights times the weight of each row's class.

    The classes are the integer labels 0 to ``outputs - 1``, or 0 and 1 where the target is one column of zeros and
    ones. ``class_weight`` maps classes, also those without a row in y, to weights (1 for those left out), or is
    "balanced": ``n / (classes * n_c)`` with the weighted counts n and n_c, as in scikit-learn.
    """
    labels, classes = _labels(target, outputs)
    present, class_of_row = np.unique(labels, return_inverse=True)
    if isinstance(class_weight, dict):
        factors = {label: plain(factor) for label, factor in class_weight.items()}
        if unknown := factors.keys() - {*range(classes), *present.tolist()}:
            names = ", ".join(sorted(map(repr, unknown)))
            raise DataError(f"class_weight names {names}, which is no class; expected labels from 0 to {classes - 1}")
        for label, factor in factors.items():
            if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 0 <= factor < math.inf:
                raise DataError(f"class_weight of {label} is {factor!r}, expected a finite number of 0 or more")
        factor_of_class = np.array([factors.get(label, 1.0) for label in present.tolist()])
    elif isinstance(class_weight, str) and class_weight == "balanced":
        counts = np.bincount(class_of_row, weights=weights)
        factor_of_class = weights.sum() / (len(present) * np.where(counts > 0, counts, 1.0))
    else:
        raise DataError(f"class_weight is {class_weight!r}, expected a dict of label: weight, 'balanced' or None")
    product: np.ndarray = weights * factor_of_class[class_of_row]
    _check_total("class_weight", product, dtype)
    return product


def _labels(target: np.ndarray, outputs: int) -> tuple[np.ndarray, int]:
    """The label of every row, and the number of classes; DataError if the target does not consist of labels."""
    if target.ndim == 1 and target.dtype.kind in "iu":
        return target, outputs
    if target.ndim == 2 and target.shape[1] == 1 and np.all((target == 0) | (target == 1)):
        return target[:, 0].astype(int), 2
    raise DataError(
        "class_weight needs class labels as the target, integers or one column of 0 and 1; use sample_weight instead"
    )


def _check_total(name: str, weights: np.ndarray, dtype: str) -> None:
    """DataError unless, as ``dtype``, some weight is positive and the sum of all is finite."""
    with np.errstate(over="ignore", under="ignore"):
        rounded = weights_of_rows(weights.astype(dtype))
        total = np.sum(rounded)
    if not np.any(rounded > 0):
        raise DataError(f"{name} makes every row's weight zero (as {dtype}), expected at least one positive weight")
    if not np.isfinite(total):
        raise DataError(f"{name} makes weights whose sum is too large for {dtype}; divide them by a common number")
