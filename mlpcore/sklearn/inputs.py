"""Checks X, y and sample weights as scikit-learn does, and chooses the backend and dtype of a fit."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from array_api_compat import device as device_of
from scipy.sparse import issparse
from sklearn import get_config
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.validation import _check_sample_weight, validate_data

from mlpcore.backends import get_backend
from mlpcore.backends.backend import Backend
from mlpcore.backends.transfer import library_of, to_host
from mlpcore.errors import DataError
from mlpcore.namespace import namespace
from mlpcore.sklearn.casts import host_target, is_foreign, of_numbers
from mlpcore.training import frames
from mlpcore.training.ingest import ingest_rows
from mlpcore.typing import Array

PLAIN = 1 << 14  # entries of the largest X for which a prediction skips scikit-learn's checks, see `_is_plain`
HOST = "numpy"
FLOATS = (np.float64, np.float32)  # dtypes of X that are kept; all others are converted to the first


def backend_for(estimator: Any, X: Any) -> Backend:
    """The backend of the estimator for this X; "auto" is X's library on X's device.

    For X on the host see also `mlpcore.sklearn.placement`.
    """
    name, device, library = estimator.backend, estimator.device, library_of(X)
    if name == "auto":
        name = library if library is not None else HOST
    if device is None and library == name != HOST:
        device = device_of(X)
    return get_backend(name, device)


def dtype_of(x: Any, dtype: str | None) -> str:
    """``dtype`` if given, else "float32" where x has it or a smaller float, else "float64"."""
    if dtype is not None:
        return dtype
    if not is_foreign(x):
        return "float32" if x.dtype == np.float32 else "float64"
    xp = namespace(x)
    return "float32" if xp.isdtype(x.dtype, "real floating") and xp.finfo(x.dtype).bits <= 32 else "float64"


def training_rows(estimator: Any, X: Any, y: Any, *, numeric: bool, reset: bool) -> tuple[Any, Any]:
    """``(x, y)`` checked: x (n, features) is a C-ordered NumPy array, a CSR table, or an array of X's library on its
    device; y is on the host, (n,) or (n, columns) with two columns or more.

    Sets (``reset``) or checks ``n_features_in_`` and ``feature_names_in_``.
    """
    if y is not None:
        y = host_target(y, numeric=numeric)
    if is_foreign(X):
        x = foreign_rows(estimator, X, reset=reset)
        if y is None:
            raise ValueError(
                f"This {type(estimator).__name__} estimator requires y to be passed, but the target y is None."
            )
        y = check_array(y, accept_sparse="csr", ensure_2d=False, dtype="numeric" if numeric else None, input_name="y")
        check_consistent_length(x, y)
    else:
        with _naming_columns(X):
            x, y = validate_data(
                estimator,
                of_numbers("X", X),
                y,
                accept_sparse=["csr", "csc"],
                multi_output=True,
                y_numeric=numeric,
                dtype=FLOATS,
                order="C",
                reset=reset,
            )
        x = x.tocsr() if issparse(x) else x
    if y.ndim == 2 and y.shape[1] == 1:
        y = column_or_1d(y.toarray() if issparse(y) else y, warn=True)
    return x, y


def rows(estimator: Any, X: Any) -> Any:
    """X for a prediction, checked: finite numbers in the columns of the fit."""
    if type(X) is np.ndarray and _is_plain(estimator, X):
        return X
    if is_foreign(X):
        return foreign_rows(estimator, X, reset=False)
    with _naming_columns(X):
        x = validate_data(estimator, of_numbers("X", X), accept_sparse=["csr", "csc"], dtype=FLOATS, reset=False)
    return x.tocsr() if issparse(x) else x


@contextmanager
def _naming_columns(X: Any) -> Iterator[None]:
    """A context in which scikit-learn's error for NaN or infinity in X also names the columns, and says what to do."""
    try:
        yield
    except ValueError as error:
        kind, bad = ("infinity", np.isinf) if "infinity" in str(error) else ("NaN", np.isnan)
        if not str(error).startswith("Input X contains") or issparse(X):
            raise
        table = frames.readable("X", X)
        numbers = frames.numbers(table, frames.columns_of(table)).astype(np.float64)
        columns = np.flatnonzero(bad(numbers).any(axis=0))
        if not columns.size:  # numbers too large for their dtype
            raise
        titles = [repr(title) for title, _ in frames.columns_of(table)] or range(np.shape(table)[1])
        names = frames.listed([str(titles[i]) for i in columns])
        raise ValueError(
            f"Input X contains {kind} in column {names}; drop these rows, or fill the gaps first, for example with "
            "sklearn.impute.SimpleImputer(add_indicator=True) in a pipeline"
        ) from error


