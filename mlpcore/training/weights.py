"""Row weights: checks of ``sample_weight``, and their product with class weights."""

import math
from typing import Any

import numpy as np

from mlpcore.backends.transfer import to_host
from mlpcore.configuration import plain
from mlpcore.errors import DataError
from mlpcore.training.reading import read_array


def row_weights(sample_weight: Any, rows: int, dtype: str) -> np.ndarray:
    """Row weights as a float64 host array: finite, not negative, not all zero; ones where none are given.

    DataError otherwise, and if rounded to ``dtype`` all weights are zero or their sum is infinite.
    """
    if sample_weight is None:
        return np.ones(rows)
    weights = np.asarray(to_host(read_array("sample_weight", sample_weight)[0]), dtype=np.float64)
    if weights.shape != (rows,):
        raise DataError(f"sample_weight has shape {weights.shape}, expected ({rows},) like the rows of x")
    bad = np.flatnonzero(~np.isfinite(weights) | (weights < 0))
    if bad.size:
        raise DataError(f"sample_weight is {weights[bad[0]]} in row {bad[0]}, expected finite numbers of 0 or more")
    _check_total("sample_weight", weights, dtype)
    return weights


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
        rounded = weights.astype(dtype)
        total = np.sum(rounded)
    if not np.any(rounded > 0):
        raise DataError(f"{name} makes every row's weight zero (as {dtype}), expected at least one positive weight")
    if not np.isfinite(total):
        raise DataError(f"{name} makes weights whose sum is too large for {dtype}; divide them by a common number")
