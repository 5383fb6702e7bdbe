"""Trains a model on the parts of a table."""

import math

from mlpcore.cli.parts import Parts
from mlpcore.model import Model
from mlpcore.tabular.best_epoch import BestEpoch
from mlpcore.tabular.recipe import Recipe, TableShape
from mlpcore.training.events import Report
from mlpcore.training.history import History
from mlpcore.training.progress import Progress

LINES = 20  # of plain progress, where there is no terminal


def shape_of(parts: Parts) -> TableShape:
    """The shape of an encoded table."""
    return TableShape.of(parts.description.encoder, len(parts.description.target.labels))


def fit(
    model: Model, recipe: Recipe, parts: Parts, deadline: float = math.inf, on_nonfinite: str = "raise"
) -> tuple[History, int | None]:
    """Train the model; the epoch with the best score on the validation rows counts, if there are any: its number."""
    metric = f"val_{metric_of(parts)}"

    def score(report: Report) -> float:
        return report.values[metric]

    best = BestEpoch(score if parts.validation else None, recipe.patience, deadline)
    history = model.fit(
        *parts.train,
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        validation_data=parts.validation,
        callbacks=[Progress(max(1, recipe.epochs // LINES)), best],
        on_nonfinite=on_nonfinite,
    )
    return history, best.epoch or None


def metric_of(parts: Parts) -> str:
    """The name of the metric that an epoch is judged by."""
    return "accuracy" if parts.description.target.labels else "r2"
