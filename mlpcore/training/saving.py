"""When the checkpoints of a fit are written, and where."""

import os
import time
from typing import NamedTuple

from mlpcore.files.writing import Path, check_target
from mlpcore.training.checkpoint_folder import BEST, CheckpointFolder
from mlpcore.training.checkpoints import Checkpoints
from mlpcore.training.history import History


class Pauses(NamedTuple):
    """Where an epoch pauses: ``within`` says whether a checkpoint can be due after a chunk of its steps.

    If ``steps`` is a number, chunks end at its multiples.
    """

    within: bool = False
    steps: int | None = None


class Saving:
    """Writes the checkpoints of one fit: to a file after every epoch, or to a folder whenever one is due there.

    ``target`` is the path of the file, a `CheckpointFolder`, or None, which writes none.
    """

    def __init__(self, checkpoints: Checkpoints, target: Path | CheckpointFolder | None) -> None:
        self.checkpoints, self.pauses = checkpoints, Pauses()
        self.folder = target if isinstance(target, CheckpointFolder) else None
        self.path = None if target is None or self.folder is not None else check_target(target)
        if self.folder is not None:
            self.folder.make()
            steps, minutes = self.folder.every_steps, self.folder.every_minutes
            self.pauses = Pauses(steps is not None or minutes is not None, steps)

    def begin(self) -> None:
        """Count steps and minutes from here on."""
        self._step, self._time = self.checkpoints.trainer.progress.step, time.monotonic()

    def after_chunk(self, history: History, losses: list[float]) -> None:
        """Write a checkpoint within an epoch, of which these are the losses so far, if one is due."""
        if self._due():
            self._write_next(history, losses)

    def after_epoch(self, history: History, last: bool) -> None:
        """Write a checkpoint after an epoch if one is due, as it always is after the last of a fit."""
        if self.path is not None:
            self.checkpoints.write(self.path, history)
        if self.folder is None:
            return
        every = self.folder.every_epochs or (None if self.pauses.within else 1)
        if last or (every is not None and len(history) % every == 0) or self._due():
            self._write_next(history)
        if self.folder.best and self.folder.is_best(history.rows):
            self.checkpoints.write(os.path.join(self.folder, BEST), history)

    def after_fit(self, history: History) -> None:
        """Write one more checkpoint, of a model that was changed after its last epoch."""
        if self.path is not None:
            self.checkpoints.write(self.path, history)
        if self.folder is not None:
            self._write_next(history)

    def _due(self) -> bool:
        """Whether a number of steps or minutes of the folder is over since the last checkpoint."""
        assert self.folder is not None
        steps, minutes = self.folder.every_steps, self.folder.every_minutes
        by_steps = steps is not None and self.checkpoints.trainer.progress.step // steps > self._step // steps
        return by_steps or (minutes is not None and time.monotonic() - self._time >= 60 * minutes)

    def _write_next(self, history: History, losses: list[float] | None = None) -> None:
        assert self.folder is not None
        self.checkpoints.write(self.folder.next_file(self.checkpoints.trainer.progress), history, losses)
        self.folder.remove_old()
        self.begin()
