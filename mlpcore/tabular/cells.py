"""Reads columns of texts as numbers or dates, each in one notation, by expressions of polars."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

from mlpcore.tabular.dependencies import column, load_polars
from mlpcore.tabular.dialect import Dialect
from mlpcore.tabular.stored import damaged

EMPTY = ("", "na", "n/a", "nan", "null")  # cells that mean a missing value, whatever their case
MISSING = (*EMPTY, "none", "?")  # the last two only in columns of numbers and dates; elsewhere they may be levels
PLAIN, THOUSANDS, COMMAS = "", "thousands separators", "decimal commas"  # 1234.5, 1,234.5 and 1.234,5
CODE = r"^0\d+$"  # such as 007, which is no amount
DAYS = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%b-%Y", "%d %b %Y", "%b %d, %Y", "%B %d, %Y")
TIMES = ("%H:%M", "%H:%M:%S", "%H:%M:%S%.f", "%I:%M %p", "%I:%M:%S %p")
_SIGNS = r"[$€£¥]"
_MARKS = "'’\u00a0\u202f "  # between thousands besides comma and point: apostrophes and spaces


class Notation(NamedTuple):
    """How a column is read: as "integer", "number", "date" or "text", and the form of its numbers or dates."""

    kind: str
    form: str = ""

    @classmethod
    def from_json(cls, words: list[str]) -> Self:
        """The notation of a stored pair; ModelFileError for other words."""
        if len(words) != 2 or words[0] not in ("integer", "number", "date", "text"):
            damaged("notations", repr(words)[:80])
        return cls(*words)


TEXT = Notation("text")


def notations(dialect: Dialect) -> dict[str, list[Notation]]:
    """The notations of numeric columns and of dates, in the order in which they are tried."""
    forms = (COMMAS, PLAIN, THOUSANDS) if dialect.decimal == "," else (PLAIN, THOUSANDS, COMMAS)
    days = DAYS if dialect.decimal == "." else ("%d/%m/%Y", *(day for day in DAYS if day != "%d/%m/%Y"))
    stamps = [
        f"{day}{joint}{time}" for day in days for joint in " T" for time in TIMES if joint == " " or day == DAYS[0]
    ]
    return {
        "numeric": [Notation(kind, form) for form in forms for kind in ("integer", "number")],
        "date": [Notation("date", form) for form in (*days, *stamps, "%+")],
    }


def present(name: str, dialect: Dialect, gaps: Sequence[str] = MISSING) -> Any:
    """The expression of a column of texts, null where they mean a missing value."""
    polars = load_polars()
    cells, words = column(name), [*gaps, *(word.lower() for word in dialect.missing)]
    return polars.when(~cells.str.to_lowercase().is_in(words)).then(cells)


def read_as(name: str, notation: Notation, dialect: Dialect) -> Any:
    """The expression of a column in a notation; null for what is missing and for what is not in the notation."""
    polars = load_polars()
    if notation.kind == "text":
        return present(name, dialect, EMPTY)
    cells = present(name, dialect)
    if notation.kind == "date":
        if notation.form == "%+":
            return cells.str.to_datetime("%+", time_unit="us", strict=False).dt.replace_time_zone(None)
        return cells.str.to_datetime(notation.form, time_unit="us", strict=False)
    plain = cells.str.replace_all(rf"^{_SIGNS}\s*|\s*({_SIGNS}|%)$", "").str.replace_all("^-" + _SIGNS, "-")
    if notation.form != PLAIN:
        thousands, decimal = (",", r"\.") if notation.form == THOUSANDS else (r"\.", ",")
        grouped = rf"^[+-]?(\d{{1,3}}(?:[{thousands}{_MARKS}]\d{{3}})+|\d*)({decimal}\d+)?([eE][+-]?\d+)?$"
        infinite = plain.str.contains(r"(?i)^[+-]?inf(inity)?$")
        plain = polars.when((plain.str.contains(grouped) & plain.str.contains(r"\d")) | infinite).then(plain)
        plain = plain.str.replace_all(rf"[{thousands}{_MARKS}]", "").str.replace(",", ".", literal=True)
    if notation.kind == "integer":
        return plain.str.replace(r"^\+", "").cast(polars.Int64, strict=False)
    return plain.cast(polars.Float64, strict=False)


def failed(name: str, notation: Notation, dialect: Dialect) -> Any:
    """The expression that is true for cells that are neither in the notation nor missing."""
    return present(name, dialect).is_not_null() & read_as(name, notation, dialect).is_null()


def fitting(cells: Any, tried: Mapping[str, list[Notation]], dialect: Dialect) -> dict[str, list[Notation]]:
    """The notations, of those tried, that all cells of each column are in.

    ``cells``, named "cell", has the columns one after another: an expression for each would cost more than its cells.
    """
    left, frame = {name: list[Notation]() for name in tried}, load_polars().DataFrame(cells)
    for notation in dict.fromkeys(notation for some in tried.values() for notation in some):
        bad = frame.select(failed("cell", notation, dialect)).to_series().to_numpy().reshape(len(tried), -1).any(axis=1)
        for (name, some), wrong in zip(tried.items(), bad.tolist(), strict=True):
            if not wrong and notation in some:
                left[name].append(notation)
    return left
