"""A model is trained by one thread at a time."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from mlpcore.errors import ConfigurationError


class OneThread:
    """The thread that trains a model, while it does."""

    def __init__(self) -> None:
        self._owner: dict[str, int] = {}  # its `setdefault` is one operation, so that one thread wins without a lock
        self._depth = 0  # how often the owner has entered `training`

    @contextmanager
    def training(self, who: str) -> Iterator[None]:
        """A context in which this thread may change the model, also within itself: callbacks may.

        ConfigurationError where another thread is in it, with the name of the caller. A child process is refused too,
        if another thread of its parent trained when it was forked: no thread continues that fit there.
        """
        thread, entered = threading.get_ident(), 0
        try:
            if self._owner.setdefault("thread", thread) != thread:
                raise ConfigurationError(
                    f"{who}: another thread is training this model, and one at a time can; wait for its fit, or train "
                    "a copy: copy.copy(model)"
                )
            entered = 1
            self._depth += 1
            yield
        finally:
            if self._owner.get("thread") == thread:
                self._depth -= entered
                if not self._depth:
                    del self._owner["thread"]
