"""Reads the columns of any data frame as NumPy arrays of four kinds: numbers, texts, truth values and dates."""

import datetime
import decimal
import math
import numbers
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mlpcore.errors import DataError, import_extra
from mlpcore.training.frames import is_missing

MICROSECOND = np.dtype("datetime64[us]")


class Values(NamedTuple):
    """A column: its kind, its values, and the name of its type in the frame.

    ``kind`` is "number" (float64, NaN where missing), "integer" (the same), "text" or "boolean" (objects: texts, None
    where missing), "date" (datetime64 in microseconds, NaT where missing) or "other", which no encoder takes. ``exact``
    has integers that float64 rounds, as texts.
    """

    kind: str
    data: np.ndarray
    type_name: str
    exact: np.ndarray | None = None


class Frame:
    """The columns of a data frame by name; each is read when it is asked for, so that one at a time is in memory.

    A data frame is one of pandas, Polars or pyarrow, a dictionary of arrays, or an array (rows, columns), whose columns
    are called "x[0]", "x[1]" and so on. Names that are no texts are converted. DataError for other objects, for columns
    of different lengths or of one name, and for a frame without rows or columns.
    """

    def __init__(self, frame: Any) -> None:
        if isinstance(frame, np.ndarray) and frame.ndim == 2:
            frame = {f"x[{i}]": frame[:, i] for i in range(frame.shape[1])}
        self._narwhals = None if isinstance(frame, Mapping) else _load_narwhals(frame)
        if self._narwhals is None:
            pairs = [(str(name), np.asarray(values)) for name, values in frame.items()]
        else:
            pairs = [(str(series.name), series) for series in _series(frame, self._narwhals)]
        self._columns = dict(pairs)
        if twice := [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]:
            raise DataError(f"the frame has several columns {twice[0]!r}, expected distinct names")
        lengths = {len(column) for column in self._columns.values() if column.shape} or {0}
        if len(lengths) > 1:
            raise DataError(f"the columns of the frame have different lengths: {sorted(lengths)}, expected equal ones")
        self.rows = lengths.pop()
        if not self.rows:
            raise DataError("the frame has no rows or no columns, expected at least one of each")

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return list(self._columns)

    def __getitem__(self, name: str) -> Values:
        column = self._columns[name]
        return _of_array(column) if self._narwhals is None else _of_series(column, self._narwhals)


def take_rows(frame: Any, rows: np.ndarray) -> Any:
    """The rows of a data frame with these numbers, as a frame of the same kind."""
    if isinstance(frame, np.ndarray):
        return frame[rows]
    if isinstance(frame, Mapping):
        return {name: np.asarray(values)[rows] for name, values in frame.items()}
    return _load_narwhals(frame).from_native(frame, eager_only=True)[rows.tolist()].to_native()


def _load_narwhals(frame: Any) -> Any:
    return import_extra("narwhals", "tables", f"a {type(frame).__name__} is read through narwhals, which")


def _series(frame: Any, narwhals: Any) -> list[Any]:
    """The columns of a frame of another library as those of narwhals."""
    if hasattr(frame, "collect"):
        raise DataError(f"the frame is a {type(frame).__name__}, whose rows are not computed yet; pass frame.collect()")
    try:
        return list(narwhals.from_native(frame, eager_only=True).iter_columns())
    except (TypeError, ValueError) as error:
        what = f"of type {type(frame).__name__}, which cannot be read ({' '.join(str(error).split())})"
        raise DataError(f"the frame is {what}, expected a data frame of pandas, Polars or pyarrow") from None


