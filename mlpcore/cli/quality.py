"""How good a trained model is on rows that it has not learnt, beside a constant and gradient-boosted trees."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from mlpcore.cli.output import one_line
from mlpcore.cli.parts import Parts
from mlpcore.metrics import accuracy, balanced_accuracy, mean_absolute_error, root_mean_squared_error
from mlpcore.random import Stream
from mlpcore.tabular.recipe import sample
from mlpcore.tabular.target import Target

LEARNT = 100_000  # rows at most that the trees learn from
TREE_LEVELS = 255  # of a category that they take; those of others are numbers to them
NETWORK = "this network"
Measures = dict[str, float]


def baselines(subset: str, parts: Parts, seed: int) -> dict[str, np.ndarray]:
    """The predictions of the baselines for a part of the rows, of probabilities or scaled amounts.

    The trees are scikit-learn's `HistGradientBoostingClassifier` or `HistGradientBoostingRegressor` with its default
    arguments, on the same columns and at most `LEARNT` rows; they are left out where scikit-learn is not installed.
    """
    x, _ = getattr(parts, subset)
    trees = _trees(parts, x, seed)
    found = {} if trees is None else {"gradient-boosted trees": trees}
    return found | {"a constant": _constant(parts.train[1], len(x), parts.description.target)}


def quality_lines(subset: str, parts: Parts, rows: dict[str, Measures]) -> Iterator[str]:
    """The lines of a table of measures by row."""
    target, count = parts.description.target, len(getattr(parts, subset)[0])
    names = list(next(iter(rows.values())))
    width = max(map(len, rows))
    units = "" if target.labels else f", errors in the units of {target.name!r}"
    yield one_line(f"{subset}, {count} rows{units}:")
    yield f"  {'':{width}}  " + "  ".join(names)
    for row, values in rows.items():
        yield f"  {row:{width}}  " + "  ".join(f"{short(values[name]):>{len(name)}}" for name in names)


def short(value: float) -> str:
    """A measure with four decimals, or six digits from 1,000 on; "not defined" for NaN."""
    if math.isnan(value):
        return "not defined"
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.6g}"


def measures(prediction: np.ndarray, y: np.ndarray, target: Target) -> Measures:
    """The measures of probabilities (n, classes) for class numbers y (n,), or of scaled amounts (n, 1) for y (n, 1)."""
    ones = np.ones(len(y))
    if target.labels:
        least = np.finfo(prediction.dtype).eps  # a probability of 0 would cost infinitely much
        return {
            "accuracy": float(accuracy(y, prediction, ones)),
            "balanced accuracy": float(balanced_accuracy(y, prediction, ones)),
            "log loss": float(-np.mean(np.log(np.maximum(prediction[np.arange(len(y)), y], least)))),
            "area under ROC": _area(prediction, y),
        }
    assert target.scaling is not None, "set for regression"
    scale, spread = float(target.scaling.scale[0]), float(np.std(y))
    pair = y.astype(np.float64), prediction.astype(np.float64)
    root = float(root_mean_squared_error(*pair, ones))
    return {
        "R2": 1 - (root / spread) ** 2 if spread else float("nan"),
        "root mean squared error": root * scale,
        "mean absolute error": float(mean_absolute_error(*pair, ones)) * scale,
    }


def _area(prediction: np.ndarray, y: np.ndarray) -> float:
    """The area under the ROC curve: of the second of two classes, else the mean over each class against the others.

    It is the share of pairs of a row in and a row outside of the class in which the first has the larger probability,
    ties counting half. NaN where no class has both kinds of rows.
    """
    classes = [1] if prediction.shape[1] == 2 else range(prediction.shape[1])
    areas = []
    for label in classes:
        inside = y == label
        count, others = int(inside.sum()), int((~inside).sum())
        if count and others:
            _, place, times = np.unique(prediction[:, label], return_inverse=True, return_counts=True)
            ranks = (np.cumsum(times) - (times - 1) / 2)[place]
            areas.append((ranks[inside].sum() - count * (count + 1) / 2) / (count * others))
    return float(np.mean(areas)) if areas else float("nan")


def _constant(y: np.ndarray, rows: int, target: Target) -> np.ndarray:
    """The same prediction for every row: the shares of the classes in training, or the mean."""
    if target.labels:
        shares = np.bincount(y, minlength=len(target.labels)) / len(y)
        return np.broadcast_to(shares, (rows, len(shares)))
    return np.full((rows, 1), y.mean())


def _trees(parts: Parts, x: np.ndarray, seed: int) -> np.ndarray | None:
    """The predictions of gradient-boosted trees; None where scikit-learn is missing."""
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    except ImportError:
        return None
    (all_rows, all_y), encoder, target = parts.train, parts.description.encoder, parts.description.target
    chosen = sample(np.arange(len(all_rows)), LEARNT, Stream(seed, "sample"))
    rows, y = all_rows[chosen], all_y[chosen]
    categories = [*range(encoder.numeric_columns, rows.shape[1])]
    few = [j for j, size in zip(categories, encoder.category_sizes, strict=True) if size <= TREE_LEVELS]
    words = {"random_state": seed % 2**32, "categorical_features": few}
    if not target.labels:
        return HistGradientBoostingRegressor(**words).fit(rows, y[:, 0]).predict(x)[:, None]
    if len(np.unique(y)) < 2:
        return None
    fitted: Any = HistGradientBoostingClassifier(**words).fit(rows, y)
    probabilities = np.zeros((len(x), len(target.labels)))
    probabilities[:, fitted.classes_] = fitted.predict_proba(x)
    return probabilities


def next_lines(path: str, source: str) -> Iterator[str]:
    """How to go on: the command that predicts, and the lines of Python that do."""
    data = "FILE" if source == "-" else _quoted(source)
    yield one_line(f"to predict new rows: mlpcore predict {_quoted(path)} {data}")
    yield "in Python, for a data frame:"
    yield "  from mlpcore.tabular import load"
    yield f"  load({path!r}).predict(frame)"


def _quoted(path: str) -> str:
    return f"'{path}'" if " " in path else path
