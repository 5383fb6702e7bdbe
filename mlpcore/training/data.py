"""Checks of what a user passes as rows, targets and weights: all before training, so that nothing is left half done."""

from typing import Any

import numpy as np

from mlpcore.backends.backend import Backend
from mlpcore.backends.transfer import library_of, to_backend, to_host
from mlpcore.errors import DataError
from mlpcore.namespace import namespace
from mlpcore.typing import Array, Loss

BLOCK = 1 << 24  # elements looked at in one go, so that the check of a large table needs little memory


def as_array(name: str, x: Any) -> Array:
    """An array of any library as it is; lists and tables as NumPy. Objects, strings and complex numbers are refused."""
    if library_of(x) is None:
        try:
            x = np.asarray(x)
        except ValueError as error:
            raise DataError(f"{name} is no rectangular array: {error}") from None
    try:
        real = namespace(x).isdtype(x.dtype, ("bool", "integral", "real floating"))
    except TypeError:
        real = False
    if not real:
        raise DataError(f"{name} has dtype {x.dtype}, expected real numbers; encode or drop what is not a number")
    return x


def as_rows(name: str, x: Any, backend: Backend, dtype: str) -> Array:
    """A table (n, columns) of finite numbers on the backend, integers and booleans converted to ``dtype``."""
    x = as_array(name, x)
    if x.ndim != 2:
        hint = f"; reshape to (1, {x.shape[0]}) for one row" if x.ndim == 1 else ""
        raise DataError(f"{name} has shape {tuple(x.shape)}, expected (rows, columns){hint}")
    if 0 in x.shape:
        raise DataError(f"{name} has shape {tuple(x.shape)}, expected at least one row and one column")
    x = to_backend(x, backend, dtype)
    xp, step = namespace(x), max(1, BLOCK // x.shape[1])
    for start in range(0, x.shape[0], step):
        finite = xp.all(xp.isfinite(x[start : min(start + step, x.shape[0]), :]), axis=0)
        if not bool(xp.all(finite)):
            columns = np.flatnonzero(~backend.to_numpy(finite))
            shown = ", ".join(map(str, columns[:10])) + (", ..." if len(columns) > 10 else "")
            raise DataError(
                f"{name} has NaN or infinity (as {dtype}) in column {shown}; drop these rows or fill the gaps first"
            )
    return x


def as_target(y: Any, rows: int, loss: Loss, outputs: int, backend: Backend, dtype: str) -> Array:
    """The target as the loss encodes it for scores of ``outputs`` columns, on the backend."""
    y = as_array("y", y)
    if y.ndim == 0 or y.shape[0] != rows:
        raise DataError(f"y has shape {tuple(y.shape)}, expected {rows} rows like x")
    # Labels keep their integer dtype on the way; what is real gets the model's dtype from the loss.
    return loss.prepare(to_backend(y, backend), outputs, backend.dtypes[dtype])


def as_weights(sample_weight: Any, rows: int) -> np.ndarray:
    """Row weights as a float64 host array: finite, not negative, not all zero; ones where none are given."""
    if sample_weight is None:
        return np.ones(rows)
    weights = np.asarray(to_host(as_array("sample_weight", sample_weight)), dtype=np.float64)
    if weights.shape != (rows,):
        raise DataError(f"sample_weight has shape {weights.shape}, expected ({rows},) like the rows of x")
    if not np.all(np.isfinite(weights)) or np.any(weights < 0):
        raise DataError("sample_weight has NaN, infinite or negative entries, expected numbers of 0 or more")
    if not np.any(weights > 0):
        raise DataError("sample_weight is zero everywhere, expected at least one positive weight")
    return weights


def class_weights(class_weight: dict[int, float] | str | None, target: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The row weights times the weight of each row's class.

    ``class_weight`` maps labels to weights (1 for those left out), or is "balanced": ``n / (classes * n_c)`` with the
    weighted counts n and n_c, as in scikit-learn. It needs integer labels as the target.
    """
    if class_weight is None:
        return weights
    if target.ndim != 1 or target.dtype.kind not in "iu":
        raise DataError("class_weight needs integer class labels as the target; use sample_weight instead")
    if isinstance(class_weight, dict):
        factors = {label: as_weights([factor], 1)[0] if factor else 0.0 for label, factor in class_weight.items()}
        unknown = set(factors) - set(np.unique(target).tolist())
        if unknown:
            raise DataError(f"class_weight names the labels {sorted(unknown)}, which y does not hold")
        made = weights * np.array([factors.get(label, 1.0) for label in target.tolist()])
    elif class_weight == "balanced":
        labels, places = np.unique(target, return_inverse=True)
        counts = np.bincount(places, weights=weights)
        made = weights * (weights.sum() / (len(labels) * np.where(counts > 0, counts, 1.0)))[places]
    else:
        raise DataError(f"class_weight is {class_weight!r}, expected a dict of label: weight, 'balanced' or None")
    if not np.any(made > 0):
        raise DataError("class_weight makes every row's weight zero, expected at least one positive weight")
    return made
