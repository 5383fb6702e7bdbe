"""Trains the members of an estimator for tables: models of a recipe, each with rows to learn from and rows held out."""

import copy
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from mlpcore.errors import NonFiniteError
from mlpcore.losses import MembersLoss, StandardizedTarget
from mlpcore.metrics import accuracy
from mlpcore.model import Model
from mlpcore.preprocessing import Standardize
from mlpcore.random import Stream
from mlpcore.stacks import Stack
from mlpcore.tabular.best_epoch import BestEpoch, negative_error
from mlpcore.tabular.recipe import Recipe, TableShape
from mlpcore.training.events import Report
from mlpcore.training.history import History
from mlpcore.training.placement import placed
from mlpcore.typing import Loss


class EncodedRows(NamedTuple):
    """Encoded rows: x (n, columns), the target (n,) of class numbers or (n, c) of amounts, and the weights (n,)."""

    x: np.ndarray
    target: np.ndarray
    weights: np.ndarray

    def take(self, rows: np.ndarray) -> "EncodedRows":
        """The rows with these numbers."""
        return EncodedRows(self.x[rows], self.target[rows], self.weights[rows])

    def weighted(self) -> "EncodedRows":
        """The rows with a weight above 0, and weights with a sum that neither overflows nor underflows."""
        rows = self if np.all(self.weights > 0) else self.take(np.flatnonzero(self.weights > 0))
        _, exponent = np.frexp(rows.weights.max())
        return rows._replace(weights=np.ldexp(rows.weights, -exponent))  # exact but for the very smallest


class TrainedMember(NamedTuple):
    """A trained model, the numbers of the rows that it was trained on, its callback, and the history of its fit."""

    model: Model
    training: np.ndarray
    best: BestEpoch
    history: History


class Settings(NamedTuple):
    """What the members have in common: the table's shape, the recipe, and the arguments of `mlpcore.Model`."""

    shape: TableShape
    recipe: Any
    model: dict[str, Any]
    deadline: float = math.inf
    callbacks: Sequence[Any] = ()  # of the user: one member has these, of several each has copies
    on_nonfinite: str = "raise"


def train_members(
    rows: EncodedRows, splits: Sequence[tuple[np.ndarray, EncodedRows | None]], seeds: Sequence[int], settings: Settings
) -> list[TrainedMember]:
    """The trained members: for each a pair of the numbers of its training rows, and its held-out rows, if any.

    ValueError for a part without a row of positive weight. NonFiniteError where no member has completed an epoch, as
    the loss of none was finite.
    """
    for training, held_out in splits:
        _check_weights("left to train on", rows.weights[training])
        if held_out is not None:
            _check_weights("held out to choose the epoch", held_out.weights)
    members = list[tuple[Model, np.ndarray, BestEpoch]]()
    for (training, held_out), seed in zip(splits, seeds, strict=True):
        own = rows.take(training)
        recipe: Recipe = settings.recipe.build(settings.shape, own.x)
        amounts = None if settings.shape.classes else own.target[own.weights > 0]
        model = new_model(recipe, own.x, amounts, seed, settings.model)
        scaling = None if amounts is None else Standardize.fit(amounts)
        score = None if held_out is None else _score(held_out, scaling)
        members.append((model, training, BestEpoch(score, recipe.patience, settings.deadline)))
    words: dict[str, Any] = {"epochs": recipe.epochs, "batch_size": recipe.batch_size}  # those of all members
    words["on_nonfinite"] = settings.on_nonfinite
    if len(members) == 1:
        history = model.fit(
            own.x, own.target, sample_weight=own.weights, callbacks=[members[0][2], *settings.callbacks], **words
        )
        return [TrainedMember(*members[0], history)]
    histories = dict[int, History]()
    rows_of = {id(model): training for model, training, _ in members}
    best_of = {id(model): best for model, _, best in members}
    for stack in Stack.group(model for model, _, _ in members):
        of_stack = stack.fit(
            rows.x,
            rows.target,
            sample_weight=rows.weights,
            rows=[rows_of[id(model)] for model in stack],
            callbacks=lambda model: [best_of[id(model)], *map(copy.deepcopy, settings.callbacks)],
            **words,
        )
        histories |= {id(model): history for model, history in zip(stack, of_stack, strict=True)}
    if not any(map(len, histories.values())):
        raise NonFiniteError(
            f"none of the {len(members)} networks has completed an epoch, as the loss or its gradient became infinite "
            "or NaN in each; take a smaller learning rate, or on_nonfinite='restore'"
        )
    return [TrainedMember(*member, histories[id(member[0])]) for member in members]


def _check_weights(which: str, weights: np.ndarray) -> None:
    """ValueError where the rows of a part all weigh 0."""
    if not np.any(weights > 0):
        raise ValueError(f"all {len(weights)} rows {which} have weight 0; pass X_val and y_val, or drop such rows")


def new_model(recipe: Recipe, x: np.ndarray, amounts: np.ndarray | None, seed: int, words: dict[str, Any]) -> Model:
    """The model of a recipe before training, for training rows x; ``words`` are further arguments of `mlpcore.Model`.

    ``amounts`` (n, c) are the targets of regression, in whose units the model predicts; None for classes.
    """
    loss = recipe.loss if amounts is None else _standardized(recipe, amounts)
    params = recipe.initial(x, Stream(seed, "member"), words["dtype"])
    rows = min(recipe.batch_size, len(x))
    backend, device, choice = placed(words["backend"], words.get("device"), recipe.net, words["dtype"], rows=rows)
    words = words | {"backend": backend, "device": device}
    model = Model(recipe.net, loss, recipe.optimizer, params=params, seed=seed, distributed=None, **words)
    model.backend_choice = choice
    return model


def _standardized(recipe: Recipe, amounts: np.ndarray) -> Loss:
    """The loss in units of the target's deviation; if the recipe says so, predictions stay in the target's range."""
    scaling = Standardize.fit(amounts)
    limits = (tuple(amounts.min(axis=0).tolist()), tuple(amounts.max(axis=0).tolist())) if recipe.clamp else ((), ())
    numbers = tuple(scaling.mean.tolist()), tuple(scaling.scale.tolist()), *limits
    if isinstance(recipe.loss, MembersLoss):
        return MembersLoss(StandardizedTarget(recipe.loss.loss, *numbers), recipe.loss.count)
    return StandardizedTarget(recipe.loss, *numbers)


def _score(held_out: EncodedRows, scaling: Standardize | None) -> Callable[[Report], float]:
    """The score of an epoch on the held-out rows: the accuracy, or minus the squared error in units of ``scaling``."""
    x, target, weights = held_out.weighted()

    def score(report: Report) -> float:
        prediction = report.model.predict(x)
        if scaling is None:
            value = float(accuracy(target, prediction, weights))
        else:
            value = negative_error(prediction, target, weights, scaling.scale)
        report.values["val_score"] = value  # for the callbacks of the user
        return value

    return score


def deadline_of(time_limit: float | None) -> float:
    """The time of `time.monotonic` at which training ends."""
    return math.inf if time_limit is None else time.monotonic() + time_limit
