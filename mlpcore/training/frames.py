"""Reads data frames and their columns as arrays of numbers, and raises errors for columns of other declared types.

These are frames and columns of pandas, Polars and Arrow, and objects with Arrow's or the interchange protocol.
"""

import math
import re
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from mlpcore.errors import DataError

ADVICE = "encode texts and categories, count days or seconds for dates and durations, or drop them"
NUMBER = re.compile(r"u?int(8|16|32|64)|float(16|32|64)|half_?float|float|double|bool(ean)?|null")
SHOWN = 10

Column = tuple[Any, Any]  # title and declared type


def read_table(name: str, x: Any, labels: bool = False) -> tuple[np.ndarray, list[Any]]:
    """``(array, titles)`` of a data frame, a column or lists; the titles are those of a frame's columns, else empty.

    DataError for columns that are not numbers, and for rows of different lengths. With ``labels`` a column of
    categories is accepted if the categories are numbers.
    """
    table = readable(name, x)
    columns = columns_of(table)
    refuse_others(name, columns, labels)
    try:
        array = numbers(table, columns)
    except (ValueError, TypeError) as error:
        raise DataError(f"{name} is no rectangular array of numbers: {error}; make all rows equally long") from None
    if array.dtype == object and array.ndim == 0:
        kind = type(table).__name__
        raise DataError(f"{name} is of type {kind}, expected a (dense) array, a table, or lists of numbers")
    return array, [title for title, _ in columns]


def readable(name: str, x: Any) -> Any:
    """``x`` as an object that NumPy can read: ``x`` itself, or a pyarrow object if only pyarrow can read it.

    DataError for a lazy frame, and if pyarrow is needed but missing.
    """
    if hasattr(x, "__array__"):
        return x
    if callable(getattr(x, "collect", None)):
        raise DataError(f"{name} is a {type(x).__name__}, whose rows are not computed yet; pass {name}.collect()")
    if any(hasattr(x, f"__{protocol}__") for protocol in ("arrow_c_stream", "arrow_c_array", "dataframe")):
        return arrow(name, x)
    return x


def arrow(name: str, x: Any) -> Any:
    """A frame or column with Arrow's or the interchange protocol, as a table or an array of pyarrow."""
    try:
        pyarrow, interchange = import_module("pyarrow"), import_module("pyarrow.interchange")
    except ImportError as error:
        raise DataError(
            f"{name} is of type {type(x).__name__}, which only pyarrow can read ({error}); pip install pyarrow"
        ) from None
    if not hasattr(x, "__arrow_c_stream__") and not hasattr(x, "__arrow_c_array__"):
        return interchange.from_dataframe(x)
    try:
        return pyarrow.table(x)
    except (TypeError, ValueError):  # no table, so a single column
        return pyarrow.chunked_array(x) if hasattr(x, "__arrow_c_stream__") else pyarrow.array(x)


def columns_of(x: Any) -> list[Column]:
    """Title and type of every column of a frame; empty for any other object, such as a single column."""
    types = getattr(getattr(x, "schema", None), "types", None)
    if types is not None:  # Arrow's
        return list(zip(x.schema.names, types, strict=True))
    return list(zip(x.columns, x.dtypes, strict=True)) if hasattr(x, "columns") and hasattr(x, "dtypes") else []


def is_number(kind: Any, labels: bool = False) -> bool:
    """Whether a declared type is a real number or boolean; with ``labels`` also categories that are numbers."""
    if labels:
        kind = getattr(getattr(kind, "categories", None), "dtype", kind)  # pandas'
        kind = getattr(kind, "value_type", kind) if str(kind).startswith("dictionary") else kind  # Arrow's
    code = getattr(kind, "kind", None)
    if isinstance(code, str):  # NumPy's and pandas'
        return code in "biuf"
    return NUMBER.fullmatch(str(kind).lower()) is not None


def refuse_others(name: str, columns: Sequence[Column], labels: bool = False) -> None:
    """DataError if there are columns that are not numbers; it names them."""
    bad = [f"{title!r} ({kind})" for title, kind in columns if not is_number(kind, labels)]
    if bad:
        raise DataError(f"{name} has columns that are not numbers: {listed(bad)}; {ADVICE}")


def listed(texts: Sequence[str]) -> str:
    """The first `SHOWN` texts, separated by commas, and ``...`` if there are more."""
    return ", ".join(texts[:SHOWN]) + (", ..." if len(texts) > SHOWN else "")


def numbers(x: Any, columns: Sequence[Column]) -> np.ndarray:
    """A frame or another object as a NumPy array; missing values in columns of numbers become NaN."""
    host = np.asarray(x)
    kinds = [kind for _, kind in columns] or [getattr(x, "dtype", getattr(x, "type", None))]
    if host.dtype != object or not host.ndim or not all(map(is_number, kinds)):
        return host
    if not hasattr(x, "isna"):
        return host.astype("float64")  # None becomes NaN
    whole = all(kind.kind in "biu" for kind in kinds) and not np.any(x.isna())
    numbers: np.ndarray = x.to_numpy(dtype="int64") if whole else x.to_numpy(dtype="float64", na_value=math.nan)
    return numbers


def refuse_missing(name: str, labels: Any, hint: str = "") -> None:
    """DataError if a host label is missing (None, NaN, NaT or pandas' NA); it names the first such row.

    ``hint`` is added to the advice of the message.
    """
    entries = np.asarray(labels, dtype=None if isinstance(labels, np.ndarray) else object)
    if entries.ndim == 0 or entries.dtype.kind not in "OfcMm":
        return
    for row, *column in np.argwhere(missing(entries))[:1]:
        label = entries[(row, *column)]
        raise DataError(
            f"{name} has a missing label in row {row} ({label}); drop the rows without a label, or label them{hint}"
        )


def missing(entries: np.ndarray) -> np.ndarray:
    """Which entries are missing, of an array of objects or of numbers."""
    are: np.ndarray = np.vectorize(is_missing, otypes=[bool])(entries) if entries.dtype == object else np.isnan(entries)
    return are


def is_missing(label: Any) -> bool:
    """Whether a label is None or unequal to itself. Comparing pandas' NA gives no boolean: TypeError."""
    try:
        return label is None or bool(label != label)
    except TypeError:
        return True
    except ValueError:  # an array
        return False
