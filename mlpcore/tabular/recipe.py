"""What a recipe is made from, TableShape, and what it gives: Recipe."""

from typing import Any, NamedTuple, Self

import numpy as np

from mlpcore.configuration import check_number, configuration
from mlpcore.errors import ConfigurationError
from mlpcore.losses import SoftmaxCrossEntropy, SquaredError
from mlpcore.random import Stream
from mlpcore.tabular.encoder import TableEncoder
from mlpcore.training.initial import data_driven_init
from mlpcore.typing import Layer, Loss, Optimizer, Params

SAMPLE = 20_000  # rows that initial values are fitted to, and that scales and quantiles are taken from
MANY_LEVELS = 128  # a category with more levels has learned vectors in place of columns of 0 and 1


@configuration
class TableShape:
    """The columns of x (n, columns): ``numeric`` numbers first, then the numbers of categories.

    Numbers are scaled to a spread of about 1. A category column of m levels, ``levels`` has m for each, holds 1 to m,
    and 0 for a level that is missing or unseen. ``classes`` is the number of classes of the target, 0 in regression;
    ``targets`` the number of columns of a target of real numbers, which are standardized, see
    `mlpcore.StandardizedTarget`.
    """

    numeric: int
    levels: tuple[int, ...] = ()
    classes: int = 0
    targets: int = 1

    def __post_init__(self) -> None:
        check_number(self, numeric=self.numeric, least=0)
        check_number(self, classes=self.classes, least=0)
        check_number(self, targets=self.targets, least=1)
        if self.classes == 1 or not self.columns:
            raise ConfigurationError(f"{self!r}: expected a column or more, and two classes or more (0 for regression)")

    @classmethod
    def of(cls, encoder: TableEncoder, classes: int = 0, targets: int = 1) -> Self:
        """The shape of what a fitted encoder gives."""
        return cls(encoder.numeric_columns, tuple(size - 1 for size in encoder.category_sizes), classes, targets)

    @property
    def columns(self) -> int:
        """The number of columns of x."""
        return self.numeric + len(self.levels)

    @property
    def outputs(self) -> int:
        """The number of scores: one for each class, or for each column of the target."""
        return self.classes or self.targets

    def loss(self, label_smoothing: float = 0.0) -> Loss:
        """Cross-entropy of the classes, or the squared error."""
        return SoftmaxCrossEntropy(label_smoothing) if self.classes else SquaredError()

    def rows(self, x: Any) -> np.ndarray:
        """x as an array on the host; ConfigurationError if it does not have these columns."""
        rows = np.asarray(x)
        if rows.ndim != 2 or not len(rows) or rows.shape[1] != self.columns:
            raise ConfigurationError(f"{self!r}: x has shape {rows.shape}, expected (rows, {self.columns})")
        return rows


def sample(rows: np.ndarray, count: int, rng: Stream) -> np.ndarray:
    """At most ``count`` of the rows, drawn at random, in their order."""
    return rows if len(rows) <= count else rows[np.sort(rng.order(len(rows))[:count])]


class Recipe(NamedTuple):
    """A network for a table and how to train it: arguments of `mlpcore.Model` and `mlpcore.Model.fit`, and rules.

    The epoch with the best score on validation rows counts: accuracy, or in regression the squared error. Training
    stops after ``patience`` epochs without a better one (None: never). In regression the target is standardized, and
    with ``clamp`` predictions are limited to its range in the training rows. ``from_data`` says that initial parameters
    are fitted to the training rows (`mlpcore.data_driven_init`).
    """

    net: Layer
    loss: Loss
    optimizer: Optimizer
    batch_size: int
    epochs: int
    patience: int | None = None
    clamp: bool = False
    from_data: bool = False

    def initial(self, x: Any, rng: Stream, dtype: str = "float32") -> Params:
        """Initial parameters, for training rows x on the host."""
        params = self.net.init(rng.child("init"), dtype)
        if not self.from_data:
            return params
        rows = np.asarray(x)
        return data_driven_init(self.net, params, sample(rows, SAMPLE, rng.child("sample")), rng.child("fitted"))


def steps_of(rows: int, batch_size: int, epochs: int) -> int:
    """The number of steps of a fit; the last batch of an epoch may be smaller than the others."""
    return epochs * -(-rows // batch_size)
