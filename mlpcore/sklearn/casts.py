"""Rejects values that scikit-learn's checks would silently cast to numbers.

These are strings, dates, durations, decimals and categories in X, in sample weights and in the target of a regressor,
masked entries, and missing labels.
"""

from datetime import date, time, timedelta
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
from array_api_compat import device as device_of
from scipy.sparse import issparse

from mlpcore.backends import get_backend
from mlpcore.backends.transfer import library_of, to_host
from mlpcore.errors import DataError
from mlpcore.sklearn import labels
from mlpcore.training import frames

# NumPy casts some objects of these types to numbers, such as "3" or a duration.
NO_NUMBERS = (str, bytes, Decimal, date, time, timedelta, np.datetime64, np.timedelta64)


def is_foreign(x: Any) -> bool:
    """Whether x is an array of another library than NumPy."""
    return library_of(x) not in (None, "numpy")


def in_library_of(x: Any, labels: Any) -> Any:
    """Host labels as an array of x's library on x's device, if they are numbers."""
    if not is_foreign(x) or not isinstance(labels, np.ndarray) or labels.dtype.kind not in "biuf":
        return labels
    backend = get_backend(library_of(x) or "numpy", device_of(x))
    with backend.scope("float64"):
        return backend.asarray(labels)


def host_target(y: Any, *, numeric: bool) -> Any:
    """y on the host, checked to be numbers or labels without missing ones; DataError if it is not."""
    y = frames.readable("y", to_host(y) if is_foreign(y) else y)
    if not numeric:
        return labels.of_one_type("y", y)
    if not issparse(y):
        frames.refuse_missing("y", y, ", or leave out what is missing by missing_targets='skip'")
    return of_numbers("y", y)


def of_numbers(name: str, x: Any) -> Any:
    """``x`` in a form that scikit-learn's checks accept, mostly unchanged; DataError where they would cast non-numbers.

    Objects that are not tables are returned as they are: those checks reject them.
    """
    if issparse(x) or is_foreign(x):
        return x
    x = frames.readable(name, x)
    if columns := frames.columns_of(x):
        frames.refuse_others(name, [column for column in columns if str(column[1]) != "object"])
        for i, (title, kind) in enumerate(columns):
            if str(kind) == "object":
                _refuse_entries(name, np.asarray(x.iloc[:, i]), title)
        # scikit-learn finds the column names of an Arrow table, not those of a record batch.
        return frames.arrow(name, x) if hasattr(x, "__arrow_c_array__") else x
    if isinstance(x, np.ma.MaskedArray) and np.ma.is_masked(x):
        raise DataError(f"{name} has masked entries, which would count as data; drop these rows or use filled(value)")
    try:
        host = np.asarray(x)
    except TypeError:  # NumPy has no common dtype for dates and numbers
        host = np.asarray(x, dtype=object)
    except ValueError:  # nested lists of different lengths
        return x
    if host.ndim and host.dtype.kind not in "biufcO":
        raise DataError(f"{name} has dtype {host.dtype}, expected numbers; {frames.ADVICE}")
    if host.ndim and host.dtype == object:
        _refuse_entries(name, host)
    return host if isinstance(x, (list, tuple)) else x


def _refuse_entries(name: str, entries: np.ndarray, title: Any = None) -> None:
    """Raise a DataError that names the first object that is not a number, with its row and column title.

    If X is an array (no ``title``), only objects of `NO_NUMBERS` and pandas' NA are rejected here; scikit-learn's own
    checks reject the others.
    """
    kinds = set(map(type, entries.flat))
    bad = tuple(kind for kind in kinds if issubclass(kind, NO_NUMBERS) or kind.__name__ == "NAType")
    if title is not None or name != "X":
        bad += tuple(kind for kind in kinds if not issubclass(kind, (Real, np.bool_, type(None))))
    for index, entry in zip(np.ndindex(entries.shape), entries.flat, strict=True) if bad else ():
        if isinstance(entry, bad):
            where = f"in row {index[0]}" + ("" if title is None else f" of column {title!r}")
            kind = type(entry).__name__
            raise DataError(f"{name} has {entry!r} ({kind}) {where}, expected numbers; {frames.ADVICE}")
