"""What a callback is: the calls between epochs, and what it keeps for a checkpoint."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple, Protocol


class Stop(NamedTuple):
    """Returned by a callback to end training after this epoch; ``reason`` lands in ``history.stopped``."""

    reason: str


class Report(NamedTuple):
    """What a callback sees: the model, the number of the epoch (from 1, over all fits), how many this fit has, and the
    epoch's row of the history."""

    model: Any
    epoch: int
    epochs: int
    values: dict[str, float]


class Callback(Protocol):
    """The calls a callback may offer; one that is missing is not made.

    One with both ``state`` and ``restore`` goes on after a resume as if nothing had happened. Any other begins anew.
    """

    def on_fit_begin(self, model: Any, epochs: int) -> None:
        """Before the first epoch of a fit; ``epochs`` are still to come, fewer than asked for after a resume."""

    def on_epoch_end(self, report: Report) -> Stop | None:
        """After every epoch; a Stop ends training."""

    def on_fit_end(self, model: Any) -> None:
        """After the last epoch, also where training was interrupted or failed; not if its own ``on_fit_begin`` did."""

    def state(self) -> Any:
        """All that it keeps from epoch to epoch, for a checkpoint: numbers, texts, None, and arrays of any library, in
        dicts, lists and tuples. Asked for after the epoch's calls of all callbacks."""

    def restore(self, state: Any) -> None:
        """Take over what ``state`` gave, arrays as NumPy's; called after ``on_fit_begin``, in a resumed fit only.

        Afterwards the model is put where the checkpoint stands, whatever these two have done to it.
        """


def has_state(callback: Any) -> bool:
    """Whether checkpoints hold what the callback keeps."""
    return all(callable(getattr(callback, name, None)) for name in ("state", "restore"))


def call(callbacks: Iterable[Any], event: str, *args: Any) -> list[Any]:
    """Call the event's method of every callback that has one, up to the first that raises."""
    return [getattr(callback, event)(*args) for callback in callbacks if hasattr(callback, event)]


def call_every(callbacks: Iterable[Any], event: str, *args: Any) -> None:
    """As `call`, but one that raises keeps no other from its turn."""
    every(partial(call, [callback], event, *args) for callback in callbacks)


def every(actions: Iterable[Callable[[], Any]]) -> None:
    """All actions in their order, also after one that raises; the last error is raised at the end."""
    with ExitStack() as stack:
        for action in reversed(list(actions)):
            stack.callback(action)
