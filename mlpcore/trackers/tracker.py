"""Tracker: the base of callbacks that write the numbers of every epoch to a run."""

import copy
import time
from typing import Any

from mlpcore.errors import ConfigurationError
from mlpcore.training.events import Report


class Tracker:
    """Abstract: writes the row of every epoch, and its seconds, to a run, which begins with the first epoch of a fit.

    A resumed fit goes on in the run of the fit that wrote the checkpoint, and a further fit of a model in the run of
    its last one. Every other fit begins another run. A copy of the callback, as every member of a `Stack` and every
    clone of an estimator gets one, has no run yet, and so begins one of its own. ``run`` is the name of the run.

    Of several ranks that train a model together, rank 0 writes.
    """

    def __init__(self) -> None:
        self.run: str | None = None
        self._epoch = 0  # the last one that was written to the run
        self._start(None)

    def _start(self, model: Any) -> None:
        self._model, self._restored, self._writing, self._clock = model, False, False, time.monotonic()

    def __deepcopy__(self, memo: dict[int, Any]) -> "Tracker":
        """A callback with the same arguments, without a run."""
        other = copy.copy(self)
        Tracker.__init__(other)
        return other

    def begin(self, report: Report, values: dict[str, float]) -> str:
        """Begin a run with the first epoch that it will hold; returns its name."""
        raise NotImplementedError

    def resume(self, report: Report, restored: bool) -> None:
        """Open the run again to continue with this epoch. If ``restored``, it may hold this epoch and later ones of a
        process that was killed before it wrote its checkpoint.
        """

    def write(self, report: Report, values: dict[str, float]) -> None:
        """Write the values of an epoch to the run."""
        raise NotImplementedError

    def end(self, model: Any) -> None:
        """Close the run at the end of a fit."""

    def on_fit_begin(self, model: Any, epochs: int) -> None:
        """Start the clock of the first epoch."""
        self._start(model)

    def on_epoch_end(self, report: Report) -> None:
        """Write the epoch, to a new run if it does not follow the last one of the present run."""
        if report.model is not self._model:
            raise ConfigurationError(
                f"{type(self).__name__} is at work in two fits at once, which would mix up their epochs; "
                "make one for each"
            )
        now = time.monotonic()
        values = report.values | {"seconds": now - self._clock}
        if self.run is None or report.epoch != self._epoch + 1:
            self.run = self.begin(report, values)
        elif not self._writing:
            self.resume(report, self._restored)
        self._writing = True
        self.write(report, values)
        self._epoch, self._clock = report.epoch, now

    def on_fit_end(self, model: Any) -> None:
        """Close the run, if the fit had one."""
        try:
            if self._writing or self._restored:
                self.end(model)
        finally:
            self._start(None)

    def state(self) -> dict[str, Any]:
        """The name of the run, and its last epoch."""
        return {"run": self.run, "epoch": self._epoch}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue the run of a result of `state`; ValueError for anything that `state` cannot return."""
        run, epoch = state["run"], state["epoch"]
        if not isinstance(run, str | None) or type(epoch) is not int or epoch < 0:
            raise ValueError(f"run is {run!r} and epoch {epoch!r}, expected a text and the number of an epoch")
        self.run, self._epoch, self._restored = run, epoch, run is not None
