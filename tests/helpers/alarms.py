"""A program's alarms: an error of its own from its handler of SIGALRM."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Late(TimeoutError):
    """What a program raises in its handler."""


@contextmanager
def handled() -> Iterator[None]:
    """A context with a program's handler."""

    def late(*_: Any) -> None:
        raise Late

    before = signal.signal(signal.SIGALRM, late)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, before)


def alarm() -> None:
    """The alarm goes off."""
    signal.raise_signal(signal.SIGALRM)
