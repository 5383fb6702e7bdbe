"""Checkpoints: the whole state of training in a file after every epoch, from which a killed fit goes on bit by bit.

The tensors have names: ``params.2.weight``, ``optimizer.mean.2.weight``, ``statistics.1.running_mean``,
``optimizer.count``. They hold no padding, no layout and nothing of a library, so any backend goes on from them.
"""

import dataclasses
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from mlpcore.errors import ModelFileError
from mlpcore.files.specification import encode, short
from mlpcore.files.tensors import read, write
from mlpcore.files.writing import Path, check_target, same_file
from mlpcore.training.history import History
from mlpcore.training.loop import Progress, Trainer
from mlpcore.trees import Layout, named_leaves, tree_map
from mlpcore.typing import Array, State, Tree


def describe(value: Any) -> Any:
    """The JSON value of a configuration, for comparison only: what no file can hold is there by its name."""

    def foreign(value: Any, where: str) -> Any:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            return {"type": type(value).__qualname__} | {
                name: encode(part, f"{where}.{name}", foreign) for name, part in fields.items()
            }
        if isinstance(value, float):
            return repr(value)
        return f"<{getattr(value, '__qualname__', type(value).__qualname__)}>"

    return encode(value, "", foreign)


class Checkpoints:
    """The files of one fit. ``write`` is the path written to (None: nowhere), ``about`` what the fit was called with.

    A fit may be resumed where all of ``about`` is as it was: JSON values by name, nested.
    """

    def __init__(self, trainer: Trainer, layout: Layout, about: dict[str, Any], path: Path | None) -> None:
        self.trainer, self.layout, self.about = trainer, layout, about
        self.path = None if path is None else check_target(path)

    def save(self, history: History) -> None:
        """Write the state, the progress and the history of this fit; nothing where no path was given."""
        if self.path is None:
            return
        trainer = self.trainer
        state = tree_map(trainer.backend.to_numpy, trainer.state)
        about = {
            "fit": self.about,
            "progress": dataclasses.asdict(trainer.progress),
            # As texts: a loss may be infinite, for which JSON has no number.
            "history": [{name: repr(float(value)) for name, value in row.items()} for row in history.rows],
            "stopped": history.stopped,
        }
        write(self.path, "checkpoint", about, dict(_tensors(state, self.layout)))

    def resume(self, path: Path) -> History:
        """Put the trainer where the checkpoint stands; the history up to there. An error changes nothing.

        A missing file begins anew if it is the one written to, so that one command line starts and restarts.
        """
        same = self.path is not None and same_file(path, self.path)
        if same and not os.path.exists(path):
            return History()
        about, tensors = read(path, "checkpoint")
        for where, saved, own in _differences(about.get("fit"), self.about):
            raise ModelFileError(
                f"{os.fspath(path)} was written by another fit: {where} is {short(saved)} there and {short(own)} here; "
                "resume with the same model, data and arguments"
            )
        try:
            progress = Progress(**{name: _count(about["progress"][name]) for name in ("epoch", "step")})
            rows = [{str(name): float(value) for name, value in row.items()} for row in about["history"]]
            history = History(rows, about["stopped"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelFileError(f"{os.fspath(path)}: progress or history cannot be read: {error!r}") from None
        self.trainer.state = self._restored(tensors, os.fspath(path))
        self.trainer.progress = progress
        return history

    def _restored(self, tensors: dict[str, np.ndarray], who: str) -> State:
        """The state on the trainer's backend, if the tensors are exactly those it has."""
        trainer = self.trainer
        host = tree_map(lambda leaf: np.array(trainer.backend.to_numpy(leaf)), trainer.state)
        expected = dict(_tensors(host, self.layout))
        for name in sorted(expected.keys() | tensors.keys()):
            got, own = (
                f"{leaves[name].dtype} {leaves[name].shape}" if name in leaves else "missing"
                for leaves in (tensors, expected)
            )
            if got != own:
                raise ModelFileError(f"{who}: the tensor {name} is {got}, expected {own}")
        for name, leaf in expected.items():
            leaf[...] = tensors[name]  # views: they fill the vectors, whose padding stays what the optimizer made it
        return tree_map(trainer.backend.asarray, host)


def _tensors(state: State, layout: Layout) -> Iterator[tuple[str, Array]]:
    """The arrays of a host state by name, views where they are parts of a vector."""
    names = _named(state)._replace(statistics=tuple(f"statistics.{name}" for name in layout.statistics))
    leaves = [leaf for _, leaf in named_leaves(state)]
    stack = state.params.shape[:-1]
    for (_, name), leaf in zip(named_leaves(names), leaves, strict=True):
        if leaf.shape == state.params.shape and not name.startswith("statistics."):
            for slot_name, slot in layout.slots.items():
                yield f"{name}.{slot_name}", np.reshape(leaf[..., slot.start : slot.stop], (*stack, *slot.shape))
        else:
            yield name, leaf


def _named(node: Tree, prefix: str = "") -> Any:
    """The tree of the leaves' names, the fields of named tuples being part of them."""
    if not isinstance(node, tuple):
        return prefix[:-1]
    fields = getattr(node, "_fields", range(len(node)))
    parts = [_named(part, f"{prefix}{field}.") for field, part in zip(fields, node, strict=True)]
    return type(node)(*parts) if hasattr(node, "_fields") else tuple(parts)


def _differences(saved: Any, own: Any, where: str = "") -> Iterator[tuple[str, Any, Any]]:
    """``(where, saved, own)`` for every value that is not the same in both."""
    if isinstance(saved, dict) and isinstance(own, dict) and saved.get("type") == own.get("type"):
        for name in sorted(saved.keys() | own.keys()):
            yield from _differences(saved.get(name), own.get(name), f"{where}.{name}" if where else name)
    elif isinstance(saved, list) and isinstance(own, list) and len(saved) == len(own):
        for i, pair in enumerate(zip(saved, own, strict=True)):
            yield from _differences(*pair, f"{where}[{i}]")
    elif saved != own:
        yield where, saved, own


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value
