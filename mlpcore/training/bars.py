"""Live bars of rich in a terminal: one for each fit, several below each other where fits run at the same time."""

import threading
from typing import Any, TextIO

_LOCK = threading.Lock()
_LIVE: dict[int, "_Display"] = {}  # the display of each stream that has one now, by the stream's id
WIDE, MEDIUM = 80, 60  # columns of a terminal that has room for the bar, and for the time


def encodable(text: str, stream: Any) -> str:
    r"""The text with escapes such as ``\xe9`` for characters that the encoding of the stream lacks."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


class _Display:
    """A started display of rich with the bars of a stream."""

    def __init__(self, console: Any, stream: TextIO) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
        from rich.table import Column

        # Names of metrics may contain brackets, so markup is off. Text that does not fit is cut, not wrapped.
        has_ellipsis = encodable("\u2026", stream) == "\u2026"  # with an ellipsis, if the terminal has that character
        cut = Column(no_wrap=True, overflow="ellipsis" if has_ellipsis else "crop", ratio=1)
        columns: list[Any] = [TextColumn("{task.fields[title]}", markup=False)]
        if console.width >= WIDE:
            columns.append(BarColumn(bar_width=20))
        if console.width >= MEDIUM:
            columns.append(TimeElapsedColumn())
        columns.append(TextColumn("{task.fields[said]}", markup=False, table_column=cut))
        self.progress = Progress(*columns, console=console, expand=True)
        self.stream, self.users = stream, 0
        self.progress.start()


class Bar:
    """The bar of a fit; `open_bar` makes it."""

    def __init__(self, display: _Display, epochs: int) -> None:
        self._display: _Display | None = display
        display.users += 1
        self._task = display.progress.add_task("", total=epochs, title=f"0 of {epochs} epochs", said="")

    def update(self, done: int, title: str, said: str) -> None:
        """Show that so many epochs are done."""
        if self._display is not None:
            self._display.progress.update(self._task, completed=done, title=title, said=said)

    def stop(self) -> None:
        """End the bar. What it shows stays, and the display ends with the last of its bars."""
        with _LOCK:
            display, self._display = self._display, None
            if display is None:
                return
            display.progress.stop_task(self._task)
            display.users -= 1
            if not display.users:
                del _LIVE[id(display.stream)]
                display.progress.stop()


def open_bar(stream: TextIO, epochs: int) -> Bar | None:
    """A started bar; None if rich is missing, or the stream is no terminal that can show one."""
    if not stream.isatty():
        return None
    try:
        from rich.console import Console
    except ImportError:
        return None
    with _LOCK:
        if id(stream) not in _LIVE:
            console = Console(file=stream)
            if not console.is_terminal or console.is_dumb_terminal or not console.is_interactive:
                return None
            _LIVE[id(stream)] = _Display(console, stream)
        return Bar(_LIVE[id(stream)], epochs)
