"""Checkpoints: files with the whole state of training, from which a fit resumes with the same bits.

The tensors have names: ``params.2.weight``, ``optimizer.first_moment.2.weight``, ``statistics.1.running_mean``,
``optimizer.count``, ``callbacks.0.snapshot.params.2.weight``. They contain no padding and depend on no layout or
array library, so every backend can resume from them. A checkpoint within an epoch has the losses of its steps so far
as the tensor ``losses``.
"""

import dataclasses
import os
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mlpcore.errors import MlpcoreWarning, ModelFileError
from mlpcore.files.specification import short
from mlpcore.files.tensors import write
from mlpcore.files.writing import Path, same_file
from mlpcore.signals import signals_pass
from mlpcore.training.checkpoint_folder import candidates, first_whole
from mlpcore.training.comparison import describe_callback, differences
from mlpcore.training.events import has_state
from mlpcore.training.history import History
from mlpcore.training.loop import Trainer
from mlpcore.training.parameters import named_state
from mlpcore.training.position import Position
from mlpcore.training.values import decode_tree, encode_tree
from mlpcore.trees import Layout, tree_map
from mlpcore.typing import State

# Prefixes of tensor names in files written before December 2026, and the present ones.
OLD_TENSORS = {"optimizer.mean.": "optimizer.first_moment.", "optimizer.square.": "optimizer.second_moment."}
LOSSES = "losses"
# Errors that values of a damaged file, or of another version of a callback, may cause.
_UNREADABLE = (LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)


