"""The library's callbacks, EarlyStopping and ReduceOnPlateau, and the check of all callbacks of a fit."""

import math
from collections.abc import Iterable
from typing import Any

from mlpcore.configuration import check_count, check_number, plain
from mlpcore.errors import ConfigurationError
from mlpcore.training.events import Report, Stop, has_state
from mlpcore.training.monitor import Monitor, direction


def check_callbacks(callbacks: Any, columns: Iterable[str]) -> tuple[Any, ...]:
    """The callbacks as a tuple, for a fit whose history has these columns; ConfigurationError for an invalid one."""
    if not isinstance(callbacks, Iterable):
        raise ConfigurationError(f"fit: callbacks is {callbacks!r}, expected a list such as [EarlyStopping()]")
    checked, events = tuple(callbacks), ("on_fit_begin", "on_epoch_end", "on_fit_end")
    for callback in checked:
        if isinstance(callback, type) or not any(hasattr(callback, event) for event in events):
            raise ConfigurationError(
                f"fit: the callback {callback!r} is never called, expected an object with a method {', '.join(events)}"
            )
        if isinstance(callback, Monitor):
            callback.check_monitor(columns)
        if has_state(callback) and sum(other is callback for other in checked) > 1:
            raise ConfigurationError(
                f"fit: callbacks has the same {type(callback).__name__} twice, which would count every epoch twice; "
                "make a second one, or leave it out"
            )
    return checked


class Rule(Monitor):
    """Abstract: counts the epochs since ``monitor`` last became better by more than ``min_delta``.

    ``best`` is the best value so far, negated where larger is better.
    """

    def __init__(self, monitor: str, patience: int, min_delta: float, mode: str) -> None:
        check_count(self, patience=patience)
        check_number(self, min_delta=min_delta, least=0)
        super().__init__(monitor, mode)
        self.patience, self.min_delta = plain(patience), plain(min_delta)
        self._begin(None)

    def _begin(self, model: Any) -> None:
        self._model, self.best, self._waited = model, math.inf, 0

    def on_fit_begin(self, model: Any, epochs: int) -> None:
        """Reset the best value and the count of epochs."""
        self._begin(model)

    def on_fit_end(self, model: Any) -> None:
        """Drop the reference to the model."""
        self._model = None

    def arguments(self) -> dict[str, Any]:
        """The arguments that a resumed fit must share with the fit that wrote the checkpoint."""
        mode = direction(self.monitor, self.mode)
        return {"monitor": self.monitor, "patience": self.patience, "min_delta": self.min_delta, "mode": mode}

    def state(self) -> dict[str, Any]:
        """The best value so far, and the number of epochs since."""
        return {"best": self.best, "waited": self._waited}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a result of `state`; ValueError for anything that `state` cannot return."""
        best, waited = state["best"], state["waited"]
        if type(best) is not float or math.isnan(best) or type(waited) is not int or waited < 0:
            raise ValueError(f"best is {best!r} and waited {waited!r}, expected a number and a count of epochs")
        self.best, self._waited = best, waited

    def _improves(self, report: Report) -> bool:
        """Update best value and count with the epoch; whether the epoch is the best so far."""
        if report.model is not self._model:
            raise ConfigurationError(
                f"{type(self).__name__} is at work in two fits at once, which would mix up its counts; "
                "make one for each"
            )
        value = self.value(report)
        value = -value if direction(self.monitor, self.mode) == "max" else value
        better: bool = value < self.best - self.min_delta
        self.best, self._waited = (value, 0) if better else (self.best, self._waited + 1)
        return better


class EarlyStopping(Rule):
    """Stop when ``monitor`` has not become better by more than ``min_delta`` for ``patience`` epochs.

    A copy of the weights of the best epoch is restored at the end of the fit (``restore_best=False`` keeps the last
    weights). ``mode`` is "min", "max" or "auto" (losses and errors: min).
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
        super().__init__(monitor, patience, min_delta, mode)
        self.restore_best = restore_best

    def _begin(self, model: Any) -> None:
        super()._begin(model)
        self.best_epoch, self._snapshot = 0, None

    def on_epoch_end(self, report: Report) -> Stop | None:
        """Keep the weights of a new best epoch; Stop after ``patience`` epochs without one."""
        if self._improves(report):
            self.best_epoch = report.epoch
            self._snapshot = report.model.snapshot() if self.restore_best else None
            return None
        if self._waited < self.patience:
            return None
        if not self.best_epoch:
            return Stop(f"{self.monitor} was never a finite number")
        return Stop(f"{self.monitor} was best in epoch {self.best_epoch} and not since")

    def on_fit_end(self, model: Any) -> None:
        """Restore the best weights."""
        super().on_fit_end(model)
        if self._snapshot is not None:
            model.restore(self._snapshot)
            self._snapshot = None

    def arguments(self) -> dict[str, Any]:
        """The arguments that a resumed fit must share with the fit that wrote the checkpoint."""
        return super().arguments() | {"restore_best": bool(self.restore_best)}

    def state(self) -> dict[str, Any]:
        """The best value, its epoch and its weights, and the epochs since."""
        return super().state() | {"best_epoch": self.best_epoch, "snapshot": self._snapshot}

    def restore(self, state: dict[str, Any]) -> None:
        """Set what `state` has returned; DataError for weights of another network."""
        super().restore(state)
        epoch, snapshot = state["best_epoch"], state["snapshot"]
        if type(epoch) is not int or epoch < 0:
            raise ValueError(f"best_epoch is {epoch!r}, expected the number of an epoch")
        if snapshot is not None:
            self._model.restore(snapshot)  # checks that it fits; the fit sets the state of the model afterwards
        self.best_epoch, self._snapshot = epoch, snapshot


class ReduceOnPlateau(Rule):
    """Multiply the learning rate by ``factor`` when ``monitor`` has not improved for ``patience`` epochs.

    The rate never falls below ``min_scale`` times the rate of the optimizer (a number or its schedule).
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
        super().__init__(monitor, patience, min_delta, mode)
        self.factor, self.min_scale = plain(factor), plain(min_scale)

    def on_epoch_end(self, report: Report) -> None:
        """Lower the rate after ``patience`` epochs without improvement, then count from 0."""
        if self._improves(report) or self._waited < self.patience:
            return
        scale = report.model.rate_scale
        report.model.rate_scale = min(scale, max(self.min_scale, scale * self.factor))
        self._waited = 0

    def arguments(self) -> dict[str, Any]:
        """The arguments that a resumed fit must share with the fit that wrote the checkpoint."""
        return super().arguments() | {"factor": self.factor, "min_scale": self.min_scale}
