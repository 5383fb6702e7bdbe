"""Checks of what a user passes as rows, targets and weights: all before training, so that nothing is left half done."""

import math
from functools import lru_cache
from typing import Any

import numpy as np

from mlpcore.backends import get_backend
from mlpcore.backends.backend import Backend
from mlpcore.backends.streaming import holds
from mlpcore.backends.transfer import adopt, library_of, to_backend, to_host
from mlpcore.configuration import plain
from mlpcore.errors import ConfigurationError, DataError
from mlpcore.namespace import namespace
from mlpcore.training import frames
from mlpcore.typing import Array, Layer, Loss

BLOCK = 1 << 24  # elements looked at in one go, so that the check of a large table needs little memory


def as_array(name: str, x: Any, labels: bool = False) -> Array:
    """An array of any library as it is; lists and tables as NumPy. Objects, strings and complex numbers are refused.

    With ``labels`` a column of categories that are numbers is one of numbers.
    """
    if isinstance(x, np.ma.MaskedArray):
        raise DataError(
            f"{name} is a masked array, whose hidden entries would count as data; drop these rows or use filled(value)"
        )
    if library_of(x) is None:
        given = frames.readable(name, x)
        columns = frames.columns_of(given)
        frames.refuse_others(name, columns, labels)
        try:
            x = frames.numbers(given, columns)
        except (ValueError, TypeError) as error:
            raise DataError(f"{name} is no rectangular array of numbers: {error}") from None
        if x.dtype == object and x.ndim == 0:
            kind = type(given).__name__
            raise DataError(f"{name} is of type {kind}, expected a (dense) array, a table, or lists of numbers")
    if not _is_real(namespace(x), x.dtype):
        raise DataError(f"{name} has dtype {x.dtype}, expected real numbers; {frames.ADVICE}")
    return x


@lru_cache
def _is_real(xp: Any, dtype: Any) -> bool:
    """Whether numbers of this dtype are real; a dtype that a library does not know is not."""
    try:
        return bool(xp.isdtype(dtype, ("bool", "integral", "real floating")))
    except TypeError:
        return False


