"""The class Table: named columns of equal length."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlpcore.errors import DataError
from mlpcore.tables.cells import text_in, values_of

NAMES_SHOWN = 10


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of equal length by name; cells are not interpreted.

    Columns of a CSV file are object arrays of stripped strings. Columns of a .npz archive are real numbers or
    fixed-width strings; as the archive has no column names, ``named`` is False and they are called "x[0]", "x[1]" and
    so on.
    """

    source: str
    columns: dict[str, np.ndarray]
    named: bool = True

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(next(iter(self.columns.values())))

    def find(self, column: str) -> str:
        """The name of a column given by name or, where no column has that name, by index (-1: the last)."""
        names = list(self.columns)
        if column in self.columns:
            return column
        try:
            return names[int(column)]
        except (ValueError, IndexError):
            raise DataError(
                f"{self.source}: there is no column {column!r}, expected one of {listed(names)}, or an index from "
                f"{-len(names)} to {len(names) - 1}"
            ) from None

    def numbers(self, names: Sequence[str]) -> np.ndarray:
        """These columns as a float64 array (rows, columns); DataError for columns with other cells or gaps."""
        numbers = np.empty((self.rows, len(names)))
        texts = []
        for i, name in enumerate(names):
            values = values_of(self.columns[name])
            if values is None:
                texts.append(f"{name!r} (as in {text_in(self.columns[name])})")
            else:
                numbers[:, i] = values
        if texts:
            raise DataError(
                f"{self.source}: not numbers in column {listed(texts, str)}; encode or drop what is not a number"
            )
        bad = ~np.isfinite(numbers)
        if bad.any():
            counts = bad.sum(axis=0)
            shown = [
                f"{name!r} ({count} of {self.rows} rows)" for name, count in zip(names, counts, strict=True) if count
            ]
            raise DataError(
                f"{self.source}: missing or infinite values in column {listed(shown, str)}; fill or drop them"
            )
        return numbers


def listed(names: Sequence[Any], show: Any = repr) -> str:
    """The first names, separated by commas, and the number of further ones."""
    more = [f"and {len(names) - NAMES_SHOWN} more"] if len(names) > NAMES_SHOWN else []
    return ", ".join([show(name) for name in names[:NAMES_SHOWN]] + more)
