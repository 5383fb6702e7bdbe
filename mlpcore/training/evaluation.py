"""Measures of a model on rows: its mean loss, and its metrics by name."""

from collections.abc import Callable, Mapping
from typing import Any

from mlpcore.errors import DataError
from mlpcore.training.data import as_data, as_number, as_pair
from mlpcore.training.loop import Trainer
from mlpcore.typing import Array

Metric = Callable[..., Any]


def evaluate(
    trainer: Trainer, metrics: Mapping[str, Metric], x: Array, target: Array, weights: Array
) -> dict[str, float]:
    """The mean loss over the rows (without penalty) and every metric, by name; the data as `as_data` gives them."""
    xp, scores = trainer.backend.xp, trainer.score(x)
    target, weights = trainer.scores.on_backend(target), trainer.scores.on_backend(weights)
    values = {"loss": trainer.loss.value_and_grad(scores, target, weights)[0] / xp.sum(weights)}
    if metrics:
        prediction = trainer.loss.predict(scores)
        values |= {name: metric(target, prediction, weights) for name, metric in metrics.items()}
    return {name: as_number(name, value) for name, value in values.items()}


def validation_rows(trainer: Trainer, library_metrics: Mapping[str, Metric], validation_data: Any) -> tuple:
    """Checked validation data ``(x, target, weights)`` on the backend, or a DataError.

    One row is given to the library's own metrics: so a target that they cannot measure is found before training.
    """
    pair = as_pair(validation_data)
    try:
        x, target, weights = as_data(trainer.net, trainer.loss, trainer.backend, trainer.dtype, *pair)[0]
        if library_metrics:
            prediction = trainer.predict(x[:1, :])
            first_target, first_weight = map(trainer.scores.on_backend, (target[:1, ...], weights[:1]))
            for metric in library_metrics.values():
                metric(first_target, prediction, first_weight)
    except DataError as error:
        raise DataError(f"validation_data: {error}") from None
    return x, target, weights
