"""What `mlpcore train` reports of a training."""

from collections.abc import Mapping, Sequence

import numpy as np

from mlpcore.cli.parts import Parts
from mlpcore.cli.report.chance import paired_error, standard_error
from mlpcore.cli.report.importance import importance_by_permutation
from mlpcore.cli.report.results import Results
from mlpcore.model import Model
from mlpcore.random import Stream
from mlpcore.tabular.recipe import sample
from mlpcore.training.history import History

ROWS = 20_000  # held-out rows at most that pictures show


def results_of(
    name: str,
    facts: Sequence[tuple[str, str]],
    model: Model,
    parts: Parts,
    history: History,
    measures: Mapping[str, Mapping[str, float]],
    predictions: Mapping[str, np.ndarray],
    commands: Sequence[str],
    *,
    best_epoch: int | None,
    seed: int,
) -> Results:
    """The results on the test rows, or on the validation rows where there are none.

    ``measures`` and ``predictions`` are of all of those, the network's first, then those of the baselines.
    """
    subset = "validation" if parts.test is None else "test"
    pair, target = parts.test or parts.validation, parts.description.target
    if pair is None:
        empty = np.zeros((0, len(target.labels))) if target.labels else np.zeros(0)
        nothing = np.zeros(0, dtype=np.int64 if target.labels else np.float64)
        return Results(name, parts.description, facts, history, subset, nothing, empty, {}, (), commands, best_epoch)
    importance = importance_by_permutation(model.predict, *pair, parts.description.encoder, seed)
    chosen = sample(np.arange(len(pair[0])), ROWS, Stream(seed, "report"))
    (network, whole), *others = predictions.items()
    errors = {network: standard_error(pair[1], whole)}
    errors |= {who: paired_error(pair[1], whole, other) for who, other in others}
    y, prediction = pair[1][chosen], whole[chosen]
    if target.scaling is not None:
        y, prediction = (target.scaling.inverse(amounts)[:, 0] for amounts in (y, prediction))
    found = (subset, y, prediction, measures, importance, commands, best_epoch, errors)
    return Results(name, parts.description, facts, history, *found)
