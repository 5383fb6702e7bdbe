"""The mean loss and the metrics of a model on given rows, and checks of validation data."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from mlpcore.backends.transfer import to_host
from mlpcore.errors import ConfigurationError, DataError
from mlpcore.numerics import weights_of_rows
from mlpcore.training.ingest import check_validation_data, ingest
from mlpcore.training.loop import Trainer
from mlpcore.training.ranks import RankRun
from mlpcore.typing import Array, Dataset

Metric = Callable[..., Any]


def evaluate(
    trainer: Trainer, metrics: Mapping[str, Metric], x: Array, target: Array, weights: Array
) -> dict[str, float]:
    """The mean loss over the rows (without penalty) and every metric, by name; the data as returned by `ingest`."""
    return measure(trainer, metrics, trainer.score(x), target, weights)


def measure(
    trainer: Trainer, metrics: Mapping[str, Metric], scores: Array, target: Array, weights: Array
) -> dict[str, float]:
    """The mean loss and every metric, for the raw scores of the rows."""
    xp = trainer.backend.xp
    target, weights = trainer.scores.on_backend(target), trainer.scores.on_backend(weights)
    total = xp.sum(weights_of_rows(weights))
    values = {"loss": trainer.loss.value_and_grad(scores, target, weights)[0] / total}
    if metrics:
        prediction = trainer.loss.predict(scores)
        values |= {name: metric(target, prediction, weights) for name, metric in metrics.items()}
    return {name: metric_value(name, value) for name, value in values.items()}


def validation(trainer: Trainer, metrics: Mapping[str, Metric], held_out: Dataset) -> Callable[[], dict[str, float]]:
    """The function that evaluates validation data. Several ranks compute the scores of a part of the rows each, and
    rank 0 what is made of them."""
    ranks, run = trainer.communicator, trainer.run
    if not isinstance(run, RankRun):
        return partial(evaluate, trainer, metrics, *held_out)
    x, *others = held_out
    if run.shards.given:
        others = [np.concatenate(ranks.gather(to_host(array))) for array in others]
    else:
        x = x[slice(*run.shards.range(x.shape[0])), ...]

    def evaluated() -> dict[str, float]:
        scores = np.concatenate(ranks.gather(to_host(trainer.score(x))))
        return ranks.on_first(lambda: measure(trainer, metrics, trainer.scores.on_backend(scores), *others))

    return evaluated


def validation_rows(
    trainer: Trainer, library_metrics: Mapping[str, Metric], validation_data: Any, missing_targets: str = "error"
) -> Dataset:
    """Checked validation data ``(x, target, weights)`` on the backend, or a DataError.

    The library's own metrics are computed for one row, so that a target that they do not support is found before
    training.
    """
    x, y, *weights = check_validation_data(validation_data)
    try:
        held_out, _ = ingest(trainer, x, y, weights[0] if weights else None, missing_targets=missing_targets)
        x, target, weights = held_out
        if library_metrics:
            prediction = trainer.predict(x[:1, :])
            first_target, first_weight = map(trainer.scores.on_backend, (target[:1, ...], weights[:1, ...]))
            for metric in library_metrics.values():
                metric(first_target, prediction, first_weight)
    except DataError as error:
        raise DataError(f"validation_data: {error}") from None
    return held_out


def metric_value(name: str, value: Any) -> float:
    """The result of a metric, an array of any library, as a float; ConfigurationError unless it is one real number."""
    number = to_host(value)
    if number.size != 1 or number.dtype.kind not in "biuf":
        raise ConfigurationError(
            f"metrics: {name} gave {number.dtype} of shape {number.shape}, expected one real number for all rows"
        )
    return float(number.item())
