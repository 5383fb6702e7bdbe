"""A fit of a model, prepared: everything that was checked and made before the first step."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from mlpcore.backends.calls import Calls
from mlpcore.configuration import check_choice, check_count, plain
from mlpcore.files.writing import Path
from mlpcore.training.callbacks import check_callbacks
from mlpcore.training.checkpoint_folder import CheckpointFolder
from mlpcore.training.checkpoints import Checkpoints
from mlpcore.training.comparison import describe_fit, describe_weights
from mlpcore.training.epochs import Plan, training
from mlpcore.training.evaluation import validation
from mlpcore.training.history import History
from mlpcore.training.interruption import Interruption
from mlpcore.training.recovery import CHOICES, Recovery
from mlpcore.training.saving import Saving
from mlpcore.training.weights import entry_columns, sample_weights
from mlpcore.typing import Dataset


class Arguments(NamedTuple):
    """The numbers and switches of a fit."""

    epochs: int
    batch_size: int
    shuffle: bool | str
    on_nonfinite: str = "raise"


def check_fit(
    epochs: int,
    batch_size: int,
    shuffle: bool | str,
    on_nonfinite: str = "raise",
    orders: tuple[bool | str, ...] = (True, False),
) -> Arguments:
    """The arguments as plain Python values; a ConfigurationError where one is wrong. ``orders`` can be shuffled."""
    check_count("fit", epochs=epochs, batch_size=batch_size)
    check_choice("fit", orders, shuffle=shuffle)
    check_choice("fit", CHOICES, on_nonfinite=on_nonfinite)
    return Arguments(plain(epochs), plain(batch_size), plain(shuffle), on_nonfinite)


def check_fit_callbacks(model: Any, callbacks: Sequence[Any], validated: bool) -> tuple[Any, ...]:
    """The callbacks, if they can be called and what they watch is measured; ``validated`` with validation data."""
    return check_callbacks(callbacks, _columns(model, validated))


def _columns(model: Any, validated: bool) -> tuple[str, ...]:
    """The columns of the history of a fit."""
    measured = tuple(f"val_{name}" for name in ("loss", *model.metrics)) if validated else ()
    return ("loss", "learning_rate", "rows_per_second", *measured)


def describe_data_weights(
    model: Any, data: Dataset, weights: np.ndarray, sample_weight: Any, class_weight: Any
) -> dict[str, Any]:
    """The description of the weights of a fit for a checkpoint."""
    of_samples = weights
    if class_weight is not None:
        columns = entry_columns(model.loss, data.target)
        of_samples = sample_weights(sample_weight, data.x.shape[0], model.dtype, columns)
    return describe_weights(class_weight, of_samples, weights)


class Fit(NamedTuple):
    """What `mlpcore.training.epochs.training` takes; ``history`` is that of the file that is resumed, if any."""

    model: Any
    plan: Plan
    callbacks: Sequence[Any]
    history: History
    saving: Saving

    def calls(self, interruption: Interruption) -> Calls[bool]:
        """The training, its calls of compiled code handed out; whether it was interrupted."""
        return training(*self, interruption)


def new_fit(
    model: Any,
    data: Dataset,
    weights: np.ndarray,
    order: Callable[[int], np.ndarray],
    arguments: Arguments,
    held_out: Dataset | None,
    callbacks: Sequence[Any],
    checkpoint: Path | CheckpointFolder | None = None,
    resume: Path | None = None,
    about_weights: Callable[[], dict[str, Any]] = dict,
) -> Fit:
    """A fit of the model on checked data, all on its backend; a checkpoint is read where one is to be resumed.

    ``weights`` are those of the rows, on the host, ``held_out`` the validation data. ``about_weights`` describes the
    weights for a checkpoint. Of several ranks, rank 0 reads and writes the checkpoints, where its arguments say.
    """
    epochs, batch_size, shuffle, on_nonfinite = arguments
    rows, communicator = weights.shape[0], model.trainer.communicator
    validate = None if held_out is None else validation(model.trainer, model.metrics, held_out)
    recovery = Recovery(on_nonfinite)
    plan = Plan(data, weights, order, min(batch_size, rows), epochs, validate, recovery=recovery)
    kept = checkpoint is not None or resume is not None  # what is described is needed for nothing else
    about = describe_fit(model.specification, rows, plan.batch_size, shuffle) if kept else {}
    with communicator.agree():
        checkpoints = Checkpoints(model.trainer, model.layout, about, about_weights() if kept else {}, callbacks)
        if isinstance(checkpoint, CheckpointFolder):
            checkpoint.check_best(_columns(model, held_out is not None))
            recovery.check(checkpoint)
        saving = Saving(checkpoints, checkpoint if communicator.rank == 0 else None)
    # Rank 0's argument decides, as a script may pass one there alone.
    history = communicator.on_first(lambda: History() if resume is None else checkpoints.resume(resume, checkpoint))
    return Fit(model, plan, callbacks, history, saving)
