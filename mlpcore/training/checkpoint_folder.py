"""A folder of checkpoints: which are written and kept, and from which one a fit resumes."""

import os
import re
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from mlpcore.configuration import check_choice, check_count, check_number, configuration
from mlpcore.errors import MlpcoreWarning, ModelFileError
from mlpcore.files.tensors import read
from mlpcore.files.writing import Path, check_target
from mlpcore.signals import signals_pass
from mlpcore.temporary import remove_unused
from mlpcore.training.monitor import direction
from mlpcore.training.position import Position

BEST = "best.safetensors"
_NUMBERED = re.compile(r"\d{6,}-epoch-\d+-step-\d+\.safetensors")
_WRITTEN = re.compile(_NUMBERED.pattern + r"\.\d+\.tmp")  # one that is being written


@configuration
class CheckpointFolder:
    """Several checkpoints of a fit in one folder, for ``fit(..., checkpoint=..., resume=...)``.

    folder: Is made if it does not exist, in a folder that does.
    keep: The number of latest checkpoints that are kept; older ones are removed, each after a later one is on disk.
    best: True keeps ``best.safetensors`` too, that of the epoch with the lowest ``val_loss``, or ``loss`` without
        validation data. The name of another column of the history takes this one; losses and errors should be low,
        all other values high.
    every_epochs, every_steps, every_minutes: Write a checkpoint after so many epochs, training steps, or minutes since
        the last one, also within an epoch; several may be given. With none of them, after every epoch. After the last
        epoch there is always one.

    Files are named ``000007-epoch-3-step-1200.safetensors``: the seventh, after three whole epochs. A fit resumes from
    the one with the highest number that is whole. Minutes are looked at between chunks of steps, which take half a
    second or so.

    >>> import mlpcore as mc
    >>> mc.CheckpointFolder("run", keep=3, best=True, every_minutes=10)
    CheckpointFolder('run', best=True, every_minutes=10)
    """

    folder: Path
    keep: int = 3
    best: bool | str = False
    every_epochs: int | None = None
    every_steps: int | None = None
    every_minutes: float | None = None

    def __post_init__(self) -> None:
        os.fspath(self.folder)  # TypeError for what is no path
        check_count(self, keep=self.keep)
        for name in ("every_epochs", "every_steps"):
            if getattr(self, name) is not None:
                check_count(self, **{name: getattr(self, name)})
        if self.every_minutes is not None:
            check_number(self, above=0, every_minutes=self.every_minutes)
        if not isinstance(self.best, str):
            check_choice(self, (True, False), best=self.best)

    def __fspath__(self) -> str:
        return os.fspath(self.folder)

    @signals_pass()
    def make(self) -> None:
        """Make the folder, or remove from it what killed processes were writing.

        ModelFileError or FileNotFoundError where it cannot be made.
        """
        if os.path.isdir(self.folder):
            for name in filter(_WRITTEN.fullmatch, os.listdir(self.folder)):
                remove_unused(os.path.join(self.folder, name))
            return
        if os.path.exists(self.folder):
            raise ModelFileError(f"{os.fspath(self.folder)} is a file, expected a folder for checkpoints")
        os.mkdir(check_target(self.folder))

    def next_file(self, progress: Position) -> str:
        """The path of the next checkpoint, at this position of the training."""
        number = max((_number(path) for path in numbered(self.folder)), default=0) + 1
        return os.path.join(self.folder, f"{number:06}-epoch-{progress.epoch}-step-{progress.step}.safetensors")

    def remove_old(self) -> None:
        """Remove all but the latest ``keep`` checkpoints."""
        for path in numbered(self.folder)[self.keep :]:
            os.unlink(path)

    def check_best(self, columns: Sequence[str]) -> None:
        """ConfigurationError unless ``best`` is a switch or one of the columns of the history."""
        if isinstance(self.best, str):
            check_choice(self, columns, best=self.best)

    def is_best(self, rows: Sequence[dict[str, float]]) -> bool:
        """Whether the last of these rows of a history is better than all others."""
        column = self.best if isinstance(self.best, str) else "val_loss" if "val_loss" in rows[-1] else "loss"
        sign = 1 if direction(column, "auto") == "min" else -1
        *others, last = [sign * row[column] for row in rows if column in row]
        return last == last and not any(other <= last for other in others)  # NaN is never best


def numbered(folder: Path) -> list[str]:
    """The numbered checkpoints in a folder, the latest first."""
    names = [name for name in os.listdir(folder) if _NUMBERED.fullmatch(name)]
    return sorted((os.path.join(folder, name) for name in names), key=_number, reverse=True)


def candidates(folder: Path) -> list[str]:
    """The checkpoints in a folder as a fit tries them: the latest first, that of the best epoch last."""
    best = os.path.join(folder, BEST)
    return numbered(folder) + [best] * os.path.exists(best)


def first_whole(paths: Sequence[str], where: str) -> tuple[str, dict[str, Any], dict[str, np.ndarray]]:
    """The path, values and tensors of the first of these checkpoints that is whole; a warning names those before it.

    FileNotFoundError if there are no paths, ModelFileError if none of the files is whole.
    """
    if not paths:
        raise FileNotFoundError(f"there is no checkpoint {where}")
    faults = []
    with signals_pass():
        for path in paths:
            try:
                about, tensors = read(path, "checkpoint")
            except (ModelFileError, OSError) as error:
                if len(paths) == 1:
                    raise
                faults.append(str(error))
                continue
            if faults:
                warnings.warn(f"{'; '.join(faults)}. The fit resumes from {path}", MlpcoreWarning, stacklevel=7)
            return path, about, tensors
    raise ModelFileError(f"no checkpoint in {where} can be read: {'; '.join(faults)}; use a copy of one")


def _number(path: str) -> int:
    return int(os.path.basename(path).split("-")[0])
