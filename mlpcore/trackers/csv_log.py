"""CSVLog: a callback that writes the history to a CSV file as it grows."""

import csv
import errno
import io
import os
from collections.abc import Sequence
from typing import Any

from mlpcore.errors import DataError
from mlpcore.files.writing import Path, check_target, replace_file
from mlpcore.trackers.names import first_free
from mlpcore.trackers.tracker import Tracker
from mlpcore.training.events import Report


class CSVLog(Tracker):
    """Append a line to a CSV file after every epoch: its number, the row of the history, and its seconds.

    path: The file. One that exists is never overwritten: a fit that begins a run writes to ``log-2.csv`` where
        ``log.csv`` exists, and so on. ``run`` is the name of the file that is written.

    The first line holds the names ``epoch, loss, learning_rate, rows_per_second, val_loss, ..., seconds``. Numbers have
    all their digits, and infinite or undefined ones are ``inf`` and ``nan``. Every line is written whole, by one write:
    a process that is killed leaves no half lines, and a resumed fit first removes the lines of epochs after its
    checkpoint. A column that is new in a later epoch is added to all lines, empty in the earlier ones.

    Seconds are those since the epoch before, with validation, callbacks and checkpoints. Errors: ModelFileError for a
    folder, FileNotFoundError where the folder of the file does not exist.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = check_target(path)
        self._columns: list[str] = []

    def begin(self, report: Report, values: dict[str, float]) -> str:
        """Make the file, with its first line."""
        self._columns = ["epoch", *values]
        header = _line(self._columns)
        path = first_free(*os.path.splitext(self.path), lambda path: _append(path, header, os.O_CREAT | os.O_EXCL))
        return os.path.basename(path)

    def resume(self, report: Report, restored: bool) -> None:
        """Read the columns of the file; remove lines of this epoch and later ones."""
        rows = self._read()
        self._columns = list(rows[0]) if rows else ["epoch", *report.values, "seconds"]
        if restored or not rows:
            self._replace(rows[1:], report.epoch)

    def write(self, report: Report, values: dict[str, float]) -> None:
        """Append the line of the epoch."""
        if new := [name for name in values if name not in self._columns]:
            self._columns += new
            self._replace(self._read()[1:], report.epoch)
        cells = {"epoch": str(report.epoch)} | {name: repr(float(value)) for name, value in values.items()}
        _append(self._file, _line([cells.get(name, "") for name in self._columns]), os.O_CREAT)

    @property
    def _file(self) -> str:
        """The path of the run's file, in the folder of ``path``."""
        return os.path.join(os.path.dirname(self.path), self.run or "")

    def _read(self) -> list[list[str]]:
        """The rows of the file that end with the end of a line, the header first; none if there is no file."""
        try:
            with open(self._file, encoding="utf-8", newline="") as file:
                text = file.read()
        except FileNotFoundError:
            return []
        return list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline="")))

    def _replace(self, rows: Sequence[Sequence[str]], before: int) -> None:
        """Write the file again: the columns, and those of the rows whose epoch is less than ``before``."""
        if strange := [row for row in rows if not row or not row[0].isdigit()]:
            raise DataError(
                f"{self._file}: the line {','.join(strange[0])!r} is none of CSVLog, which has to write the file "
                "again; move it away"
            )
        kept = [row for row in rows if int(row[0]) < before]
        lines = [self._columns, *([*row, *[""] * (len(self._columns) - len(row))] for row in kept)]
        replace_file(self._file, [_line(line) for line in lines])


def _line(cells: Sequence[Any]) -> bytes:
    """A line of the file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()


def _append(path: str, line: bytes, flags: int) -> None:
    """Append a line by one write."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0) | flags, 0o666)
    try:
        if os.write(descriptor, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
    finally:
        os.close(descriptor)
