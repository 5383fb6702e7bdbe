"""A stack: models of one architecture, trained side by side on the same data."""

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from mlpcore.backends.calls import Calls
from mlpcore.errors import ConfigurationError, MlpcoreWarning, NonFiniteError, TrainingInterrupted
from mlpcore.files.writing import Path
from mlpcore.model import Model
from mlpcore.stacks.architecture import architecture, first_difference
from mlpcore.stacks.collection import Models
from mlpcore.stacks.ensemble import stacked
from mlpcore.stacks.members import (
    check_alone,
    ingest_members,
    member_callbacks,
    member_checkpoint,
    member_orders,
    member_rows,
)
from mlpcore.stacks.memory import check_memory
from mlpcore.training.checkpoint_folder import CheckpointFolder
from mlpcore.training.fits import Fit, check_fit, describe_data_weights, new_fit
from mlpcore.training.history import History
from mlpcore.training.interruption import Interruption
from mlpcore.training.missing import check_missing_targets
from mlpcore.typing import Tree

REPORTED = 3  # members whose skipped batches or restored epochs a warning tells
NOT_FINITE = "not finite"  # why a member stopped, in its history


class Stack(Models):
    """k models of one architecture, loss and kind of optimizer, trained side by side.

    Members may differ in every number of their configuration: the seed (so in initial weights, row order and masks),
    learning rate and other numbers of the optimizer, ``l2``, clipping, averaging, dropout rate, label smoothing.
    ConfigurationError names what else differs; `Stack.group` sorts any models into stacks. ``stack[i]`` is the
    `mlpcore.Model` itself, which can be used alone at any time.

    A member computes what it would compute alone: on NumPy bit for bit, on CuPy to the rounding of products, whatever
    the others do. On NumPy the chunks of training steps of all members run side by side in C, each on one thread. On
    CuPy a step of all members has as many launches as a step of one. On the other backends one member is trained after
    the other.

    >>> import mlpcore as mc
    >>> net = mc.Sequential(mc.Linear(64, 100), mc.ReLU(), mc.Linear(100, 10))
    >>> stack = mc.Stack([mc.Model(net, mc.SoftmaxCrossEntropy(), mc.Adam(rate)) for rate in (1e-3, 3e-3, 1e-2)])
    >>> stack
    Stack(3 x Sequential(Linear(64, 100), ReLU(), Linear(100, 10)), SoftmaxCrossEntropy(), backend='numpy')
    """

    def __init__(self, models: Iterable[Model]) -> None:
        super().__init__(models)
        seen: set[int] = set()
        for i, model in enumerate(self.models):
            if id(model) in seen:
                raise ConfigurationError(f"Stack: member {i} is the same object as another; use copy.copy(model)")
            seen.add(id(model))
        first = architecture(self.models[0])
        for i, model in enumerate(self.models):
            difference = first_difference(first, architecture(model))
            if difference is not None:
                where, one, other = difference
                raise ConfigurationError(
                    f"Stack: {where} is {one!r} in member 0 and {other!r} in member {i}; members may differ in numbers "
                    "only. Use mc.Stack.group(models) for a stack of each architecture"
                )

    @classmethod
    def group(cls, models: Iterable[Model]) -> list["Stack"]:
        """The models in as few stacks as possible, in the order in which the first of each comes."""
        groups: list[tuple[Any, list[Model]]] = []
        for model in models:
            about = architecture(model)
            for first, members in groups:
                if first_difference(first, about) is None:
                    members.append(model)
                    break
            else:
                groups.append((about, [model]))
        return [cls(members) for _, members in groups]

    def __repr__(self) -> str:
        first = self.models[0]
        return f"Stack({len(self)} x {first.net!r}, {first.loss!r}, backend={first.backend.name!r})"

    def fit(
        self,
        x: Any,
        y: Any,
        *,
        epochs: int = 10,
        batch_size: int = 128,
        shuffle: bool = True,
        shared_order: bool = False,
        rows: Sequence[Any] | None = None,
        sample_weight: Any = None,
        class_weight: dict[int, float] | str | None = None,
        missing_targets: str = "error",
        validation_data: tuple[Any, ...] | None = None,
        callbacks: Sequence[Any] | Callable[[Model], Sequence[Any]] = (),
        checkpoint: Path | CheckpointFolder | None = None,
        resume: Path | None = None,
        on_nonfinite: str = "raise",
    ) -> list[History]:
        """Train every member as `Model.fit` does, on the same rows; returns their histories.

        ``x`` is (n, columns) and ``sample_weight`` (n,) for all members, or they are (k, n, columns) and (k, n). Each
        member has its own order of the rows, from its seed; with ``shared_order`` all have that of the first. ``rows``,
        k lists of row numbers, limits each member to its own rows: it trains as a model alone on ``x[rows[i]]``. Every
        member gets copies of the ``callbacks``, or what the function ``callbacks(model)`` returns for it.

        A member that its callbacks stop is trained no further, and so is one whose loss is no longer finite: it keeps
        the weights of its last whole step, its history says "not finite" under ``stopped``, and a warning names it.
        Ctrl-C ends the training of all members. ``on_nonfinite`` is as in `Model.fit`, for each member alone: with
        "skip" or "restore" a member goes on, and only stops where `Model.fit` raises.

        ``checkpoint`` and ``resume`` are folders with a file for every member; with a `mlpcore.CheckpointFolder` every
        member has a folder of its own in it. OutOfMemoryError, before training, if the states of all members exceed the
        memory of the device or machine, see `mlpcore.stacks.memory`.
        ConfigurationError for members that several ranks train together: a stack trains in one process.
        """
        first, arguments = self.models[0], check_fit(epochs, batch_size, shuffle, on_nonfinite)
        check_alone(self.models)
        check_missing_targets(
            "Stack.fit", missing_targets, first.loss, first.metrics if validation_data is not None else {}
        )
        with first.backend.scope(first.dtype), ThreadPoolExecutor(1) as drawer:
            members = ingest_members(self.models, x, y, sample_weight, class_weight, missing_targets, validation_data)
            count = members[0].data.x.shape[0]
            own_rows = member_rows(rows, count, len(self))
            if shared_order and rows is not None:
                raise ConfigurationError(
                    "Stack.fit: shared_order=True is for members that have all rows; leave out rows or shared_order"
                )
            check_memory(self.models, members[0].data, min(arguments.batch_size, count))
            orders = member_orders(self.models, count, own_rows, bool(arguments.shuffle), shared_order, drawer)
            if checkpoint is not None:
                os.makedirs(checkpoint, exist_ok=True)
            fits = []
            for i, (model, own, order) in enumerate(zip(self.models, members, orders, strict=True)):
                called = member_callbacks(model, callbacks, validation_data is not None)
                files = member_checkpoint(checkpoint, i), member_checkpoint(resume, i)
                about_weights = partial(
                    describe_data_weights, model, own.data, own.weights, own.sample_weight, class_weight
                )
                fits.append(
                    new_fit(model, own.data, own.weights, order, arguments, own.held_out, called, *files, about_weights)
                )
            with Interruption().noted() as interruption:
                works = [_until_not_finite(fit, interruption) for fit in fits]
                interrupted = any(first.backend.compile.side_by_side(works))
        if lost := [i for i, fit in enumerate(fits) if fit.history.stopped == NOT_FINITE]:
            warnings.warn(
                f"the loss became infinite or NaN in members {', '.join(map(str, lost))}; they keep the weights from "
                "before that step. Try a smaller learning rate, or clip_norm",
                MlpcoreWarning,
                stacklevel=2,
            )
        told_of = [(i, fit.plan.recovery.report()) for i, fit in enumerate(fits) if i not in lost]
        if reports := [(i, report) for i, report in told_of if report is not None]:
            told = "; ".join(f"member {i}: {report}" for i, report in reports[:REPORTED])
            more = f"; and so in {len(reports) - REPORTED} more members" * (len(reports) > REPORTED)
            warnings.warn(told + more, MlpcoreWarning, stacklevel=2)
        if interrupted:
            warnings.warn(
                "training was interrupted; every member stands at its last whole step, and fit goes on from there",
                TrainingInterrupted,
                stacklevel=2,
            )
        return [fit.history for fit in fits]

    def predict(self, x: Any, batch_size: int | None = None) -> Tree:
        """The predictions of all members (k, n, outputs), each as `Model.predict` gives it."""
        return stacked([model.predict(x, batch_size) for model in self.models])

    def evaluate(self, x: Any, y: Any, *, sample_weight: Any = None) -> dict[str, np.ndarray]:
        """The mean loss and the metrics of every member, as `Model.evaluate` gives them: arrays (k,) by name."""
        values = [model.evaluate(x, y, sample_weight=sample_weight) for model in self.models]
        return {name: np.array([value[name] for value in values]) for name in values[0]}


def _until_not_finite(fit: Fit, interruption: Interruption) -> Calls[bool]:
    """The training of a member, which ends where its loss stops being finite; whether it was interrupted."""
    try:
        interrupted = yield from fit.calls(interruption)
    except NonFiniteError:
        fit.history.stopped = NOT_FINITE
        interrupted = False
    fit.model.trainer.own_state()
    return interrupted
