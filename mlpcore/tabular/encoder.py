"""TableEncoder: the columns of a table as the columns of an array, learnt on training rows."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np

from mlpcore.configuration import check_choice
from mlpcore.errors import DataError, MlpcoreWarning
from mlpcore.tables import listed
from mlpcore.tabular.categories import CategoryEncoder
from mlpcore.tabular.columns import CATEGORICAL, DATE, LEFT_OUT, NUMERIC, Column, as_kind, check_told, understand
from mlpcore.tabular.dates import DateEncoder
from mlpcore.tabular.frames import Frame
from mlpcore.tabular.numeric import NumericEncoder
from mlpcore.tabular.stored import check_field, damaged

Encoder = NumericEncoder | CategoryEncoder | DateEncoder
ENCODERS: dict[str, type[Encoder]] = {NUMERIC: NumericEncoder, CATEGORICAL: CategoryEncoder, DATE: DateEncoder}
DRIFT = 0.1  # a share of unseen levels that is larger by this much than in training causes a warning


class TableEncoder:
    """The columns of a table as an array x (n, c): all numeric columns first, then the indices of categories.

    ``types`` maps names of columns to "numeric", "categorical", "date" or "left out", where they are not what
    `mlpcore.tabular.columns.understand` decides; ``ignore`` are further columns to leave out. After `fit`:

    - ``columns``: what every column of the table is, with the reason
    - ``names``: the names of the columns of x
    - ``numeric_columns``: how many of them are numbers, dates included
    - ``category_sizes``: the number of indices of each of the others; 0 is rare, unseen or missing

    >>> import numpy as np
    >>> frame = {"size": np.array([1.0, 2.0, np.nan, 4.0]), "town": np.array(["Rome", "Oslo", "Rome", "Rome"])}
    >>> encoder = TableEncoder().fit(frame)
    >>> encoder.names, encoder.numeric_columns, encoder.category_sizes
    (['size', 'size is missing', 'town'], 2, (3,))
    >>> encoder.transform({"town": np.array(["Oslo", "Rome"]), "size": np.array([2.0, np.nan])})
    array([[0., 0., 2.],
           [0., 1., 1.]], dtype=float32)
    """

    columns: tuple[Column, ...]
    encoders: dict[str, Encoder]

    def __init__(self, types: Mapping[str, str] | None = None, ignore: Sequence[str] = ()) -> None:
        self.types, self.ignore = dict(types or {}), tuple(ignore)

    def fit(self, frame: Any, rows: np.ndarray | None = None) -> Self:
        """Learn from the training rows, and return itself.

        ``rows`` are their numbers in the table that they are taken from, 0, 1, ... by default; a column of row numbers
        is recognised by them. DataError for infinite numbers, and if no column is left.
        """
        table = Frame(frame)
        check_told(self.types, self.ignore, table.names)
        rows = np.arange(table.rows) if rows is None else rows
        told = dict.fromkeys(self.ignore, LEFT_OUT) | self.types
        columns, encoders = list[Column](), dict[str, Encoder]()
        for name in table.names:
            values = table[name]
            column = understand(name, values, rows, told.get(name))
            columns.append(column)
            if column.kind != LEFT_OUT:
                data = as_kind(name, values, column.kind)
                _check_finite(name, data, rows)
                encoders[name] = ENCODERS[column.kind].fit(data)
        if not encoders:
            raise DataError(
                f"TableEncoder: no column is left to learn from, expected at least one: {listed(columns, _why)}"
            )
        for column in columns:
            if column.warn:
                warnings.warn(f"column {column.name!r} is left out: {column.reason}", MlpcoreWarning, stacklevel=2)
        self.columns, self.encoders = tuple(columns), encoders
        return self

    def transform(self, frame: Any, dtype: str = "float32", first: int = 0, warn: bool = True) -> np.ndarray:
        """The array x (n, c) of a frame with the columns of training in any order; others are ignored.

        ``first`` is the number of its first row, for messages. DataError for missing columns, infinite numbers and
        values of another kind. MlpcoreWarning, unless ``warn`` is False, if a column has many more missing or unseen
        levels than the training rows.
        """
        check_choice("TableEncoder.transform", ("float32", "float64"), dtype=dtype)
        table = Frame(frame)
        self.check_names(table.names)
        kinds = {column.name: column.kind for column in self.columns}
        numbers, indices, drifted = [], [], []
        for name, encoder in self.encoders.items():
            data = as_kind(name, table[name], kinds[name])
            _check_finite(name, data, range(first, first + len(data)))
            encoded = encoder.transform(data)
            _check_gaps(name, encoded)
            if isinstance(encoder, CategoryEncoder):
                indices.append(encoded[:, None])
                unseen = float(np.mean(encoded == 0)) if len(encoded) else 0.0
                drifted += [f"{name!r} ({100 * unseen:.0f} %)"] * (unseen - encoder.joined > DRIFT)
            else:
                numbers.append(encoded)
        if drifted and warn:
            warnings.warn(
                f"levels that training has not seen, or hardly, are in column {listed(drifted, str)} of the rows; "
                "predictions for these may be poor",
                MlpcoreWarning,
                stacklevel=2,
            )
        return np.hstack([*numbers, *indices]).astype(dtype)

    def check_names(self, names: Iterable[str], source: str = "TableEncoder") -> None:
        """DataError if columns that are needed are not among these names."""
        present = set(names)
        if missing := [name for name in self.encoders if name not in present]:
            raise DataError(
                f"{source}: the table lacks the column {listed(missing)}; add it: columns are matched by name"
            )

    @property
    def kept(self) -> tuple[str, ...]:
        """The names of the table's columns that are not left out."""
        return tuple(self.encoders)

    @property
    def names(self) -> list[str]:
        """The names of the columns of x."""
        numeric = [
            n for name, one in self.encoders.items() if not isinstance(one, CategoryEncoder) for n in one.names(name)
        ]
        return [*numeric, *(name for name, one in self.encoders.items() if isinstance(one, CategoryEncoder))]

    @property
    def category_sizes(self) -> tuple[int, ...]:
        """The number of indices of each categorical column of x, 0 included."""
        return tuple(one.size for one in self.encoders.values() if isinstance(one, CategoryEncoder))

    @property
    def numeric_columns(self) -> int:
        """The number of numeric columns of x, which come first."""
        return len(self.names) - len(self.category_sizes)

    def to_json(self) -> dict[str, Any]:
        """The fitted encoder as JSON values."""
        encoders = {name: encoder.to_json() for name, encoder in self.encoders.items()}
        return {"columns": [column.to_json() | {"encoder": encoders.get(column.name)} for column in self.columns]}

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """The encoder of `to_json`, which transforms to the same bits; ModelFileError for other values."""
        entries = check_field(data, "columns", list)
        columns = tuple(map(Column.from_json, entries))
        encoders: dict[str, Encoder] = {}
        for column, entry in zip(columns, entries, strict=True):
            if column.kind != LEFT_OUT:
                encoders[column.name] = ENCODERS[column.kind].from_json(check_field(entry, "encoder", dict))
        if not encoders or len({column.name for column in columns}) < len(columns):
            damaged("columns", "without a column to learn from, or with one twice")
        return cls.of(columns, encoders)

    @classmethod
    def of(cls, columns: Sequence[Column], encoders: Mapping[str, Encoder]) -> Self:
        """The fitted encoder with these parts."""
        encoder = cls()
        encoder.columns, encoder.encoders = tuple(columns), dict(encoders)
        return encoder


def _check_finite(name: str, data: np.ndarray, rows: Sequence[int] | np.ndarray) -> None:
    """DataError if numbers are infinite."""
    if data.dtype.kind == "f" and np.any(bad := np.isinf(data)):
        raise DataError(
            f"column {name!r} has infinite numbers in {int(bad.sum())} of {len(data)} rows, the first in row "
            f"{rows[int(bad.argmax())]}, counted from 0; replace them, or leave the cells empty"
        )


def _check_gaps(name: str, encoded: np.ndarray) -> None:
    """DataError if missing numbers are left, which models of files before December 2026 do not take."""
    if count := int(np.isnan(encoded).any(axis=-1).sum()):
        raise DataError(
            f"column {name!r} has missing values in {count} of {len(encoded)} rows, and the model takes none; fill or "
            "drop them, or train again"
        )


def _why(column: Column) -> str:
    return f"{column.name!r} ({column.reason})"
