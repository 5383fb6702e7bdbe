"""What may happen between epochs: stopping early, lowering the learning rate on a plateau."""

import math
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any, NamedTuple, Protocol

from mlpcore.configuration import check_choice, check_count, check_number
from mlpcore.errors import ConfigurationError


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
    """The calls a callback may offer; one that is missing is not made."""

    def on_fit_begin(self, model: Any, epochs: int) -> None:
        """Before the first epoch of a fit; ``epochs`` are still to come, fewer than asked for after a resume."""

    def on_epoch_end(self, report: Report) -> Stop | None:
        """After every epoch; a Stop ends training."""

    def on_fit_end(self, model: Any) -> None:
        """After the last epoch, also where training was interrupted or failed; not if its own ``on_fit_begin`` did."""


def check_callbacks(callbacks: Any, columns: Iterable[str]) -> tuple[Any, ...]:
    """The callbacks of a fit whose history will have these columns; a ConfigurationError for what cannot work."""
    if not isinstance(callbacks, Iterable):
        raise ConfigurationError(f"fit: callbacks is {callbacks!r}, expected a list such as [EarlyStopping()]")
    found, events = tuple(callbacks), ("on_fit_begin", "on_epoch_end", "on_fit_end")
    for callback in found:
        if isinstance(callback, type) or not any(hasattr(callback, event) for event in events):
            raise ConfigurationError(
                f"fit: the callback {callback!r} is never called, expected an object with a method {', '.join(events)}"
            )
        if isinstance(callback, (EarlyStopping, ReduceOnPlateau)):
            check_monitor(callback, columns)
    return found


def check_monitor(rule: Any, columns: Iterable[str]) -> None:
    """What the rule monitors is one of the columns."""
    if rule.monitor not in (there := list(columns)):
        hint = "" if "val_loss" in there else "; pass validation_data to fit for those that begin with val_"
        raise ConfigurationError(
            f"{type(rule).__name__}: monitor is {rule.monitor!r}, expected one of {', '.join(there)}{hint}"
        )


def call(callbacks: Iterable[Any], event: str, *args: Any) -> list[Any]:
    """Call the event's method of every callback that has one, up to the first that raises."""
    return [getattr(callback, event)(*args) for callback in callbacks if hasattr(callback, event)]


def call_every(callbacks: Iterable[Any], event: str, *args: Any) -> None:
    """As `call`, but one that raises keeps no other from its turn."""
    with ExitStack() as stack:
        for callback in reversed([one for one in callbacks if hasattr(one, event)]):
            stack.callback(getattr(callback, event), *args)


def watched(rule: Any, report: Report) -> float:
    """The monitored value, its sign turned so that smaller is better."""
    check_monitor(rule, report.values)
    value = report.values[rule.monitor]
    return -value if direction(rule.monitor, rule.mode) == "max" else value


def direction(monitor: str, mode: str) -> str:
    """``mode`` itself, or for "auto": "min" for losses and errors, "max" for all other scores."""
    if mode != "auto":
        return mode
    return "min" if monitor.endswith(("loss", "error")) else "max"


class EarlyStopping:
    """Stop when ``monitor`` has not become better by more than ``min_delta`` for ``patience`` epochs.

    The weights of the best epoch are kept as a copy and put back at the end of the fit (``restore_best=False`` leaves
    the last ones). ``mode`` is "min", "max" or "auto" (losses and errors: min).
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        patience: int = 10,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best: bool = True,
    ) -> None:
        check_count(self, patience=patience)
        check_number(self, min_delta=min_delta, least=0)
        check_choice(self, ("auto", "min", "max"), mode=mode)
        self.monitor, self.patience, self.min_delta = monitor, patience, min_delta
        self.mode, self.restore_best = mode, restore_best

    def on_fit_begin(self, model: Any, epochs: int) -> None:
        """Forget earlier fits."""
        self.best, self.best_epoch, self._waited, self._snapshot = math.inf, 0, 0, None

    def on_epoch_end(self, report: Report) -> Stop | None:
        """Compare with the best so far."""
        value = watched(self, report)
        if value < self.best - self.min_delta:
            self.best, self.best_epoch, self._waited = value, report.epoch, 0
            self._snapshot = report.model.snapshot() if self.restore_best else None
            return None
        self._waited += 1
        if self._waited < self.patience:
            return None
        if not self.best_epoch:
            return Stop(f"{self.monitor} was never a finite number")
        return Stop(f"{self.monitor} was best in epoch {self.best_epoch} and not since")

    def on_fit_end(self, model: Any) -> None:
        """Put the best weights back."""
        if self._snapshot is not None:
            model.restore(self._snapshot)
            self._snapshot = None


class ReduceOnPlateau:
    """Multiply the learning rate by ``factor`` when ``monitor`` has not improved for ``patience`` epochs.

    The rate never falls below ``min_scale`` times what the optimizer's schedule says.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        factor: float = 0.1,
        patience: int = 10,
        min_delta: float = 0.0,
        mode: str = "auto",
        min_scale: float = 1e-6,
    ) -> None:
        check_number(self, factor=factor, min_scale=min_scale, above=0, below=1)
        check_count(self, patience=patience)
        check_number(self, min_delta=min_delta, least=0)
        check_choice(self, ("auto", "min", "max"), mode=mode)
        self.monitor, self.factor, self.patience = monitor, factor, patience
        self.min_delta, self.mode, self.min_scale = min_delta, mode, min_scale

    def on_fit_begin(self, model: Any, epochs: int) -> None:
        """Forget earlier fits."""
        self._best, self._waited = math.inf, 0

    def on_epoch_end(self, report: Report) -> None:
        """Lower the rate after a plateau, then wait anew."""
        value = watched(self, report)
        if value < self._best - self.min_delta:
            self._best, self._waited = value, 0
            return
        self._waited += 1
        if self._waited >= self.patience:
            scale = report.model.rate_scale
            report.model.rate_scale = min(scale, max(self.min_scale, scale * self.factor))
            self._waited = 0
