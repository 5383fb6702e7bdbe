"""The encoding between a table's columns and a model's arrays: chosen in training, stored in the model file."""

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mlpcore.cli.labels import class_numbers, classes_of, whole
from mlpcore.errors import DataError, MlpcoreError, ModelFileError
from mlpcore.files import read_extra
from mlpcore.preprocessing import Standardize
from mlpcore.tables import Table, listed
from mlpcore.tables.cells import other_notation, values_of

TASKS = ("classification", "regression")
FEW = 20  # up to this many different integers are labels (classification), more are quantities (regression)
CODE = re.compile(r"0\d+")  # such as 007: a code, not a quantity


@dataclass(frozen=True)
class Encoding:
    """The feature columns in order, the target column, and the encoding of both.

    ``classes`` are the labels of classes 0, 1, ...: strings as in a CSV file, or integers of an archive. They are empty
    for regression, where ``target_scaler`` standardises the target, so that predictions can be converted to its
    units. ``scaler`` standardises the features. Both are None until `fitted`. ``named`` says whether columns are
    matched by name.
    """

    columns: tuple[str, ...]
    named: bool
    target: str
    classes: tuple[str | int, ...]
    scaler: Standardize | None = None
    target_scaler: Standardize | None = None

    @property
    def task(self) -> str:
        """The name of the task: "classification" if there are classes, else "regression"."""
        return TASKS[0] if self.classes else TASKS[1]

    def fitted(self, x: np.ndarray, y: np.ndarray) -> "Encoding":
        """The encoding with scalings computed from these rows and targets, where it has none yet."""
        target_scaler = None if self.classes else self.target_scaler or Standardize.fit(y[:, None])
        return replace(self, scaler=self.scaler or Standardize.fit(x), target_scaler=target_scaler)

    def rows(self, table: Table) -> np.ndarray:
        """The features of a table as float64, not standardised; matched by name, or by position without names."""
        features = [name for name in table.columns if name != self.target]
        if not (self.named and table.named):
            if len(features) != len(self.columns):
                raise DataError(f"{table.source}: {len(features)} columns, the model takes {len(self.columns)}")
            return table.numbers(features)
        present, expected = set(features), set(self.columns)
        missing = [name for name in self.columns if name not in present]
        extra = [name for name in features if name not in expected]
        if missing or extra:
            said = [f"lacks the column {listed(missing)}"] * bool(missing)
            said += [f"has the column {listed(extra)}, which the model does not take"] * bool(extra)
            raise DataError(f"{table.source}: the table {' and '.join(said)}; columns are matched by name")
        return table.numbers(self.columns)

    def scaled(self, rows: np.ndarray) -> np.ndarray:
        """Features standardised for the model."""
        return rows if self.scaler is None else self.scaler(rows)

    def targets(self, table: Table) -> np.ndarray:
        """The target (rows,): class numbers, or for regression numbers in their units; DataError for other cells."""
        if not self.classes:
            return table.numbers([self.target])[:, 0]
        return class_numbers(table, self.target, self.classes)

    def save(self) -> dict[str, Any]:
        """The arguments for `Model.save` that store the encoding in the model file."""
        scalers = {"columns": self.scaler, "target": self.target_scaler}
        tensors = {
            f"{name}.{field}": getattr(scaler, field)
            for name, scaler in scalers.items()
            if scaler is not None
            for field in ("mean", "scale")
        }
        words = {"columns": list(self.columns), "named": self.named, "target": self.target}
        return {"extra": {"table": words | {"classes": list(self.classes)}}, "extra_tensors": tensors}


def load_encoding(path: str) -> Encoding:
    """The encoding in a model file, checked; ModelFileError if it is missing or incomplete."""
    tensors, values = read_extra(path)
    words = values.get("table")
    if words is None:
        raise ModelFileError(
            f"{path}: the model was not made by mlpcore train, so nothing says what its columns are; use mlpcore.load"
        )
    try:
        columns, named, target, classes = (words[name] for name in ("columns", "named", "target", "classes"))
        fits = isinstance(columns, list) and isinstance(classes, list) and type(named) is bool
        fits = fits and all(isinstance(name, str) for name in (target, *columns))
        if not fits or not all(type(label) in (str, int) for label in classes):
            raise TypeError("columns, target or classes are not what they should be")
        scaler = Standardize(tensors["columns.mean"], tensors["columns.scale"])
        target_scaler = None if classes else Standardize(tensors["target.mean"], tensors["target.scale"])
        if scaler.mean.size != len(columns) or (target_scaler is not None and target_scaler.mean.size != 1):
            raise ValueError("scalings and columns differ in number")
    except (KeyError, TypeError, ValueError, MlpcoreError) as error:
        raise ModelFileError(f"{path}: the description of the table is damaged: {error}") from None
    names = [name.strip() for name in (target, *columns)]  # as in tables that are read; older files contain the spaces
    return Encoding(tuple(names[1:]), named, names[0], tuple(classes), scaler, target_scaler)


def choose_encoding(table: Table, target: str, task: str) -> tuple[Encoding, str]:
    """The encoding of a table for a target, without scalings, and the reason for the chosen task."""
    features = tuple(name for name in table.columns if name != target)
    if not features:
        raise DataError(f"{table.source}: {target!r} is the only column, expected at least one to predict it from")
    why = "as asked"
    if task == "auto":
        task, why = _guess(table, target)
    if task == TASKS[1]:
        table.numbers([target])
        return Encoding(features, table.named, target, ()), why
    classes = classes_of(table, target)
    if len(classes) < 2:
        raise DataError(f"{table.source}: {target!r} holds the one label {classes[0]!r}, expected at least two")
    if 2 * len(classes) > table.rows:
        raise DataError(
            f"{table.source}: {target!r} holds {len(classes)} labels in {table.rows} rows, too many to learn; "
            "take another target, or --task regression for amounts"
        )
    return Encoding(features, table.named, target, classes), why


def _guess(table: Table, target: str) -> tuple[str, str]:
    """The task for a target column, and the reason."""
    column = table.columns[target]
    values = values_of(column)
    if values is None:
        texts = sorted(set(column.tolist()) - {""})
        if len(texts) > FEW and all(map(other_notation, texts)):
            raise DataError(
                f"{table.source}: {target!r} holds {len(texts)} different texts like {texts[0]!r}, "
                f"{other_notation(texts[0])}; or take them as labels with --task classification"
            )
        return TASKS[0], "because the target is text"
    present = np.unique(values[np.isfinite(values)])
    if len(present) <= FEW and whole(present):
        return TASKS[0], f"because the target holds {len(present)} different whole numbers"
    if whole(present) and column.dtype == object and any(map(CODE.fullmatch, column.tolist())):
        return TASKS[0], "because the target holds whole numbers with leading zeros"
    return TASKS[1], "because the target holds " + ("many whole numbers" if whole(present) else "fractions")
