"""Trains the network of a lesson, and keeps what the page shows: the parameters of some epochs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlpcore.cli.lesson.formulas import ACTIVATIONS
from mlpcore.cli.lesson.rows import Rows
from mlpcore.layers import Linear, Sequential
from mlpcore.losses import HalfSquaredError, SigmoidCrossEntropy, SoftmaxCrossEntropy
from mlpcore.model import Model
from mlpcore.optimizers import SGD
from mlpcore.training.events import Report
from mlpcore.training.history import History
from mlpcore.training.progress import Progress
from mlpcore.typing import Params

KEPT = 40  # epochs at most, besides the start
LINES = 10  # of plain progress
NAMES = {activation.__name__.lower(): activation for activation in ACTIVATIONS}  # as --activation takes them


@dataclass
class Lesson:
    """A trained network with its rows, and its parameters and measures in the epochs that were kept.

    ``epochs`` are their numbers, 0 for the initial weights. ``params`` has a tree of parameters, and ``measures`` the
    losses and the share of right rows ("loss", "val_loss", "accuracy", "val_accuracy"), for each of them.
    """

    rows: Rows
    model: Model
    rate: float
    batch_size: int
    epochs: list[int] = field(default_factory=list)
    params: list[Params] = field(default_factory=list)
    measures: list[dict[str, float]] = field(default_factory=list)
    history: History = field(default_factory=History)

    @property
    def layers(self) -> tuple[Any, ...]:
        """The layers of the network."""
        return self.model.net.layers  # type: ignore[attr-defined]  # a Sequential

    @property
    def widths(self) -> list[int]:
        """The number of columns of x, and of the output of every Linear."""
        linear = [layer for layer in self.layers if isinstance(layer, Linear)]
        return [linear[0].in_features, *(layer.out_features for layer in linear)]

    def keep(self, epoch: int) -> None:
        """Keep the parameters of the model as those of this epoch."""
        self.epochs.append(epoch)
        self.params.append(self.model.params)
        measures = dict(self.model.evaluate(*self.rows.train))
        if self.rows.validation is not None:
            found = self.model.evaluate(*self.rows.validation)
            measures |= {f"val_{name}": value for name, value in found.items()}
        self.measures.append(measures)


class Recorder:
    """The callback that keeps the epochs in ``kept``, and the last one that was trained."""

    def __init__(self, lesson: Lesson, kept: Sequence[int]) -> None:
        self.lesson, self.kept, self.last = lesson, set(kept), 0

    def on_fit_begin(self, model: Model, epochs: int) -> None:
        """Keep the initial parameters."""
        self.lesson.keep(0)

    def on_epoch_end(self, report: Report) -> None:
        """Keep the parameters if the epoch is one of ``kept``."""
        self.last = report.epoch
        if report.epoch in self.kept:
            self.lesson.keep(report.epoch)

    def on_fit_end(self, model: Model) -> None:
        """Keep the last epoch of a training that was stopped."""
        if self.last not in self.lesson.epochs:
            self.lesson.keep(self.last)


def network(columns: int, hidden: Sequence[int], activation: str, outputs: int) -> Sequential:
    """Linear layers of these widths, with an activation after each but the last."""
    layers: list[Any] = []
    for width in hidden:
        layers += [Linear(columns, width), NAMES[activation]()]
        columns = width
    return Sequential(*layers, Linear(columns, outputs))


def train(
    rows: Rows,
    hidden: Sequence[int],
    activation: str,
    *,
    epochs: int,
    learning_rate: float,
    batch_size: int,
    seed: int = 0,
) -> Lesson:
    """The lesson of a network that is trained on the rows by gradient descent, in float64 on NumPy.

    Two classes have one score, more of them one for each, and an amount is predicted by its mean.
    """
    classes, columns = len(rows.labels), rows.train[0].shape[1]
    outputs = classes if classes > 2 else 1
    loss = SoftmaxCrossEntropy() if classes > 2 else SigmoidCrossEntropy() if classes else HalfSquaredError()
    model = Model(
        network(columns, hidden, activation, outputs),
        loss,
        SGD(learning_rate),
        dtype="float64",
        seed=seed,
        metrics=["accuracy"] if classes else [],
        distributed=None,
    )
    lesson = Lesson(rows, model, learning_rate, batch_size)
    kept = np.unique(np.linspace(0, epochs, min(epochs, KEPT) + 1).round().astype(int)).tolist()
    lesson.history = model.fit(
        *rows.train,
        epochs=epochs,
        batch_size=batch_size,
        callbacks=[Progress(max(1, epochs // LINES)), Recorder(lesson, kept)],
    )
    return lesson
