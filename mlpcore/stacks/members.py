"""What the members of a stack are trained on and with: rows, targets, weights, orders, callbacks and files."""

import copy
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from mlpcore.backends.transfer import to_host
from mlpcore.errors import ConfigurationError, DataError
from mlpcore.files.writing import Path
from mlpcore.model import Model
from mlpcore.signals import signals_pass
from mlpcore.training.checkpoint_folder import CheckpointFolder
from mlpcore.training.evaluation import validation_rows
from mlpcore.training.fits import check_fit_callbacks
from mlpcore.training.ingest import ingest
from mlpcore.training.orders import Order, in_order, shared_order, shuffled_many
from mlpcore.typing import Dataset


class MemberData(NamedTuple):
    """The checked data of a member; ``sample_weight`` is what was given for it, ``weights`` are those of the rows."""

    data: Dataset
    weights: np.ndarray
    held_out: Dataset | None
    sample_weight: Any


def check_alone(models: Sequence[Model]) -> None:
    """ConfigurationError for a member that several ranks train together."""
    for i, model in enumerate(models):
        if (ranks := model.trainer.communicator.size) > 1:
            raise ConfigurationError(
                f"Stack.fit: member {i} is a model that {ranks} ranks train together, and a stack trains in one "
                "process; make its members with distributed=None"
            )


def ingest_members(
    models: Sequence[Model],
    x: Any,
    y: Any,
    sample_weight: Any,
    class_weight: Any,
    missing_targets: str,
    validation_data: tuple[Any, ...] | None,
) -> list[MemberData]:
    """The data of every member. The rows are held once, and all else too for members with equal losses and weights.

    ``x`` is (n, columns) and ``sample_weight`` (n,) for all members, or they are (k, n, columns) and (k, n).
    """
    own_rows = getattr(x, "ndim", 2) == 3
    if own_rows and x.shape[0] != len(models):
        raise DataError(f"x has shape {tuple(x.shape)}, expected (n, columns) or ({len(models)}, n, columns)")
    weights = _by_member(sample_weight, len(models))
    members: list[MemberData] = []
    for i, model in enumerate(models):
        alike = next((member for member, other in zip(members, models, strict=False) if other.loss == model.loss), None)
        if alike is not None and weights is None and not own_rows:
            members.append(alike)
            continue
        of_member = sample_weight if weights is None else weights[i]
        rows = x[i, ...] if own_rows else members[0].data.x if members else x
        data, weights_of_rows = ingest(model.trainer, rows, y, of_member, class_weight, missing_targets)
        held_out = None
        if validation_data is not None:
            named = {name: model.metrics[name] for name in model.specification.metrics}
            held_out = (
                alike.held_out if alike else validation_rows(model.trainer, named, validation_data, missing_targets)
            )
        members.append(MemberData(data, weights_of_rows, held_out, of_member))
    return members


def _by_member(sample_weight: Any, count: int) -> list[np.ndarray] | None:
    """The weights of every member's rows; None where all have the same."""
    if sample_weight is None or np.ndim(host := to_host(sample_weight)) < 2:
        return None
    if host.shape[0] != count:
        raise DataError(f"sample_weight has shape {host.shape}, expected (n,) or ({count}, n) for {count} members")
    return list(host)


def member_rows(rows: Sequence[Any] | None, count: int, members: int) -> list[np.ndarray | None]:
    """The numbers of the rows of every member, out of ``count``; None where it has all."""
    if rows is None:
        return [None] * members
    if len(rows) != members:
        raise DataError(f"rows are {len(rows)} lists of row numbers, expected {members}, one for each member")
    numbers = [np.asarray(to_host(own)) for own in rows]
    for i, own in enumerate(numbers):
        if own.ndim != 1 or own.dtype.kind not in "iu" or not own.size or own.min() < 0 or own.max() >= count:
            raise DataError(f"rows[{i}] must be a list of one or more row numbers from 0 to {count - 1}")
    return list(numbers)


def member_orders(
    models: Sequence[Model],
    count: int,
    rows: Sequence[np.ndarray | None],
    shuffle: bool,
    shared: bool,
    drawer: Executor,
) -> list[Order]:
    """The order of the rows for every member; ``shared`` means that of the first for all.

    Members with ``rows`` of their own have these, in the order that is drawn for so many.
    """
    if shared:
        order = shuffled_many(models[0].seed, count, models[0].compiled.asked, drawer)
        return [shared_order(order) if shuffle else in_order(count)] * len(models)

    def order_of(model: Model, own: np.ndarray | None) -> Order:
        size = count if own is None else own.size
        order = shuffled_many(model.seed, size, model.compiled.asked, drawer) if shuffle else in_order(size)
        return order if own is None else lambda epoch: own[order(epoch)]

    return [order_of(model, own) for model, own in zip(models, rows, strict=True)]


def member_callbacks(
    model: Model, callbacks: Sequence[Any] | Callable[[Model], Sequence[Any]], validated: bool
) -> tuple[Any, ...]:
    """The callbacks of a member: copies of those that are given, or what the given function returns for it."""
    own = callbacks(model) if callable(callbacks) else [copy.deepcopy(callback) for callback in callbacks]
    return check_fit_callbacks(model, own, validated)


def member_checkpoint(folder: Path | CheckpointFolder | None, i: int) -> Path | CheckpointFolder | None:
    """The checkpoint of member i in a folder, or the folder with its checkpoints."""
    if folder is None:
        return None
    several = os.path.join(folder, str(i))
    if isinstance(folder, CheckpointFolder):
        return replace(folder, folder=several)
    with signals_pass():
        return several if os.path.isdir(several) else f"{several}.safetensors"
