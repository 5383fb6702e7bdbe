"""CategoryEncoder: texts as the indices of levels that are frequent enough to be learnt."""

from collections import Counter
from dataclasses import dataclass
from itertools import count
from typing import Any, ClassVar, Self

import numpy as np

from mlpcore.tabular.stored import check_field, check_list, damaged

MOST_LEVELS = 10_000


def least_count(rows: int) -> int:
    """The number of rows that a level needs: 1, from 200 rows on 2, and from 300 rows on 3."""
    return min(3, max(1, rows // 100))


@dataclass(frozen=True)
class CategoryEncoder:
    """Texts (n,) as indices: level i of ``levels`` is ``i + 1``, and 0 is every other text.

    Levels are in order of their frequency in the training rows, those of one frequency by their texts. Rare levels are
    joined: they have the index 0, which is so learnt for levels that are unseen. A missing value is the level None if
    it is frequent enough, else 0. ``joined`` is the share of the training rows with the index 0.
    """

    levels: tuple[str | None, ...]
    joined: float = 0.0

    width: ClassVar[int] = 1

    @classmethod
    def fit(cls, values: np.ndarray) -> Self:
        """The encoder of training values (n,): texts, None where missing."""
        counts, least = Counter(values.tolist()), least_count(len(values))
        frequent = [(level, rows) for level, rows in counts.items() if rows >= least]
        frequent.sort(key=lambda pair: (-pair[1], pair[0] is None, pair[0] or ""))
        kept = frequent[:MOST_LEVELS]
        return cls(tuple(level for level, _ in kept), 1 - sum(rows for _, rows in kept) / max(1, len(values)))

    @property
    def size(self) -> int:
        """The number of indices, 0 included."""
        return len(self.levels) + 1

    @property
    def missing(self) -> str:
        """What stands for a missing value where all are texts: "", or "?", "??" and so on where that is a level."""
        return next(text for text in map("?".__mul__, count()) if text not in self.levels)

    def indices(self) -> dict[str, int]:
        """The index of every text that has one, with `missing` for a missing value."""
        index = {level: i for i, level in enumerate(self.levels, start=1)}
        gap = index.pop(None, 0)
        return {str(level): i for level, i in index.items()} | {self.missing: gap}

    def transform(self, values: np.ndarray) -> np.ndarray:
        """The indices (n,) as float64."""
        index = {level: float(i) for i, level in enumerate(self.levels, start=1)}
        return np.array([index.get(value, 0.0) for value in values.tolist()])

    def to_json(self) -> dict[str, Any]:
        """The encoder as JSON values."""
        return {"levels": list(self.levels), "joined": self.joined}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The encoder of `to_json`; ModelFileError for other values."""
        levels = tuple(check_list(data, "levels", str, None))
        if len(set(levels)) < len(levels):
            damaged("levels", "a list with a level twice")
        return cls(levels, check_field(data, "joined", float))
