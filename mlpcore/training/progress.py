"""Progress: the numbers of each epoch, as a live bar in a terminal and as plain lines elsewhere."""

import sys
from typing import Any, TextIO

from mlpcore.configuration import check_count
from mlpcore.training.bars import Bar, encodable, open_bar
from mlpcore.training.events import Report

_SHARES = ("accuracy",)  # suffixes of metrics from 0 to 1 that are shown in per cent
_SHOWN_ELSEWHERE = ("learning_rate", "rows_per_second")


def said(values: dict[str, float]) -> str:
    """The numbers of an epoch in a line: losses and metrics in their order, then the speed.

    >>> said({"loss": 0.25, "rows_per_second": 51234.5, "val_loss": 0.5, "val_accuracy": 0.975})
    'loss 0.25  val_loss 0.5  val_accuracy 97.50 %  51,234 rows/s'
    """
    words = [f"{name} {_number(name, value)}" for name, value in values.items() if name not in _SHOWN_ELSEWHERE]
    if "rows_per_second" in values:
        words.append(f"{values['rows_per_second']:,.0f} rows/s")
    return "  ".join(words)


def _number(name: str, value: float) -> str:
    return f"{100 * value:.2f} %" if name.endswith(_SHARES) else f"{value:.4g}"


class Progress:
    """Shows every epoch's loss, validation loss and metrics, and rows per second.

    In a terminal with rich installed (extra ``ui``), this is one live line with a bar, and below it those of other fits
    that run at the same time, such as the members of a stack; a narrow window has room for the numbers alone. Elsewhere
    (a file, a notebook, ``TERM=dumb``) it is a plain line for every ``every``-th epoch and for the last, without escape
    codes. ``NO_COLOR`` takes the colours away. ``file`` is the stream, by default ``sys.stderr`` as it is when a fit
    begins, so that standard output holds only the results of a program. Epochs are counted over all fits of the model.
    """

    def __init__(self, every: int = 1, file: TextIO | None = None) -> None:
        check_count(self, every=every)
        self.every, self.file = every, file
        self._bar: Bar | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> "Progress":
        """A callback that writes to the same stream."""
        return Progress(self.every, self.file)

    def on_fit_begin(self, model: Any, epochs: int) -> None:
        """Start the bar, where there is one."""
        self._stop()
        self._stream = self.file or sys.stderr
        self._first, self._epochs, self._pending = 0, epochs, ""
        self._bar = open_bar(self._stream, epochs)

    def on_epoch_end(self, report: Report) -> None:
        """Show the epoch."""
        self._first = self._first or report.epoch
        last = self._first + self._epochs - 1
        title, text = f"epoch {report.epoch}/{last}", encodable(said(report.values), self._stream)
        if self._bar is not None:
            self._bar.update(report.epoch - self._first + 1, title, text)
            return
        self._pending = f"{title}  {text}"
        if report.epoch % self.every == 0:
            self._flush()

    def on_fit_end(self, model: Any) -> None:
        """Stop the bar, or write the line of the last epoch if it was not written yet."""
        self._stop()
        self._flush()

    def _flush(self) -> None:
        if self._pending:
            print(self._pending, file=self._stream, flush=True)
            self._pending = ""

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
