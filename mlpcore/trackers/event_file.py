"""A file of events as TensorBoard reads them, made of the messages and written by the record writer of tensorboard."""

import os
import time
from typing import Any

import numpy as np

from mlpcore.errors import import_extra

_WHY = "TensorBoard writes with the package tensorboard, which"


def check_tensorboard() -> None:
    """MissingDependency without the package tensorboard."""
    _part("summary.writer.record_writer")


def _part(module: str) -> Any:
    return import_extra(f"tensorboard.{module}", "tensorboard", _WHY)


class EventFile:
    """The last file of events in a folder, open for appending; or with ``start`` another one after it.

    What earlier files hold of the step ``start`` and later ones then no longer counts. TensorBoard reads the files of a
    folder in the order of their names, so these begin with the time and end with a number. `close` ends it.
    """

    def __init__(self, folder: str, start: int | None = None) -> None:
        self._event = _part("compat.proto.event_pb2").Event
        files = sorted(name for name in os.listdir(folder) if name.startswith("events.out.tfevents."))
        if start is not None or not files:
            files.append(f"events.out.tfevents.{int(time.time()):010d}.{len(files):04d}")
        self._file = open(os.path.join(folder, files[-1]), "ab")  # noqa: SIM115
        self._records = _part("summary.writer.record_writer").RecordWriter(self._file)
        if self._file.tell() == 0:
            self._write(self._event(wall_time=time.time(), file_version="brain.Event:2"))
        if start is not None:  # in the first file too: TensorBoard heeds it from the second time on
            log = _part("compat.proto.event_pb2").SessionLog
            self._write(self._event(wall_time=time.time(), step=start, session_log=log(status=log.START)))

    def scalar(self, name: str, value: float, step: int) -> None:
        """Write a number, in float32."""
        self._summary(_part("plugins.scalar.summary_v2").scalar_pb(name, np.float32(value)), step)

    def text(self, name: str, text: str, step: int) -> None:
        """Write a text in Markdown."""
        self._summary(_part("plugins.text.summary_v2").text_pb(name, text), step)

    def histogram(self, name: str, values: np.ndarray, step: int) -> None:
        """Write a histogram of the values, in 30 bins of equal width."""
        self._summary(_part("plugins.histogram.summary_v2").histogram_pb(name, values.reshape(-1)), step)

    def flush(self) -> None:
        """Hand all to the system, from where TensorBoard can read it."""
        self._records.flush()

    def close(self) -> None:
        """Close the file."""
        self._records.close()

    def _summary(self, summary: Any, step: int) -> None:
        self._write(self._event(wall_time=time.time(), step=step, summary=summary))

    def _write(self, event: Any) -> None:
        self._records.write(event.SerializeToString())