class Checkpoints:
    """Writes and reads the checkpoints of one fit.

    A fit can be resumed if these are equal in the file and here: ``about``, the model and arguments of the fit as JSON
    values by name (`describe_fit`); ``weights`` (`describe_weights`); and, in their order, the types and arguments of
    the ``callbacks`` that have a state.
    """

    def __init__(
        self,
        trainer: Trainer,
        layout: Layout,
        about: dict[str, Any],
        weights: dict[str, Any],
        callbacks: Sequence[Any],
    ) -> None:
        self.trainer, self.layout, self.about, self.weights = trainer, layout, about, weights
        self.stateful = [callback for callback in callbacks if has_state(callback)]
        self._resumed: tuple[State, Position, list[Any], str] | None = None
        self._losses: list[float] = []

    def write(self, path: Path, history: History, losses: list[float] | None = None) -> None:
        """Write state, progress, history and the states of callbacks; ``losses`` are those of an unfinished epoch."""
        trainer = self.trainer
        tensors = dict(named_state(tree_map(trainer.backend.to_numpy, trainer.state), self.layout))
        if losses is not None:
            tensors[LOSSES] = np.asarray(losses, dtype=np.float64)
        about = {
            "fit": self.about,
            "weights": self.weights,
            "callbacks": [describe_callback(callback) for callback in self.stateful],
            "states": [encode_tree(c.state(), f"callbacks.{i}", tensors) for i, c in enumerate(self.stateful)],
            "progress": dataclasses.asdict(trainer.progress),
            # As texts: a loss may be infinite, for which JSON has no number.
            "history": [{name: repr(float(value)) for name, value in row.items()} for row in history.rows],
            "stopped": history.stopped,
            "compiled": trainer.compilation.kind,
        }
        write(path, "checkpoint", about, tensors)

    def resume(self, path: Path, written: Path | None = None) -> History:
        """Read and check a checkpoint, or the latest whole one in a folder; returns its history.

        `put` and `put_callbacks` then apply its state. If there is none but the fit writes to the same path
        ``written``, the history is empty and the fit starts from the beginning, so that the same command starts and
        resumes. ModelFileError if the file cannot be resumed from here.
        """
        with signals_pass():
            found = candidates(path) if os.path.isdir(path) else [os.fspath(path)] * os.path.exists(path)
        if not found and written is not None and same_file(path, written):
            return History()
        who, about, tensors = first_whole(found, os.fspath(path))
        for where, saved, own in self._differences(about, who):
            raise ModelFileError(
                f"{who} was written by another fit: {where or 'it'} is {short(saved)} there and {short(own)} here; "
                "resume with the same model, data, arguments and callbacks"
            )
        try:
            progress = Position(**{name: _count(about["progress"][name]) for name in ("epoch", "step")})
            rows = [{str(name): float(value) for name, value in row.items()} for row in about["history"]]
            if not isinstance(stopped := about["stopped"], str | None):
                raise ValueError(f"stopped is {short(stopped)}")
            history = History(rows, stopped)
            history.resumed_from = who
            self._losses = _unfinished(tensors.pop(LOSSES, None))
        except _UNREADABLE as error:
            raise ModelFileError(f"{who}: progress or history cannot be read: {error!r}; use a copy") from None
        try:
            states = [decode_tree(state, tensors) for state in about.get("states", ())]
        except _UNREADABLE as error:
            raise ModelFileError(f"{who}: the state of a callback cannot be read: {error!r}; use a copy") from None
        self._resumed = self._restored(tensors, who), progress, states, who
        self.trainer.compilation.keep(about.get("compiled"), who, warn=True)
        return history

    def put(self) -> None:
        """Set the trainer to the state of the checkpoint, if one is resumed."""
        if self._resumed is not None:
            state, progress, *_ = self._resumed
            self.trainer.state = tree_map(lambda leaf: self.trainer.backend.asarray(np.copy(leaf)), state)
            self.trainer.progress = dataclasses.replace(progress)

    def put_callbacks(self) -> list[float]:
        """Set the callbacks and then the trainer to the state of the checkpoint, if one is resumed.

        Returns the losses of the steps that the first epoch has behind it.
        """
        if self._resumed is None:
            return []
        _, _, states, who = self._resumed
        for callback, state in zip(self.stateful, states, strict=False):
            try:
                callback.restore(state)
            except _UNREADABLE as error:
                kind = type(callback).__name__
                raise ModelFileError(
                    f"{who}: {kind} cannot take its state from this file: {error!r}; use a copy, or another file"
                ) from error
        self.put()
        self._resumed = None
        return self._losses

    def _differences(self, about: dict[str, Any], who: str) -> Iterator[tuple[str, Any, Any]]:
        """``(where, saved, own)`` for every difference between the fit that wrote the file and this one."""
        yield from differences(about.get("fit"), self.about)
        if "callbacks" not in about:  # in files of an early release, which had neither weights nor callbacks
            if self.stateful:
                kinds = ", ".join(type(callback).__name__ for callback in self.stateful)
                warnings.warn(f"{who} holds no state of callbacks: {kinds} begins anew", MlpcoreWarning, stacklevel=7)
            return
        try:
            if about["weights"]["together"] != self.weights["together"]:
                yield from differences(about["weights"], self.weights)
            callbacks, own = about["callbacks"], [describe_callback(callback) for callback in self.stateful]
            saved_types, types = ([callback["type"] for callback in described] for described in (callbacks, own))
            yield from differences(saved_types, types, "callbacks")
            for saved, current in zip(callbacks, own, strict=True):
                yield from differences(saved, current, current["type"])
            yield from differences(len(about["states"]), len(own), "the number of states of callbacks")
        except _UNREADABLE as error:
            raise ModelFileError(f"{who}: weights or callbacks cannot be read: {error!r}; use a copy") from None

    def _restored(self, tensors: dict[str, np.ndarray], who: str) -> State:
        """The state as host arrays; ModelFileError unless names, shapes and dtypes are those of the trainer's state."""
        trainer = self.trainer
        host: State = tree_map(lambda leaf: np.array(trainer.backend.to_numpy(leaf)), trainer.state)
        expected = dict(named_state(host, self.layout))
        tensors = {name if name in expected else _current_name(name): tensor for name, tensor in tensors.items()}
        for name in sorted(expected.keys() | tensors.keys()):
            got, own = (
                f"{leaves[name].dtype} {leaves[name].shape}" if name in leaves else "missing"
                for leaves in (tensors, expected)
            )
            if got != own:
                raise ModelFileError(f"{who}: the tensor {name} is {got} there and {own} here, expected the same")
        for name, leaf in expected.items():
            leaf[...] = tensors[name]  # views into the flat vectors, whose padding keeps its initial values
        return host


def _unfinished(losses: np.ndarray | None) -> list[float]:
    """The losses of an unfinished epoch, of their tensor in a file; ValueError if it is no list of numbers."""
    if losses is None:
        return []
    if losses.ndim != 1 or losses.dtype != np.float64:
        raise ValueError(f"the losses are {losses.dtype} {losses.shape}")
    return [float(loss) for loss in losses]


def _current_name(name: str) -> str:
    """The present name of a tensor that was renamed."""
    for old, new in OLD_TENSORS.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value