def _of_series(series: Any, narwhals: Any) -> Values:
    """The values of a column by its declared type."""
    kind, name = series.dtype, str(series.dtype)
    if kind.is_numeric():
        data = series.cast(narwhals.Float64()).to_numpy().astype(np.float64)
        if not kind.is_integer():
            return Values("number", data, name)
        return Values("integer", data, name, _texts(series.to_list()) if _rounded(data) else None)
    if kind == narwhals.Datetime or kind == narwhals.Date:
        if kind == narwhals.Datetime:
            series = series.dt.replace_time_zone(None)  # the calendar parts are those that a local reader sees
        return Values("date", series.to_numpy().astype(MICROSECOND), name)
    if kind == narwhals.Duration:
        return Values("number", _seconds(series.to_numpy()), name)
    if kind in (narwhals.String, narwhals.Categorical, narwhals.Enum):
        return Values("text", _texts(series.to_list()), name)
    if kind == narwhals.Boolean:
        return Values("boolean", _texts(series.to_list()), name)
    return of_objects(series.to_list(), name)


def _of_array(array: np.ndarray) -> Values:
    """The values of a NumPy array (rows,) by its dtype."""
    name = str(array.dtype)
    if array.ndim != 1:
        raise DataError(f"a column of the frame has shape {array.shape}, expected (rows,)")
    if array.dtype.kind == "f":
        return Values("number", array.astype(np.float64), name)
    if array.dtype.kind in "iu":
        data = array.astype(np.float64)
        return Values("integer", data, name, _texts(array.tolist()) if _rounded(data) else None)
    if array.dtype.kind == "m":
        return Values("number", _seconds(array), name)
    if array.dtype.kind == "M":
        return Values("date", array.astype(MICROSECOND), name)
    if array.dtype.kind in "bU":
        return Values("boolean" if array.dtype.kind == "b" else "text", _texts(array.tolist()), name)
    return of_objects(array.tolist(), name)


def of_objects(entries: list[Any], name: str) -> Values:
    """The values of a column of Python objects by their common type; "other" where they have none."""
    present = [entry for entry in entries if not is_missing(entry)]
    if all(isinstance(entry, str) for entry in present):
        return Values("text", _texts(entries), name)
    if all(isinstance(entry, bool | np.bool_) for entry in present):
        return Values("boolean", _texts(entries), name)
    if all(isinstance(entry, numbers.Real | decimal.Decimal) for entry in present):
        data = np.array([math.nan if is_missing(entry) else float(entry) for entry in entries])
        whole = all(isinstance(e, numbers.Integral) for e in present)
        exact = _texts(entries) if whole and _rounded(data) else None
        return Values("integer" if whole else "number", data, name, exact)
    if all(isinstance(entry, datetime.date) for entry in present):
        plain = [None if is_missing(e) else e.replace(tzinfo=None) if hasattr(e, "hour") else e for e in entries]
        return Values("date", np.array(plain, dtype=MICROSECOND), name)
    if all(isinstance(entry, datetime.time) for entry in present):
        since = [math.nan if is_missing(e) else e.hour * 3600.0 + e.minute * 60 + e.second for e in entries]
        return Values("number", np.array(since), name)
    if all(isinstance(entry, str | numbers.Real) for entry in present):
        return Values("text", _texts(entries), name)
    return Values("other", np.array([None] * len(entries), dtype=object), name)


def text_of(entry: Any) -> str:
    """An entry as the text of a level; whole numbers without a decimal point."""
    return str(int(entry)) if isinstance(entry, float) and entry.is_integer() else str(entry)


def _texts(entries: list[Any]) -> np.ndarray:
    """The entries as texts, None where they are missing."""
    texts = np.empty(len(entries), dtype=object)
    texts[:] = [None if is_missing(e) else e if type(e) is str else text_of(e) for e in entries]
    return texts


def _rounded(data: np.ndarray) -> bool:
    """Whether integers may have been rounded."""
    return bool(np.any(np.abs(data) >= 2**53))


def _seconds(durations: np.ndarray) -> np.ndarray:
    """Durations in seconds, NaN where they are missing."""
    return durations / np.timedelta64(1, "s")


def series_name(y: Any, features: Sequence[str]) -> str:
    """The name of a series; "" if it has none, or that of a feature."""
    name = getattr(y, "name", None)
    return name if isinstance(name, str) and name not in features else ""
