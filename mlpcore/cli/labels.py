"""Class labels in a table's column: strings of a CSV file, or integers and strings of an archive."""

import math

import numpy as np

from mlpcore.errors import DataError
from mlpcore.tables import Table, listed
from mlpcore.tables.cells import EMPTY, MISSING, number_in, values_of

Label = str | int


def classes_of(table: Table, target: str) -> tuple[Label, ...]:
    """The distinct labels of a column: numerals by value, then other strings; DataError for gaps and fractions.

    Different strings are different labels, also numerals: "7" and "007", "100" and "1E2".
    """
    column = table.columns[target]
    values, labels = values_of(column), column.tolist()
    if gaps := sum(_is_gap(label, EMPTY if values is None else MISSING) for label in labels):
        raise _no_label(table, target, gaps)
    if values is not None and not whole(values):
        raise DataError(f"{table.source}: {target!r} holds fractions, which are no labels; use --task regression")
    return tuple(sorted({label if isinstance(label, str) else int(label) for label in labels}, key=_by_value))


def class_numbers(table: Table, target: str, classes: tuple[Label, ...]) -> np.ndarray:
    """The indices of the column's labels in ``classes``; DataError for gaps and unknown labels.

    A label that equals a class is that class. A string and an integer match by value, as files may differ in the type.
    """
    numbers: dict[Label | None, int] = {label: number for number, label in enumerate(classes)}
    labels = table.columns[target].tolist()
    class_ids = [numbers.get(label, numbers.get(_other_type(label), -1)) for label in labels]
    unknown = [label for label, number in zip(labels, class_ids, strict=True) if number < 0]
    if gaps := sum(_is_gap(label, MISSING) for label in unknown):
        raise _no_label(table, target, gaps)
    if unknown:
        shown = listed(list(dict.fromkeys(unknown)))
        raise DataError(f"{table.source}: {target!r} holds the unknown label {shown}")
    return np.array(class_ids)


def whole(values: np.ndarray) -> bool:
    """Whether all values are integers."""
    return bool(np.all(values == np.floor(values)))


def _is_gap(label: str | float, gaps: set[str]) -> bool:
    """Whether a label is missing: a string that means so, or a number that is not finite."""
    return label.strip().lower() in gaps if isinstance(label, str) else not math.isfinite(label)


def _no_label(table: Table, target: str, gaps: int) -> DataError:
    return DataError(
        f"{table.source}: missing labels: {target!r} has no label in {gaps} of {table.rows} rows; drop these rows or "
        "fill them in"
    )


def _by_value(label: Label) -> tuple[float, str]:
    value = number_in(str(label))
    return math.inf if value is None else value, str(label)


def _other_type(label: str | float) -> Label | None:
    """An integer as a string, or a string as an integer; None for all others."""
    value = number_in(label) if isinstance(label, str) else float(label)
    if value is None or not value.is_integer():
        return None
    if not isinstance(label, str):
        return str(int(label))
    return int(label) if label.lstrip("+-").isdigit() else int(value)
