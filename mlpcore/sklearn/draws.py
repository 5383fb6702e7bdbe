"""scikit-learn's random numbers: all draws from a `RandomState`, in scikit-learn's order, on the host."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state

from mlpcore.tables import split


class Draws:
    """One `RandomState`, and the last order of the rows.

    A fit draws, in this sequence: initial weights and biases, the rows held out for validation, then a permutation for
    every epoch, which shuffles the order of the epoch before. With the same object the sequence continues, so that two
    fits of two epochs see the rows in the order of one fit of four.
    """

    def __init__(self, random_state: Any) -> None:
        self.random = check_random_state(random_state)
        self.last: np.ndarray | None = None

    def parameters(self, units: Sequence[int], factors: Sequence[float], dtype: str) -> list[tuple[Any, Any]]:
        """``(weight, bias)`` of every layer, uniform over ``[-a, a)`` with ``a = sqrt(factor / (in + out))``.

        Drawn in float64 for every dtype, the weight before the bias.
        """
        layers = []
        for n_in, n_out, factor in zip(units[:-1], units[1:], factors, strict=True):
            bound = np.sqrt(factor / (n_in + n_out))
            weight = self.random.uniform(-bound, bound, (n_in, n_out))
            bias = self.random.uniform(-bound, bound, n_out)
            layers.append((weight.astype(dtype), bias.astype(dtype)))
        return layers

    def held_out(
        self, rows: int, fraction: float, stratify: Any = None, classes: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers ``(train, validation)``.

        ``stratify`` is passed to scikit-learn's splitter, which rejects a class of one row. With ``classes`` (labels of
        the rows) mlpcore's own splitter keeps the share of every class, and at least one row of it to train on.
        """
        if classes is not None:
            return split(rows, fraction, int(self.random.randint(2**31 - 1)), classes)
        train, held = train_test_split(np.arange(rows), random_state=self.random, test_size=fraction, stratify=stratify)
        return train, held

    def order(self, rows: int) -> np.ndarray:
        """The row order (rows,) of the next epoch: a random permutation of the order of the last one."""
        if self.last is None or self.last.size != rows:
            self.last = np.arange(rows)
        permutation = np.arange(rows)
        self.random.shuffle(permutation)
        self.last = self.last[permutation]
        return self.last

    def seed(self) -> int:
        """A seed for mlpcore's own random numbers, those of dropout."""
        return int(self.random.randint(2**31 - 1))

    def __getstate__(self) -> dict[str, Any]:
        last = None if self.last is None or self.last.size >= 2**31 else self.last.astype(np.int32)
        return {"random": self.random, "last": last}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.random = state["random"]
        self.last = None if state["last"] is None else state["last"].astype(np.intp)
