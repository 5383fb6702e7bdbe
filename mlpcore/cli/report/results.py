"""What a report is made of."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from mlpcore.tabular.description import Description
from mlpcore.training.history import History


class Importance(NamedTuple):
    """How much a measure falls when a column is permuted: mean and standard deviation over the permutations."""

    name: str
    fall: float
    deviation: float


class Results(NamedTuple):
    """A trained model for a table: how it was trained, and its predictions of rows that were held out.

    - ``name`` of the data; ``description`` of the columns and the target
    - ``facts``: pairs of a label and a text
    - ``subset``: "test" or "validation", what the held-out rows are
    - ``y`` of these rows: class numbers (n,), or amounts (n,) in the target's units; n may be 0
    - ``prediction``: probabilities (n, classes), or amounts (n,) in the target's units
    - ``measures``: a row of numbers by name for the network, which comes first, and for each baseline. The first
      number of a row is the main measure, accuracy or R2; NaN where it is not defined
    - ``errors``: standard errors by name, of the network's main measure, and of its difference to that of each baseline
    - ``importance`` of the columns by the main measure, in any order
    - ``commands``: lines that say how to go on
    - ``best_epoch``: the epoch, counted from 1, whose weights the model has, if it is not the last
    """

    name: str
    description: Description
    facts: Sequence[tuple[str, str]]
    history: History
    subset: str
    y: np.ndarray
    prediction: np.ndarray
    measures: Mapping[str, Mapping[str, float]]
    importance: Sequence[Importance]
    commands: Sequence[str]
    best_epoch: int | None = None
    errors: Mapping[str, float] = MappingProxyType({})

    @property
    def labels(self) -> list[str]:
        """The labels of the classes as texts; empty for amounts."""
        return [str(label) for label in self.description.target.labels]