def _is_plain(estimator: Any, X: np.ndarray) -> bool:
    """Whether X is small and clearly valid, so that scikit-learn's checks, slower than a prediction, can be skipped."""
    return (
        X.ndim == 2
        and 0 < X.size <= PLAIN
        and X.dtype.char in "fd"
        and X.shape[1] == estimator.n_features_in_
        and "feature_names_in_" not in estimator.__dict__  # scikit-learn's check warns about missing names
        and bool(np.isfinite(X).all())
    )


def foreign_rows(estimator: Any, X: Any, *, reset: bool) -> Array:
    """X, an array of another library, checked to be a table of finite numbers. Device and float64 are kept."""
    backend = get_backend(library_of(X) or "numpy", device_of(X))
    dtype = dtype_of(X, None)
    with backend.scope(dtype):
        x = ingest_rows("X", X, backend, dtype)
    validate_data(estimator, X, reset=reset, skip_check_array=True)
    return x


def checked_weights(sample_weight: Any, count: int) -> np.ndarray | None:
    """Row weights as float64 on the host, or None.

    ValueError for negative weights, where all are zero, and where their sum is too large or no normal number.
    """
    if sample_weight is None:
        return None
    numbers = to_host(sample_weight) if is_foreign(sample_weight) else of_numbers("sample_weight", sample_weight)
    weights = _check_sample_weight(numbers, np.empty((count, 1)), dtype=np.float64)
    if np.any(weights < 0):
        raise ValueError(
            f"Negative values in data passed to `sample_weight`: the smallest is {weights.min():g}, expected 0 or more."
        )
    if not np.any(weights > 0):
        raise ValueError("Sample weights must contain at least one non-zero number.")
    with np.errstate(over="ignore"):
        total, (least, most) = float(np.sum(weights)), (np.finfo(np.float64).tiny, np.finfo(np.float64).max)
    if not least <= total <= most:
        raise ValueError(
            f"sample_weight adds up to {total:g}, expected a sum between {least:g} and {most:g}; "
            "multiply the weights by a common number"
        )
    return weights


def check_range(x: Any, dtype: str) -> None:
    """DataError for finite numbers of a checked X that become infinite in the ``dtype`` of the network."""
    values = x.data if issparse(x) else x
    xp = namespace(values)
    if dtype == "float64" or not math.prod(values.shape) or values.dtype != xp.float64:
        return
    largest = float(xp.max(xp.abs(values)))
    with np.errstate(over="ignore"):
        if np.isinf(np.asarray(largest).astype(dtype)):
            raise DataError(
                f"X has numbers as large as {largest:g}, which {dtype} cannot hold; scale the columns "
                "(mc.Standardize), or fit with dtype='float64'"
            )


def check_library(estimator: Any, X: Any, method: str) -> None:
    """Under array API dispatch, check scikit-learn's rule that X has the library and device of the fit."""
    fitted = estimator._predictor.place
    if fitted is None or not get_config().get("array_api_dispatch"):
        return
    place = place_of(X)
    if place != fitted:
        raise ValueError(
            f"Inputs passed to {type(estimator).__name__}.{method}() must use the same namespace and the same device "
            f"as those passed to fit(): got {place[0]} on {place[1]}, expected {fitted[0]} on {fitted[1]}."
        )


def place_of(X: Any) -> tuple[str, str]:
    """The names of the library and of the device of X."""
    if not is_foreign(X):
        return "numpy", "cpu"
    return str(library_of(X)), str(device_of(X))
