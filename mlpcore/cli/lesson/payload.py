"""The numbers of a page: float32 arrays in base64, of as many rows as the page has room for, and matrices cut."""

import base64
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from mlpcore.cli.lesson.network import Lesson
from mlpcore.cli.lesson.passes import Numbers, prepared, row_numbers
from mlpcore.errors import NonFiniteError
from mlpcore.layers import Linear
from mlpcore.random import Stream
from mlpcore.tabular.recipe import sample

WHOLE, CUT = 10, 6  # up to so many neurons are shown, of more of them only so many
BUDGET = 250_000  # numbers of rows at most, 1.3 MB
MOST_ROWS, MOST_DOTS = 48, 250  # that can be chosen, and that are drawn besides
LARGEST = float(np.finfo(np.float32).max)
GRID = 40  # points of the map on each axis


def shown_units(lesson: Lesson) -> list[list[int]]:
    """For x and the output of every Linear the numbers of the columns that are shown.

    Of many columns of x those that vary most, of many neurons the first ones.
    """
    shown = [list(range(width if width <= WHOLE else CUT)) for width in lesson.widths]
    x = lesson.rows.train[0]
    if x.shape[1] > WHOLE:
        shown[0] = np.sort(np.argsort(-np.var(x, axis=0), kind="stable")[:CUT]).tolist()
    return shown


def packed(array: np.ndarray) -> str:
    """The numbers as float32 in base64; NonFiniteError if one is too large for it."""
    if not np.all(np.abs(array) <= LARGEST):
        raise NonFiniteError(
            "the training diverges: its numbers become larger than 3e38; take a smaller learning rate (--learning-rate)"
        )
    return base64.b64encode(np.ascontiguousarray(array, dtype="<f4").tobytes()).decode()


