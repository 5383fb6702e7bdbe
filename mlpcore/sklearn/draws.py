"""The legacy draws: all that scikit-learn takes from a `RandomState`, in its order, on the host, in this one place."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state

from mlpcore.tables import split


class Draws:
    """One `RandomState` and the order of the rows that it has last made.

    A fit draws, in this sequence: initial weights and biases, the part held out for validation, then a permutation for
    every epoch, which shuffles the order of the epoch before. Who goes on with the same object goes on with the same
    sequence, so that two fits of two epochs see the rows in the order of one fit of four.
    """

    def __init__(self, random_state: Any) -> None:
        self.random = check_random_state(random_state)
        self.last: np.ndarray | None = None

    def parameters(self, units: Sequence[int], factors: Sequence[float], dtype: str) -> list[tuple[Any, Any]]:
        """``(weight, bias)`` layer by layer: both uniform over ``[-a, a)`` with ``a = sqrt(factor / (in + out))``.

        Drawn in float64 whatever the dtype, the weight before the bias.
        """
        made = []
        for n_in, n_out, factor in zip(units[:-1], units[1:], factors, strict=True):
            bound = np.sqrt(factor / (n_in + n_out))
            weight = self.random.uniform(-bound, bound, (n_in, n_out))
            bias = self.random.uniform(-bound, bound, n_out)
            made.append((weight.astype(dtype), bias.astype(dtype)))
        return made

    def held_out(
        self, rows: int, fraction: float, stratify: Any = None, classes: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers ``(train, validation)``.

        ``stratify`` goes to scikit-learn's own splitter, which refuses a class of one row. With ``classes`` (labels of
        the rows) every class keeps its share as well as rounding lets it, and at least one row to train on.
        """
        if classes is not None:
            return split(rows, fraction, int(self.random.randint(2**31 - 1)), classes)
        train, held = train_test_split(np.arange(rows), random_state=self.random, test_size=fraction, stratify=stratify)
        return train, held

    def order(self, rows: int) -> np.ndarray:
        """The order of the next epoch: a permutation of the last one's."""
        if self.last is None or self.last.size != rows:
            self.last = np.arange(rows)
        permutation = np.arange(rows)
        self.random.shuffle(permutation)
        self.last = self.last[permutation]
        return self.last

    def seed(self) -> int:
        """A seed for mlpcore's own draws, those of dropout."""
        return int(self.random.randint(2**31 - 1))

    def __getstate__(self) -> dict[str, Any]:
        last = None if self.last is None or self.last.size >= 2**31 else self.last.astype(np.int32)
        return {"random": self.random, "last": last}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.random = state["random"]
        self.last = None if state["last"] is None else state["last"].astype(np.intp)
