"""Decides what each column of a table is: numeric, categorical, a date, or left out, with the reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import numpy as np

from mlpcore.configuration import check_choice
from mlpcore.errors import DataError
from mlpcore.tables import listed
from mlpcore.tabular.categories import CategoryEncoder, least_count
from mlpcore.tabular.frames import Values, text_of
from mlpcore.tabular.stored import check_field, damaged

NUMERIC, CATEGORICAL, DATE, LEFT_OUT = KINDS = ("numeric", "categorical", "date", "left out")
FEW_ROWS = 10  # in fewer rows texts may all differ by chance


@dataclass(frozen=True)
class Column:
    """What a column is, and the reason; ``warn`` says whether the reason deserves a warning."""

    name: str
    kind: str
    reason: str
    warn: bool = False

    def to_json(self) -> dict[str, Any]:
        """The column as JSON values."""
        return {"name": self.name, "kind": self.kind, "reason": self.reason}

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """The column of `to_json`; ModelFileError for other values."""
        name, kind, reason = (check_field(data, field, str) for field in ("name", "kind", "reason"))
        return cls(name, kind if kind in KINDS else damaged("kind", repr(kind)[:80]), reason)


def check_told(types: Mapping[str, str], ignore: Sequence[str], names: Sequence[str]) -> None:
    """ConfigurationError for a kind that does not exist, DataError for a column that is not there."""
    for name, kind in types.items():
        check_choice("TableEncoder", KINDS, **{f"types[{name!r}]": kind})
    present = set(names)
    if unknown := [name for name in (*types, *ignore) if name not in present]:
        raise DataError(f"types and ignore name the column {listed(unknown)}, expected some of {listed(names)}")


def understand(name: str, values: Values, rows: np.ndarray, told: str | None = None) -> Column:
    """What a column is in the training rows; ``rows`` are their numbers in the table, ``told`` overrules."""
    if told is not None:
        return Column(name, told, "as told")
    kind, data = values.kind, values.data
    if kind == "other":
        return Column(name, LEFT_OUT, f"its type {values.type_name} is no number, text or date", warn=True)
    present = data[~missing(data)]
    gaps = f", {100 * (1 - len(present) / len(data)):.3g} % missing" if len(present) < len(data) else ""
    if not len(present):
        return Column(name, LEFT_OUT, "all values are missing")
    if len(present) == len(data) and np.all(present == present[0]):
        return Column(name, LEFT_OUT, f"constant: {_short(present[0])}")
    if kind in ("text", "boolean"):
        return _categories(name, values, present, gaps)
    if kind == "date":
        return Column(name, DATE, f"dates{gaps}")
    if kind == "integer" and len(present) == len(data) and _counts_rows(data, rows):
        return Column(name, LEFT_OUT, "the numbers of the rows; types, --types decides otherwise", warn=True)
    return Column(name, NUMERIC, f"{'whole ' * (kind == 'integer')}numbers{gaps}")


def missing(data: np.ndarray) -> np.ndarray:
    """Which values of a column are missing."""
    if data.dtype == object:
        return np.array([value is None for value in data.tolist()], dtype=bool)
    return np.isnat(data) if data.dtype.kind == "M" else np.isnan(data)


def as_kind(name: str, values: Values, kind: str) -> np.ndarray:
    """The values as an encoder of this kind takes them: float64, texts or datetime64. DataError for other values."""
    data = values.data
    if kind == CATEGORICAL:
        if data.dtype == object or values.exact is not None:
            return data if values.exact is None else values.exact
        texts = np.empty(len(data), dtype=object)
        plain = [text_of(value) for value in (data.astype(str) if data.dtype.kind == "M" else data).tolist()]
        texts[:] = [None if gap else text for gap, text in zip(missing(data), plain, strict=True)]
        return texts
    wanted = "M" if kind == DATE else "f"
    if data.dtype.kind == wanted:
        return data
    if np.all(missing(data)):
        return np.full(len(data), np.nan) if kind == NUMERIC else np.full(len(data), "NaT", dtype="datetime64[us]")
    if values.kind == "boolean" and kind == NUMERIC:
        return np.array([{"False": 0.0, "True": 1.0}.get(text, np.nan) for text in data.tolist()])
    if data.dtype == object and values.kind == "text":
        return _parsed(name, data, kind)
    raise DataError(f"column {name!r} is of type {values.type_name}, expected {_EXPECTED[kind]}")


_WORDS = {"text": "texts", "boolean": "truth values"}
_EXPECTED = {NUMERIC: "numbers", DATE: "dates"}


def _parsed(name: str, texts: np.ndarray, kind: str) -> np.ndarray:
    """Texts as numbers or ISO dates; DataError for the first text that is neither one nor missing."""
    parse: Any = _number if kind == NUMERIC else lambda text: datetime.fromisoformat(text).replace(tzinfo=None)
    gap, dtype = (np.nan, "float64") if kind == NUMERIC else (None, "datetime64[us]")
    parsed = np.empty(len(texts), dtype=dtype)
    for row, text in enumerate(texts.tolist()):
        try:
            parsed[row] = gap if text is None else parse(text)
        except ValueError:
            raise DataError(
                f"column {name!r} has {_short(text)} in row {row}, expected {_EXPECTED[kind]}; correct it, or make the "
                "column categorical"
            ) from None
    return parsed


def _number(text: str) -> float:
    """A text as a number; ValueError for other texts, also 2020_01, which Python reads as one."""
    return float(text if "_" not in text else "")


def _categories(name: str, values: Values, present: np.ndarray, gaps: str) -> Column:
    """A column of texts: categorical, unless no level can be learnt."""
    distinct = len(set(present.tolist()))
    if distinct == len(present) >= FEW_ROWS:
        return Column(name, LEFT_OUT, "an identifier: every text is another one")
    if not CategoryEncoder.fit(values.data).levels:
        return Column(name, LEFT_OUT, f"no text occurs in {least_count(len(values.data))} rows")
    return Column(name, CATEGORICAL, f"{distinct} different {_WORDS[values.kind]}{gaps}")


def _counts_rows(data: np.ndarray, rows: np.ndarray) -> bool:
    """Whether the values are the row numbers from 0 or from 1."""
    return len(data) > 2 and data[0] - rows[0] in (0, 1) and bool(np.all(data - rows == data[0] - rows[0]))


def _short(value: Any) -> str:
    text = repr(text_of(value) if isinstance(value, float) else str(value))
    return text if len(text) <= 30 else text[:27] + "..."