def as_rows(name: str, x: Any, backend: Backend, dtype: str) -> Array:
    """A table (n, columns) of finite numbers on the backend, integers and booleans converted to ``dtype``.

    Errors name columns by their titles where ``x`` is a data frame, else by their numbers from 0.
    """
    titles: list[Any] = []
    if library_of(x) is None:
        x = frames.readable(name, x)
        titles = [title for title, _ in frames.columns_of(x)]
    x = as_array(name, adopt(x, backend))
    if x.ndim != 2:
        n = x.shape[0] if x.ndim == 1 else 0
        hint = f"; reshape to (1, {n}) for one row, to ({n}, 1) for one column" if n else ""
        raise DataError(f"{name} has shape {tuple(x.shape)}, expected (rows, columns){hint}")
    if 0 in x.shape:
        raise DataError(f"{name} has shape {tuple(x.shape)}, expected at least one row and one column")
    given, x = x, to_backend(x, backend, dtype)
    xp, step = namespace(x), max(1, BLOCK // x.shape[1])
    for start in range(0, x.shape[0], step):
        finite = xp.isfinite(x if x.shape[0] <= step else x[start : min(start + step, x.shape[0]), :])
        # The method, where an array has it, spares NumPy a wrapper: a tenth of a prediction of one row.
        if not bool(finite.all() if hasattr(finite, "all") else xp.all(finite)):
            columns = np.flatnonzero(~backend.to_numpy(xp.all(finite, axis=0)))
            shown = frames.listed([repr(titles[i]) if len(titles) == x.shape[1] else str(i) for i in columns])
            if np.all(np.isfinite(to_host(given)[start : start + step, columns])):
                advice = "scale them (mc.Standardize) or make the model with dtype='float64'"
                raise DataError(f"{name} has numbers too large for {dtype} in column {shown}; {advice}")
            raise DataError(f"{name} has NaN or infinity in column {shown}; drop these rows or fill the gaps first")
    return x


def score_columns(net: Layer, x: Array) -> int:
    """Columns of the scores for this x; a DataError where its columns are not those the network takes."""
    try:
        return net.widths(x.shape[1]) or x.shape[1]
    except ConfigurationError as error:
        raise DataError(str(error)) from None


def as_target(y: Any, rows: int, loss: Loss, outputs: int, backend: Backend, dtype: str) -> Array:
    """The target as the loss encodes it for scores of ``outputs`` columns, on the backend."""
    try:
        y = as_array("y", adopt(y, backend), labels=True)
    except DataError:
        frames.refuse_missing("y", y)  # which says more, if that is what is wrong
        raise
    if y.ndim == 0 or y.shape[0] != rows:
        raise DataError(f"y has shape {tuple(y.shape)}, expected {rows} rows like x")
    # Labels keep their integer dtype on the way; what is real gets the model's dtype from the loss.
    return loss.prepare(to_backend(y, backend), outputs, backend.dtypes[dtype])


def as_data(
    net: Layer,
    loss: Loss,
    backend: Backend,
    dtype: str,
    x: Any,
    y: Any,
    sample_weight: Any = None,
    class_weight: Any = None,
) -> tuple[tuple[Array, Array, Array], np.ndarray]:
    """Checked ``(x, target, weights)``, where `place_for` says, and the weights on the host."""
    backend = place_for(x, backend, dtype)
    with backend.scope(dtype):
        return _as_data(net, loss, backend, dtype, x, y, sample_weight, class_weight)


def place_for(x: Any, backend: Backend, dtype: str) -> Backend:
    """The backend, or the host for rows that its device has no room for: they are sent there when they are needed."""
    shape = getattr(x, "shape", ())  # a list is small
    if backend.owns(x) or not all(isinstance(n, int) for n in shape):
        return backend
    small = holds(math.prod(shape) * np.dtype(dtype).itemsize, backend.extras.free_memory)
    return backend if small or adopt(x, backend) is not x else get_backend("numpy")


def _as_data(
    net: Layer, loss: Loss, backend: Backend, dtype: str, x: Any, y: Any, sample_weight: Any, class_weight: Any
) -> tuple[tuple[Array, Array, Array], np.ndarray]:
    rows = as_rows("x", x, backend, dtype)
    outputs = score_columns(net, rows)
    target = as_target(y, rows.shape[0], loss, outputs, backend, dtype)
    weights = as_weights(sample_weight, rows.shape[0], dtype)
    if class_weight is not None:
        weights = class_weights(class_weight, backend.to_numpy(target), outputs, weights, dtype)
    return (rows, target, backend.asarray(weights, dtype=backend.dtypes[dtype])), weights


def as_pair(given: Any) -> tuple[Any, ...]:
    """The validation data as (x, y) or (x, y, sample_weight), or a DataError."""
    if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
        kind = type(given).__name__
        what = f"a {kind} of {len(given)}" if isinstance(given, (tuple, list)) else f"of type {kind}"
        raise DataError(f"validation_data is {what}, expected a pair (x, y) or triple (x, y, sample_weight)")
    return tuple(given)


def as_weights(sample_weight: Any, rows: int, dtype: str) -> np.ndarray:
    """Row weights as a float64 host array: finite, not negative, not all zero; ones where none are given.

    That they keep this as ``dtype``, and their sum too, is checked as well.
    """
    if sample_weight is None:
        return np.ones(rows)
    weights = np.asarray(to_host(as_array("sample_weight", sample_weight)), dtype=np.float64)
    if weights.shape != (rows,):
        raise DataError(f"sample_weight has shape {weights.shape}, expected ({rows},) like the rows of x")
    bad = np.flatnonzero(~np.isfinite(weights) | (weights < 0))
    if bad.size:
        raise DataError(f"sample_weight is {weights[bad[0]]} in row {bad[0]}, expected finite numbers of 0 or more")
    _check_total("sample_weight", weights, dtype)
    return weights


def class_weights(
    class_weight: dict[int, float] | str, target: np.ndarray, outputs: int, weights: np.ndarray, dtype: str
) -> np.ndarray:
    """The row weights times the weight of each row's class.

    The classes are the integer labels 0 to ``outputs - 1``, or 0 and 1 where the target is one column of zeros and
    ones. ``class_weight`` maps classes, also those without a row in y, to weights (1 for those left out), or is
    "balanced": ``n / (classes * n_c)`` with the weighted counts n and n_c, as in scikit-learn.
    """
    labels, classes = _labels(target, outputs)
    present, places = np.unique(labels, return_inverse=True)
    if isinstance(class_weight, dict):
        factors = {label: plain(factor) for label, factor in class_weight.items()}
        if unknown := factors.keys() - {*range(classes), *present.tolist()}:
            names = ", ".join(sorted(map(repr, unknown)))
            raise DataError(f"class_weight names {names}, which is no class; expected labels from 0 to {classes - 1}")
        for label, factor in factors.items():
            if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 0 <= factor < math.inf:
                raise DataError(f"class_weight of {label} is {factor!r}, expected a finite number of 0 or more")
        of_classes = np.array([factors.get(label, 1.0) for label in present.tolist()])
    elif isinstance(class_weight, str) and class_weight == "balanced":
        counts = np.bincount(places, weights=weights)
        of_classes = weights.sum() / (len(present) * np.where(counts > 0, counts, 1.0))
    else:
        raise DataError(f"class_weight is {class_weight!r}, expected a dict of label: weight, 'balanced' or None")
    made = weights * of_classes[places]
    _check_total("class_weight", made, dtype)
    return made


def _labels(target: np.ndarray, outputs: int) -> tuple[np.ndarray, int]:
    """The label of every row, and the number of classes; a DataError where the target is no labels."""
    if target.ndim == 1 and target.dtype.kind in "iu":
        return target, outputs
    if target.ndim == 2 and target.shape[1] == 1 and np.all((target == 0) | (target == 1)):
        return target[:, 0].astype(int), 2
    raise DataError(
        "class_weight needs class labels as the target, integers or one column of 0 and 1; use sample_weight instead"
    )


def _check_total(name: str, weights: np.ndarray, dtype: str) -> None:
    """Some row counts, and all of them together no more than the dtype can hold."""
    with np.errstate(over="ignore", under="ignore"):
        kept = weights.astype(dtype)
        total = np.sum(kept)
    if not np.any(kept > 0):
        raise DataError(f"{name} makes every row's weight zero (as {dtype}), expected at least one positive weight")
    if not np.isfinite(total):
        raise DataError(f"{name} makes weights whose sum is too large for {dtype}; divide them by a common number")


def as_number(name: str, value: Any) -> float:
    """What a metric gave, from any library, as a number; a ConfigurationError where it is none."""
    host = to_host(value)
    if host.size != 1 or host.dtype.kind not in "biuf":
        raise ConfigurationError(
            f"metrics: {name} gave {host.dtype} of shape {host.shape}, expected one real number for all rows"
        )
    return float(host.item())
