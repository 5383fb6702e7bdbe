"""The rows that a lesson trains on: built-in examples, which are drawn or come with scikit-learn."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mlpcore.cli import digits
from mlpcore.random import Stream
from mlpcore.tables import split


@dataclass(frozen=True)
class Rows:
    """Rows to train on, and to validate with (None for none).

    ``train`` and ``validation`` are pairs x (n, columns) and y: class numbers (n,), or amounts (n, 1) where ``labels``
    is empty. ``columns`` are the names of the columns of x, ``target`` that of y. ``image`` is the shape of a picture
    if a row is one. ``note`` says in a sentence what the rows are.
    """

    name: str
    note: str
    columns: tuple[str, ...]
    target: str
    labels: tuple[str, ...]
    train: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray] | None = None
    image: tuple[int, int] | None = None


class Example(NamedTuple):
    """A built-in example: its rows for a seed, and the settings with which its network learns."""

    rows: Callable[[int], Rows]
    hidden: tuple[int, ...]
    epochs: int
    learning_rate: float
    batch_size: int


COUNT = 200  # of the rows that are drawn
SHARE = 0.2  # of the rows that are held out for validation


def _xor(seed: int) -> Rows:
    x = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    note = "XOR: the answer is yes if one of the two inputs is 1, but not both. No straight line separates the answers."
    return Rows("xor", note, ("first", "second"), "answer", ("no", "yes"), (x, np.array([0, 1, 1, 0])))


def _moons(seed: int) -> Rows:
    angle = math.pi * Stream(seed, "explain").child("angle").uniform((COUNT,))
    upper = np.arange(COUNT) % 2 == 0
    curve = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    x = np.where(upper[:, None], curve, [1.0, 0.4] - curve) - [0.5, 0.2]
    return _drawn("moons", "Two half moons that reach into each other.", x, 0.2, upper, ("lower", "upper"), seed)


def _circles(seed: int) -> Rows:
    angle = 2 * math.pi * Stream(seed, "explain").child("angle").uniform((COUNT,))
    inner = np.arange(COUNT) % 2 == 0
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1) * np.where(inner, 0.5, 1.1)[:, None]
    return _drawn("circles", "A ring around another.", x, 0.1, inner, ("outer", "inner"), seed)


def _drawn(
    name: str, note: str, x: np.ndarray, noise: float, y: np.ndarray, labels: tuple[str, ...], seed: int
) -> Rows:
    x = x + noise * Stream(seed, "explain").child("noise").normal(x.shape)
    return _split(name, note, ("x1", "x2"), "class", labels, x, y.astype(np.int64), seed)


def _digits(seed: int) -> Rows:
    table, description, _ = digits.load()
    y = description.target.read(table).astype(np.int64)
    frame = table.take(np.arange(len(y)), description.encoder.kept)
    x = description.rows(frame, "float64")
    columns, labels = tuple(description.encoder.names), tuple(map(str, description.target.labels))
    note = "Handwritten digits, pictures of 8 × 8 pixels from 0 (white) to 1 (black), which come with scikit-learn."
    return _split("digits", note, columns, "digit", labels, x, y, seed, (8, 8))


def _split(
    name: str,
    note: str,
    columns: tuple[str, ...],
    target: str,
    labels: tuple[str, ...],
    x: np.ndarray,
    y: np.ndarray,
    seed: int,
    image: tuple[int, int] | None = None,
) -> Rows:
    train, held_out = split(len(y), SHARE, seed, y)
    return Rows(name, note, columns, target, labels, (x[train], y[train]), (x[held_out], y[held_out]), image)


EXAMPLES = {
    "xor": Example(_xor, (4,), 400, 0.5, 1),
    "moons": Example(_moons, (6, 4), 80, 0.3, 8),
    "circles": Example(_circles, (6,), 80, 0.5, 8),
    "digits": Example(_digits, (16,), 20, 0.2, 16),
}
