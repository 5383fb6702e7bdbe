"""Rows for early stopping that the caller chooses: by a splitter of scikit-learn, by groups, or as validation data."""

from typing import Any

import numpy as np

from mlpcore.backends.transfer import to_host
from mlpcore.sklearn.casts import is_foreign
from mlpcore.sklearn.labels import of_one_type
from mlpcore.training.frames import readable


def checked_groups(groups: Any, rows: int) -> np.ndarray:
    """``groups`` on the host, (rows,) and of one type; ValueError for another shape and for missing groups."""
    labels = of_one_type("groups", readable("groups", to_host(groups) if is_foreign(groups) else groups))
    shape = labels.shape if isinstance(labels, np.ndarray) else None
    if shape != (rows,):
        seen = f"is of type {type(groups).__name__}" if shape is None else f"has shape {shape}"
        raise ValueError(f"groups {seen}, expected shape ({rows},): one group for every row of X")
    return np.asarray(labels)


def check_one_choice(estimator: Any, groups: Any) -> None:
    """ValueError where validation data come together with another choice of the rows for early stopping."""
    for name, value in (("validation_split", estimator.validation_split), ("groups", groups)):
        if value is not None:
            raise ValueError(
                f"validation_data (or X_val, y_val) and {name} both choose the rows of early stopping, expected one of "
                "them"
            )


def first_split(splitter: Any, X: Any, y: Any, groups: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers ``(train, validation)``: the first split of a splitter of scikit-learn, or the first pair of a list.

    Both sides keep the order of the splitter. Rows on neither side are allowed, as time series have them. ValueError
    for a side that is empty or has no row numbers of X, and for rows on both sides.
    """
    who = f"validation_split ({type(splitter).__name__})"
    if isinstance(splitter, type):
        raise ValueError(f"validation_split is the class {splitter.__name__}, expected an object of it")
    splits = splitter.split(X, y, groups) if hasattr(splitter, "split") else splitter
    split = next(iter(splits), None)
    if not isinstance(split, (tuple, list, np.ndarray)) or len(split) != 2:
        seen = "no split" if split is None else f"an object of type {type(split).__name__} as its first split"
        raise ValueError(f"{who} gives {seen}, expected a pair: the rows to train on, the rows to hold out")
    train, held = (
        _row_numbers(f"{who} gives {{}} {side}", given, y.shape[0])
        for side, given in zip(("to train on", "to hold out"), split, strict=True)
    )
    both = np.intersect1d(train, held)
    if both.size:
        raise ValueError(f"{who} gives {both.size} rows on both sides, the first is row {both[0]}; expected none")
    return train, held


def _row_numbers(said: str, given: Any, rows: int) -> np.ndarray:
    """One side of a split, as numbers or as a mask of all rows; ``said`` is the start of a message about it."""
    numbers = np.asarray(to_host(given) if is_foreign(given) else given)
    if numbers.dtype == bool and numbers.shape == (rows,):
        numbers = np.flatnonzero(numbers)
    if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
        seen = f"an array of shape {numbers.shape} and dtype {numbers.dtype} as rows"
        raise ValueError(f"{said.format(seen)}, expected a one-dimensional array of row numbers")
    if not numbers.size:
        raise ValueError(f"{said.format('no rows')}, expected one or more")
    if numbers.min() < 0 or numbers.max() >= rows:
        outside = numbers.min() if numbers.min() < 0 else numbers.max()
        raise ValueError(f"{said.format(f'row {outside}')}, expected row numbers from 0 to {rows - 1}")
    return numbers.astype(np.intp)