def payload(lesson: Lesson, seed: int = 0) -> dict[str, Any]:
    """What the page's script reads, as JSON values; see ``numbers.js`` for how."""
    shown, rows = shown_units(lesson), lesson.rows
    x, y = rows.train
    target = prepared(lesson.model, y, lesson.widths[-1])

    def numbers_of(i: int, epoch: int) -> Numbers:
        return row_numbers(lesson.model, lesson.params[epoch], x[i : i + 1], target[i : i + 1], shown)

    cuts = {name: _cut(name, array.shape, shown) for name, array in numbers_of(0, 0).items()}
    slots, size = _slots(cuts)
    room = max(4, BUDGET // (size * len(lesson.epochs)))
    chosen = sample(np.arange(len(x)), min(MOST_ROWS, room), Stream(seed, "explain.rows"))
    numbers = [[_vector(numbers_of(i, epoch), cuts) for i in chosen] for epoch in range(len(lesson.epochs))]
    weights, weight_slots, weight_size = _parameters(lesson, shown)
    found = {
        "epochs": lesson.epochs,
        "measures": {name: [row[name] for row in lesson.measures] for name in lesson.measures[0]},
        "rows": [{"number": int(i), "class": int(y[i]) if rows.labels else None} for i in chosen],
        "labels": list(rows.labels),
        "target": rows.target,
        "widths": lesson.widths,
        "shown": shown,
        "inputs": [rows.columns[i] for i in shown[0]],
        "outputs": _outputs(lesson, shown[-1]),
        "numbers": {"slots": slots, "size": size, "data": packed(np.array(numbers))},
        "weights": {"slots": weight_slots, "size": weight_size, "data": packed(weights)},
    }
    if x.shape[1] == 2:
        found["plane"] = _plane(lesson, chosen, seed)
    if rows.image is not None:
        found["images"] = {"shape": list(rows.image), "data": packed(x[chosen])}
    return found


def _outputs(lesson: Lesson, shown: Sequence[int]) -> list[str]:
    """The names of the outputs that are shown."""
    labels = lesson.rows.labels
    if len(labels) > 2:
        return [labels[i] for i in shown]
    return [f"{labels[1]}?"] if labels else [lesson.rows.target]


def _cut(name: str, shape: tuple[int, ...], shown: Sequence[Sequence[int]]) -> tuple[Sequence[int], Sequence[int]]:
    """The rows and columns that are shown of an array of `row_numbers`."""
    letters, layer = name.rstrip("0123456789"), name[len(name.rstrip("0123456789")) :]
    if letters in ("dW", "new_W"):
        return shown[int(layer) - 1], shown[int(layer)]
    if name == "x":
        return [0], shown[0]
    if letters in ("L", "new_L", "measured"):
        return [0], range(4) if letters == "measured" else [0]
    return [0], shown[int(layer)] if layer else shown[-1]


def _slots(cuts: dict[str, tuple[Sequence[int], Sequence[int]]]) -> tuple[dict[str, list[int]], int]:
    """For each name the place of its first number, and how many rows and columns are there; and the size of all."""
    slots, size = dict[str, list[int]](), 0
    for name, (rows, columns) in cuts.items():
        slots[name] = [size, len(rows), len(columns)]
        size += len(rows) * len(columns)
    return slots, size


def _vector(numbers: Numbers, cuts: dict[str, tuple[Sequence[int], Sequence[int]]]) -> np.ndarray:
    return np.concatenate([numbers[name][np.ix_(*cut)].ravel() for name, cut in cuts.items()])


def _parameters(lesson: Lesson, shown: Sequence[Sequence[int]]) -> tuple[np.ndarray, dict[str, list[int]], int]:
    """The weights and biases that are shown, (epochs, size), and their slots."""
    vectors, cuts = [], dict[str, tuple[Sequence[int], Sequence[int]]]()
    for params in lesson.params:
        linear = (part for part, layer in zip(params, lesson.layers, strict=True) if isinstance(layer, Linear))
        arrays = Numbers()
        for k, part in enumerate(linear, start=1):
            arrays |= {f"W{k}": part["weight"], f"b{k}": part["bias"][None, :]}
            cuts |= {f"W{k}": (shown[k - 1], shown[k]), f"b{k}": ([0], shown[k])}
        vectors.append(_vector(arrays, cuts))
    return np.array(vectors), *_slots(cuts)


def _plane(lesson: Lesson, chosen: np.ndarray, seed: int) -> dict[str, Any]:
    """The map of predictions over two columns, a byte for each point and epoch, and the rows as points.

    Two classes: 255 times the probability of the second. More classes: 16 times the number of the most probable, plus
    15 times its probability; from 16 classes on there is no map. Amounts: 0 for the smallest target, 255 for the
    largest.
    """
    x, y = lesson.rows.train
    low, high = x.min(axis=0), x.max(axis=0)
    margin = 0.1 * np.where(high > low, high - low, 1.0)
    low, high = low - margin, high + margin
    first, second = (np.linspace(low[j], high[j], GRID) for j in (0, 1))
    points = np.stack(np.meshgrid(first, second), axis=-1).reshape(-1, 2)  # the second axis varies slowest
    classes, before = len(lesson.rows.labels), lesson.model.params
    maps = []
    for params in lesson.params:
        lesson.model.params = params
        maps.append(_bytes(np.asarray(lesson.model.predict(points)), classes, y))
    lesson.model.params = before
    others = np.setdiff1d(np.arange(len(x)), chosen)
    others = sample(others, MOST_DOTS, Stream(seed, "explain.dots")) if len(others) else others
    kind = "amount" if not classes else "two" if classes == 2 else "many" if classes < 16 else "none"
    return {
        "kind": kind,
        "low": low.tolist(),
        "high": high.tolist(),
        "grid": GRID,
        "maps": base64.b64encode(np.array(maps, dtype=np.uint8).tobytes()).decode(),
        "points": packed(x[chosen]),
        "others": packed(x[others]),
        "classes": _list(y[chosen]) if classes else [],
        "other_classes": _list(y[others]) if classes else [],
    }


def _bytes(prediction: np.ndarray, classes: int, y: np.ndarray) -> np.ndarray:
    if not classes:
        low, high = float(np.min(y)), float(np.max(y))
        return np.clip(255 * (prediction[:, 0] - low) / (high - low or 1.0), 0, 255).round()
    if classes == 2:
        return (255 * prediction[:, 0]).round()
    best = prediction.argmax(axis=1)
    return np.minimum(best, 15) * 16 + (15 * prediction.max(axis=1)).round()


def _list(values: Iterable[Any]) -> list[int]:
    return [int(value) for value in values]
