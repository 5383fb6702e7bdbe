"""TensorBoard: a callback that writes the history, and histograms of the weights, for TensorBoard."""

import os
from typing import Any

from mlpcore.backends.transfer import to_host
from mlpcore.configuration import check_count
from mlpcore.errors import ConfigurationError
from mlpcore.files.writing import Path
from mlpcore.trackers.event_file import EventFile, check_tensorboard
from mlpcore.trackers.names import first_free
from mlpcore.trackers.parameters import settings
from mlpcore.trackers.tracker import Tracker
from mlpcore.training.events import Report


class TensorBoard(Tracker):
    """Write the row of every epoch for TensorBoard: ``tensorboard --logdir folder`` shows the curves.

    folder: The folder of all runs, which is made where it is missing.
    run: The folder of this run in it. One that exists is never written to by another fit, which begins ``run-2``, and
        so on. The attribute ``run`` is the one that is written to.
    histograms: Histograms of all parameters and running statistics are written every so many epochs; 0 for none.

    Scalars are the columns of the history, such as ``loss`` and ``val_loss``, and ``seconds``, those since the epoch
    before with validation, callbacks and checkpoints. Their step is the number of the epoch; TensorBoard keeps them in
    float32. The settings of model and fit are the text ``settings``. Everything is on disk after each epoch. A resumed
    fit goes on in its run, where epochs after the checkpoint no longer count.

    Files are written by the package tensorboard (extra ``tensorboard``), without TensorFlow or PyTorch. Errors:
    MissingDependency without it, ConfigurationError for a name of a run with a separator of folders.
    """

    def __init__(self, folder: Path, *, run: str = "run", histograms: int = 0) -> None:
        super().__init__()
        check_tensorboard()
        if histograms != 0:
            check_count(self, histograms=histograms)
        if not run or os.path.basename(run) != run or run in (".", ".."):
            raise ConfigurationError(f"TensorBoard: run is {run!r}, expected the name of a folder without separators")
        self.folder, self.name, self.histograms = os.fspath(folder), run, histograms
        self._events: EventFile | None = None

    def begin(self, report: Report, values: dict[str, float]) -> str:
        """Make the folder of the run, with the settings."""
        self._close()
        os.makedirs(self.folder, exist_ok=True)
        path = first_free(os.path.join(self.folder, self.name), "", os.mkdir)
        self._events = EventFile(path, report.epoch)
        rows = [f"| {name} | `{value}` |" for name, value in settings(report).items()]
        self._events.text("settings", "\n".join(["| setting | value |", "| --- | --- |", *rows]), report.epoch)
        return os.path.basename(path)

    def resume(self, report: Report, restored: bool) -> None:
        """Open the file of events again, or after a checkpoint a further one, without the epochs from this one on."""
        path = os.path.join(self.folder, self.run or "")
        os.makedirs(path, exist_ok=True)
        self._events = EventFile(path, report.epoch if restored else None)

    def write(self, report: Report, values: dict[str, float]) -> None:
        """Write the scalars of the epoch, and the histograms if it is their turn."""
        assert self._events is not None
        for name, value in values.items():
            self._events.scalar(name, value, report.epoch)
        if self.histograms and report.epoch % self.histograms == 0:
            for name, leaf in report.model.snapshot().items():
                self._events.histogram(name, to_host(leaf), report.epoch)
        self._events.flush()

    def end(self, model: Any) -> None:
        """Close the file."""
        self._close()

    def _close(self) -> None:
        if self._events is not None:
            self._events.close()
            self._events = None
