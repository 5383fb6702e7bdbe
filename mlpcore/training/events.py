"""The protocol of callbacks: calls between epochs, and the state for a checkpoint."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple, Protocol


class Stop(NamedTuple):
    """Returned by a callback to end training after this epoch; ``reason`` becomes ``history.stopped``."""

    reason: str


class Report(NamedTuple):
    """What a callback gets after an epoch.

    ``epoch`` is its number, counted from 1 over all fits of ``model``; ``epochs`` is the number of epochs of this fit;
    ``values`` is the epoch's row of the history, ``batch_size`` the number of rows of its steps.
    """

    model: Any
    epoch: int
    epochs: int
    values: dict[str, float]
    batch_size: int


class Callback(Protocol):
    """The methods of a callback; each may be missing, and is then not called.

    A callback with both ``state`` and ``restore`` continues from its state when a fit is resumed. Others start anew.
    """

    def on_fit_begin(self, model: Any, epochs: int) -> None:
        """Before the first epoch of a fit; ``epochs`` are still to be trained, without those before a resume."""

    def on_epoch_end(self, report: Report) -> Stop | None:
        """After every epoch; a Stop ends training."""

    def on_fit_end(self, model: Any) -> None:
        """After the last epoch, also if training was interrupted or failed, but not if its ``on_fit_begin`` did."""

    def state(self) -> Any:
        """The state that is kept from epoch to epoch, for a checkpoint.

        It consists of numbers, strings, None and arrays of any library, in dicts, lists and tuples. Called after
        ``on_epoch_end`` of all callbacks, and where a checkpoint is written within an epoch.
        """

    def restore(self, state: Any) -> None:
        """Continue from a result of ``state``, whose arrays are now NumPy's.

        Called only in a resumed fit, after ``on_fit_begin``. Then the model gets the state of the checkpoint; changes
        that these two methods made to it are lost.
        """


def has_state(callback: Any) -> bool:
    """Whether the callback has a state that checkpoints contain."""
    return all(callable(getattr(callback, name, None)) for name in ("state", "restore"))


def call(callbacks: Iterable[Any], event: str, *args: Any) -> list[Any]:
    """Call the method ``event`` of every callback that has it, up to the first that raises; returns the results."""
    return [getattr(callback, event)(*args) for callback in callbacks if hasattr(callback, event)]


def call_every(callbacks: Iterable[Any], event: str, *args: Any) -> None:
    """As `call`, but also after a callback that raises; the last error is raised at the end."""
    every(partial(call, [callback], event, *args) for callback in callbacks)


def every(actions: Iterable[Callable[[], Any]]) -> None:
    """Call all actions in order, also after one that raises; the last error is raised at the end."""
    with ExitStack() as stack:
        for action in reversed(list(actions)):
            stack.callback(action)
