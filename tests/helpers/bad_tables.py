"""Columns, targets and weights of tables with nothing to learn from, or with numbers at the ends of their range."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import mlpcore as mc

ROWS = 40
RANDOM = np.random.default_rng(0)
SIZE, NORMAL = RANDOM.normal(size=(2, ROWS))
TOWN = RANDOM.choice(["Rome", "Oslo", "Bonn"], ROWS).astype(object)
HALF = np.arange(ROWS) % 2 == 0
AMOUNTS, LABELS = 2 * SIZE + 1, np.where(SIZE > 0, "high", "low")
END = np.where(HALF, 1.7e308, -1.7e308)
NUMBERS: dict[str, np.ndarray] = {
    "constant": np.ones(ROWS),
    "constant at 1e300": np.full(ROWS, 1e300),
    "constant at a denormal": np.full(ROWS, 1e-310),
    "denormal": NORMAL * 1e-310,
    "denormal in float32": NORMAL * 1e-42,
    "huge": NORMAL * 1e300,
    "at the end of the range": END,
    "of vanishing variance": NORMAL * 1e-170,
    "of infinite variance": NORMAL * 1e170,
    "one outlier": np.r_[np.zeros(ROWS - 1), 1e300],
    "a heavy tail": np.r_[NORMAL[3:], 1e5, -1e200, 1e300],
    "a heavy tail of denormals": np.r_[NORMAL[2:] * 1e-310, 1e300, 1.0],
    "far from zero": 1e8 + NORMAL * 1e-8,
    "with infinity": np.r_[NORMAL[1:], np.inf],
    "missing but one": np.r_[np.full(ROWS - 1, np.nan), 3.0],
    "missing": np.full(ROWS, np.nan),
    "half missing": np.where(HALF, np.nan, NORMAL),
}
COLUMNS: dict[str, Any] = NUMBERS | {
    "constant with gaps": np.where(HALF, np.nan, 1.0),
    "the largest number with gaps": np.where(HALF, np.nan, 1.7e308),
    "large whole numbers": np.where(HALF, 2**62, -(2**62)),
    "a level once": np.array(["a"] * (ROWS - 1) + ["z"], dtype=object),
    "each level once": np.array([f"level {i}" for i in range(ROWS)], dtype=object),
    "no level": np.full(ROWS, None),
    "a level with gaps": np.where(HALF, None, np.full(ROWS, "a", dtype=object)),
    "one truth": np.r_[np.ones(ROWS - 1, bool), False],
    "one date": np.full(ROWS, np.datetime64("2020-01-01", "s")),
    "the first and the last date": np.where(HALF, np.datetime64("1700-01-01", "s"), np.datetime64("2262-01-01", "s")),
    "no date": np.full(ROWS, np.datetime64("NaT", "s")),
}
TARGETS: dict[str, np.ndarray] = NUMBERS | {
    "two columns": np.column_stack([AMOUNTS, NORMAL * 1e300]),
    "one class": np.full(ROWS, "high"),
    "a class once": np.r_[["rare"], LABELS[1:]],
    "each class once": np.arange(ROWS).astype(str),
    "labels missing but one": np.r_[["high"], np.full(ROWS - 1, None)],
}
WEIGHTS: dict[str, np.ndarray] = {
    "zeros": np.zeros(ROWS),
    "zero but one": (np.arange(ROWS) == 5).astype(float),
    "a class of weight zero": (LABELS == "high").astype(float),
    "half": HALF.astype(float),
    "denormal": np.full(ROWS, 1e-310),
    "the smallest": np.full(ROWS, 5e-324),
    "denormal in float32": np.full(ROWS, 1e-40),
    "huge": np.full(ROWS, 1e38),
    "of infinite sum": np.full(ROWS, 1e308),
    "tiny beside 1": np.where(HALF, 1e-200, 1.0),
    "of all sizes": np.geomspace(1e-300, 1e300, ROWS),
    "negative": np.r_[-1.0, np.ones(ROWS - 1)],
    "NaN": np.r_[np.nan, np.ones(ROWS - 1)],
}
# What an error says: what it expected, or what to do. The last words are scikit-learn's.
SAID = ("expected", "drop", "replace", "divide", "scale", "take ", "smaller", "correct", "Input ", "at least one")


def finite_or_said(work: Callable[[], dict[str, Any]], *, at_the_end: bool = False) -> dict[str, Any] | None:
    """The numbers, none NaN: weights and predictions finite, and where no number is at the end of the range all.

    None after an error that says what it expected, or what to do.
    """
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            numbers = work()
        except (mc.MlpcoreError, ValueError) as error:
            assert any(word in str(error) for word in SAID), error
            return None
    for name, values in numbers.items():
        values = np.asarray(values, dtype=np.float64)
        assert not np.any(np.isnan(values)), name
        assert at_the_end or np.all(np.isfinite(values)), name
    return numbers
