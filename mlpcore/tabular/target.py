"""What the target of a table is: labels or an amount, why, and which rows have one."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from mlpcore.errors import ConfigurationError, DataError
from mlpcore.preprocessing import Standardize
from mlpcore.tables import Table, listed
from mlpcore.tabular.cells import EMPTY, MISSING
from mlpcore.tabular.stored import check_field, check_list, damaged

TASKS = CLASSIFICATION, REGRESSION = ("classification", "regression")
FEW = 20  # up to this many different integers are labels (classification), more are amounts (regression)

Label = str | int | float | bool
WHOLE = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
DTYPES = ("object", "str", "bool", "float32", "float64", *WHOLE)  # of labels


@dataclass(frozen=True)
class Target:
    """The target column ``name``.

    ``labels`` are those of classes 0, 1, ...: strings as in a file of text, integers, or entries of an array of
    ``dtype``. They are empty for regression, where ``scaling`` standardises the target, so that predictions can be
    converted to its units; it is None if the network predicts in these.
    """

    name: str
    labels: tuple[Label, ...] = ()
    scaling: Standardize | None = None
    dtype: str = "object"

    @classmethod
    def of_classes(cls, classes: np.ndarray, name: str = "") -> Self:
        """The target with these classes, "" without a name; ConfigurationError for a dtype not in `DTYPES`."""
        dtype = "str" if classes.dtype.kind == "U" else classes.dtype.name
        if dtype not in DTYPES[1:]:
            raise ConfigurationError(f"classes of {classes.dtype} cannot be stored, expected {', '.join(DTYPES[1:])}")
        return cls(name, tuple(classes.tolist()), None, dtype)

    def classes(self) -> np.ndarray:
        """The labels as an array of ``dtype``."""
        labels = np.empty(len(self.labels), dtype=object)
        labels[:] = self.labels
        return labels.astype(self.dtype)

    @property
    def task(self) -> str:
        """ "classification" if there are labels, else "regression"."""
        return CLASSIFICATION if self.labels else REGRESSION

    def read(self, table: Table) -> np.ndarray:
        """The target of all rows (n,): class numbers or amounts as float64, NaN where it is missing.

        DataError for unknown labels, infinite amounts, and texts that are no amounts.
        """
        if self.labels:
            return class_numbers(table, self.name, self.labels)
        numbers = table.numbers(self.name)
        if numbers is None:
            numbers = table.read_as({self.name: "numeric"}).numbers(self.name)
        if numbers is None:
            raise DataError(f"{table.source}: the target {self.name!r} holds texts, expected amounts")
        _check_finite(table, self.name, numbers)
        return numbers

    def to_json(self) -> dict[str, Any]:
        """The target as JSON values."""
        scaling = self.scaling and [*self.scaling.mean.tolist(), *self.scaling.scale.tolist()]
        return {"name": self.name, "labels": list(self.labels), "scaling": scaling, "dtype": self.dtype}

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """The target of `to_json`; ModelFileError for other values."""
        name, labels = check_field(data, "name", str), tuple(check_list(data, "labels", str, int, bool, float))
        dtype = check_field({"dtype": "object"} | data, "dtype", str)
        if labels:
            target = cls(name, labels, None, dtype if dtype in DTYPES else damaged("dtype", repr(dtype)[:80]))
            return target if _fits(target) else damaged("labels", f"none of {dtype}")
        if check_field(data, "scaling", list, None) is None:
            return cls(name)
        scaling = check_list(data, "scaling", float)
        means, scales = scaling[: len(scaling) // 2], scaling[len(scaling) // 2 :]
        if not means or len(means) != len(scales) or min(scales) <= 0:
            damaged("scaling", repr(scaling)[:80])
        return cls(name, (), Standardize(means, scales))


def _fits(target: Target) -> bool:
    """Whether the dtype holds the labels as they are."""
    try:
        return bool(target.classes().tolist() == list(target.labels))
    except (OverflowError, TypeError, ValueError):
        return False


def understand_target(table: Table, name: str, task: str = "auto") -> tuple[Target, str]:
    """The target of a table, without scaling, and the reason for its task."""
    numbers = table.numbers(name)
    if task == REGRESSION:
        return Target(name), "as told"
    why = "as told"
    if task == "auto":
        task, why = _guess(table, name, numbers)
        if task == REGRESSION:
            return Target(name), why
    labels = labels_of(table, name, numbers)
    if len(labels) < 2:
        raise DataError(f"{table.source}: {name!r} holds the one label {labels[0]!r}, expected at least two")
    if 2 * len(labels) > table.rows:
        raise DataError(
            f"{table.source}: {name!r} holds {len(labels)} labels in {table.rows} rows, too many to learn; "
            "take another target, or --task regression for amounts"
        )
    return Target(name, labels), why


def _guess(table: Table, name: str, numbers: np.ndarray | None) -> tuple[str, str]:
    """The task for a target column, and the reason."""
    if numbers is None:
        return CLASSIFICATION, "because the target is text"
    present = np.unique(numbers[np.isfinite(numbers)])
    whole = bool(np.all(present == np.floor(present)))
    if len(present) <= FEW and whole:
        return CLASSIFICATION, f"because the target holds {len(present)} different whole numbers"
    return REGRESSION, "because the target holds " + ("many whole numbers" if whole else "fractions")


def labels_of(table: Table, name: str, numbers: np.ndarray | None) -> tuple[Label, ...]:
    """The distinct labels of a column: numerals by value, then other strings; DataError for fractions.

    Different strings are different labels, also numerals: "7" and "007", "100" and "1E2".
    """
    counts: Counter[Any] = Counter()
    for cells in table.cells(name):
        counts.update(cells)
    present = [entry for entry in counts if not is_gap(entry, EMPTY if numbers is None else MISSING)]
    if not present:
        raise DataError(f"{table.source}: {name!r} has no label in any of {table.rows} rows, expected some")
    if numbers is not None and not np.all((numbers == np.floor(numbers)) | ~np.isfinite(numbers)):
        raise DataError(f"{table.source}: {name!r} holds fractions, which are no labels; use --task regression")
    return tuple(sorted({_label(entry) for entry in present}, key=_by_value))


def class_numbers(table: Table, name: str, labels: Sequence[Label]) -> np.ndarray:
    """The numbers of the column's labels in ``labels`` (n,) as float64, NaN for gaps; DataError for unknown labels.

    An entry that equals a label is that label. A string and an integer match by value, as files may differ in the type,
    and so do "True" or "true" with a truth value.
    """
    numbers: dict[Any, float] = {label: float(number) for number, label in enumerate(labels)}
    for label in labels:
        if isinstance(label, bool):
            numbers |= {str(label): numbers[label], str(label).lower(): numbers[label]}
    classes, unknown = [], dict[Any, None]()
    for cells in table.cells(name):
        for entry in cells:
            number = numbers.get(entry, numbers.get(_other_type(entry), -1.0))
            if number < 0:
                number = math.nan
                unknown |= {} if is_gap(entry, MISSING) else {entry: None}
            classes.append(number)
    if unknown:
        raise DataError(
            f"{table.source}: {name!r} holds the unknown label {listed(list(unknown))}, expected {listed(list(labels))}"
        )
    return np.array(classes)


def is_gap(entry: Any, words: Iterable[str]) -> bool:
    """Whether an entry is missing: None, a string that means so, or a number that is not finite."""
    if isinstance(entry, str):
        return entry.strip().lower() in words
    return entry is None or not math.isfinite(entry)


def _check_finite(table: Table, name: str, numbers: np.ndarray) -> None:
    if count := int(np.isinf(numbers).sum()):
        row = int(np.isinf(numbers).argmax()) + 1
        raise DataError(
            f"{table.source}: the target {name!r} is infinite in {count} of {len(numbers)} rows, the first in data row "
            f"{row}; correct them, or leave the cells empty"
        )


def _label(entry: Any) -> Label:
    return entry if isinstance(entry, str) else int(entry)


def _by_value(label: Label) -> tuple[float, str]:
    value = number_in(str(label))
    return math.inf if value is None else value, str(label)


def number_in(cell: str) -> float | None:
    """The finite number in a text, else None."""
    try:
        value = math.nan if "_" in cell else float(cell)  # Python reads 2020_01 as a number
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _other_type(label: Any) -> Label | None:
    """An integer as a string, or a string as an integer; None for all others."""
    if label is None:
        return None
    value = number_in(label) if isinstance(label, str) else float(label)
    if value is None or not value.is_integer():
        return None
    if not isinstance(label, str):
        return str(int(label))
    return int(label) if label.lstrip("+-").isdigit() else int(value)
