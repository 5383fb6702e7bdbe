"""Trains the members of an estimator for tables: models of a recipe, each with rows to learn from and rows held out."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from mlpcore.losses import MembersLoss, StandardizedTarget
from mlpcore.metrics import accuracy
from mlpcore.model import Model
from mlpcore.preprocessing import Standardize
from mlpcore.random import Stream
from mlpcore.stacks import Stack
from mlpcore.tabular.best_epoch import BestEpoch, negative_error
from mlpcore.tabular.recipe import Recipe, TableShape
from mlpcore.typing import Loss


class EncodedRows(NamedTuple):
    """Encoded rows: x (n, columns), the target (n,) of class numbers or (n, c) of amounts, and the weights (n,)."""

    x: np.ndarray
    target: np.ndarray
    weights: np.ndarray

    def take(self, rows: np.ndarray) -> "EncodedRows":
        """The rows with these numbers."""
        return EncodedRows(self.x[rows], self.target[rows], self.weights[rows])


class TrainedMember(NamedTuple):
    """A trained model, the numbers of the rows that it was trained on, and its callback."""

    model: Model
    training: np.ndarray
    best: BestEpoch


class Settings(NamedTuple):
    """What the members have in common: the table's shape, the recipe, and the arguments of `mlpcore.Model`."""

    shape: TableShape
    recipe: Any
    model: dict[str, Any]
    deadline: float = math.inf


def train_members(
    rows: EncodedRows, splits: Sequence[tuple[np.ndarray, EncodedRows | None]], seeds: Sequence[int], settings: Settings
) -> list[TrainedMember]:
    """The trained members: for each a pair of the numbers of its training rows, and its held-out rows, if any."""
    members = list[TrainedMember]()
    for (training, held_out), seed in zip(splits, seeds, strict=True):
        own = rows.take(training)
        recipe: Recipe = settings.recipe.build(settings.shape, own.x)
        loss, score = _loss_and_score(recipe, own, held_out, settings.shape)
        model = Model(
            recipe.net,
            loss,
            recipe.optimizer,
            params=recipe.initial(own.x, Stream(seed, "member"), settings.model["dtype"]),
            seed=seed,
            **settings.model,
        )
        members.append(TrainedMember(model, training, BestEpoch(score, recipe.patience, settings.deadline)))
    words: dict[str, Any] = {"epochs": recipe.epochs, "batch_size": recipe.batch_size}  # those of all members
    if len(members) == 1:
        model.fit(own.x, own.target, sample_weight=own.weights, callbacks=[members[0].best], **words)
        return members
    by_model = {id(member.model): member for member in members}
    for stack in Stack.group(member.model for member in members):
        stack.fit(
            rows.x,
            rows.target,
            sample_weight=rows.weights,
            rows=[by_model[id(model)].training for model in stack],
            callbacks=lambda model: [by_model[id(model)].best],
            **words,
        )
    return members


def _loss_and_score(
    recipe: Recipe, own: EncodedRows, held_out: EncodedRows | None, shape: TableShape
) -> tuple[Loss, Callable[[Model], float] | None]:
    """The loss of a recipe in the units of the target, and the score of a model on the held-out rows."""
    scaling = None if shape.classes else Standardize.fit(own.target[own.weights > 0])
    loss = recipe.loss if scaling is None else _standardized(recipe, own, scaling)
    if held_out is None:
        return loss, None
    x, target, weights = held_out

    def score(model: Model) -> float:
        if scaling is None:
            return float(accuracy(target, model.predict(x), weights))
        return negative_error(model.predict(x), target, weights, scaling.scale)

    return loss, score


def _standardized(recipe: Recipe, own: EncodedRows, scaling: Standardize) -> Loss:
    """The loss in units of the target's deviation; if the recipe says so, predictions stay in the target's range."""
    known = own.target[own.weights > 0]
    limits = (tuple(known.min(axis=0).tolist()), tuple(known.max(axis=0).tolist())) if recipe.clamp else ((), ())
    numbers = tuple(scaling.mean.tolist()), tuple(scaling.scale.tolist()), *limits
    if isinstance(recipe.loss, MembersLoss):
        return MembersLoss(StandardizedTarget(recipe.loss.loss, *numbers), recipe.loss.count)
    return StandardizedTarget(recipe.loss, *numbers)


def deadline_of(time_limit: float | None) -> float:
    """The time of `time.monotonic` at which training ends."""
    return math.inf if time_limit is None else time.monotonic() + time_limit
