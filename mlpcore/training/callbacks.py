"""What may happen between epochs: stopping early, lowering the learning rate on a plateau."""

import math
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
        """After the last epoch, also where training was interrupted or failed."""


def watched(who: str, report: Report, monitor: str, mode: str) -> float:
    """The monitored value, its sign turned so that smaller is better."""
    if monitor not in report.values:
        hint = "; pass validation_data to fit" if monitor.startswith("val_") else ""
        raise ConfigurationError(f"{who}: there is no {monitor!r} among {', '.join(report.values)}{hint}")
    value = report.values[monitor]
    return -value if direction(monitor, mode) == "max" else value


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
        value = watched("EarlyStopping", report, self.monitor, self.mode)
        if value < self.best - self.min_delta:
            self.best, self.best_epoch, self._waited = value, report.epoch, 0
            self._snapshot = report.model.snapshot() if self.restore_best else None
            return None
        self._waited += 1
        if self._waited < self.patience:
            return None
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
        value = watched("ReduceOnPlateau", report, self.monitor, self.mode)
        if value < self._best - self.min_delta:
            self._best, self._waited = value, 0
            return
        self._waited += 1
        if self._waited >= self.patience:
            report.model.rate_scale = max(self.min_scale, report.model.rate_scale * self.factor)
            self._waited = 0
