"""Monitor: the base of callbacks that look at one value of every epoch."""

from collections.abc import Iterable

from mlpcore.configuration import check_choice
from mlpcore.errors import ConfigurationError
from mlpcore.training.events import Report


class Monitor:
    """Abstract: a callback that reads the value ``monitor`` of every epoch.

    ``mode`` is "min" or "max", what is better; "auto" is "min" for losses and errors, "max" for all other scores.
    """

    def __init__(self, monitor: str, mode: str) -> None:
        check_choice(self, ("auto", "min", "max"), mode=mode)
        self.monitor, self.mode = monitor, mode

    def check_monitor(self, columns: Iterable[str]) -> None:
        """ConfigurationError unless ``monitor`` is one of the columns of the history."""
        if self.monitor not in (available := list(columns)):
            hint = "" if "val_loss" in available else "; pass validation_data to fit for those that begin with val_"
            raise ConfigurationError(
                f"{type(self).__name__}: monitor is {self.monitor!r}, expected one of {', '.join(available)}{hint}"
            )

    def value(self, report: Report) -> float:
        """The value of the epoch."""
        self.check_monitor(report.values)
        return float(report.values[self.monitor])


def direction(monitor: str, mode: str) -> str:
    """``mode`` itself, or for "auto": "min" for losses and errors, "max" for all other scores."""
    if mode != "auto":
        return mode
    return "min" if monitor.endswith(("loss", "error")) else "max"
