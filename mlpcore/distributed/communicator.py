"""A communicator: what processes that train one model together send each other. This one is for a single process."""

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from mlpcore.errors import ConfigurationError, NonFiniteError, RankError
from mlpcore.typing import Array

Result = TypeVar("Result")
# Errors that every rank raises, as all have computed the same or have been told.
COMMON = (NonFiniteError, RankError, KeyboardInterrupt)


class Communicator:
    """``size`` processes, each with a number, its ``rank`` from 0. All of them call the same methods in the same order.

    This class is a single process; another one defines anew the methods up to `abort`. ``local_rank`` counts the ranks
    on one machine, of which there are ``local_size``.
    """

    rank = 0
    size = 1
    local_rank = 0
    local_size = 1
    _fitting = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}(rank {self.rank} of {self.size})"

    def allreduce_sum(self, flat: Array) -> Array:
        """The sum over the ranks of a vector, on every rank; its memory may be that of ``flat``.

        The ranks get the same bits. They depend on the number of ranks, as sums of floating-point numbers depend on
        their order.
        """
        return flat

    def broadcast(self, value: Any) -> Any:
        """The value of rank 0, on every rank."""
        return value

    def gather(self, value: Any) -> list[Any]:
        """The values of all ranks in order, on every rank."""
        return [value]

    def barrier(self) -> None:
        """Wait until all ranks have come here."""

    def abort(self, message: str) -> None:
        """Say why, and end all processes."""

    def any(self, flag: object) -> bool:
        """Whether the flag is true on some rank."""
        return bool(flag) if self.size == 1 else any(self.gather(bool(flag)))

    def on_first(self, action: Callable[[], Result]) -> Result:
        """The result of ``action()``, which rank 0 alone does, on every rank.

        An error of the action is raised on every rank, as `mlpcore.errors.RankError` on the others.
        """
        if self.size == 1:
            return action()
        result: Any = None
        error: BaseException | None = None
        if self.rank == 0:
            try:
                done = action()
                pickle.dumps(done)  # here, where an error reaches all
                result = done
            except BaseException as raised:
                error = raised
        result, interrupted, message = self.broadcast((result, isinstance(error, KeyboardInterrupt), _text(0, error)))
        if error is not None:
            _mark(error)
            raise error
        if interrupted:
            raise KeyboardInterrupt
        if message:
            raise RankError(message)
        return result

    @contextmanager
    def agree(self) -> Iterator[None]:
        """A context for what every rank does by itself: an error on one of them is raised on all, at its end."""
        if self.size == 1:
            yield
            return
        error: Exception | None = None
        try:
            yield
        except Exception as raised:  # any error: the other ranks are told of it
            error = raised
        messages = [message for message in self.gather(_text(self.rank, error)) if message]
        if error is not None:
            _mark(error)
            raise error
        if messages:
            raise RankError("; ".join(messages))

    @contextmanager
    def one_fit(self) -> Iterator[None]:
        """A context for a fit. ConfigurationError within another: messages of the two would meet on the wrong ranks."""
        if self.size == 1:
            yield
            return
        if self._fitting:
            raise ConfigurationError(
                "fit: these ranks are in another fit, in a thread or whose callback calls this one; make this model "
                "with distributed=None, or with a communicator of its own"
            )
        self._fitting = True
        try:
            yield
        finally:
            self._fitting = False

    @contextmanager
    def or_abort(self, what: str) -> Iterator[None]:
        """A context in which ranks wait for each other: an error that not all of them raise ends all processes."""
        try:
            yield
        except BaseException as error:
            if self.size > 1 and not isinstance(error, (*COMMON, GeneratorExit)) and not hasattr(error, _COMMON):
                self.abort(f"{_text(self.rank, error)} ({what}); the other ranks wait for it, so the job ends")
            raise


_COMMON = "_common"  # an attribute of errors that every rank raises


def _mark(error: BaseException) -> None:
    setattr(error, _COMMON, True)


def _text(rank: int, error: BaseException | None) -> str:
    return "" if error is None else f"rank {rank}: {type(error).__name__}: {error}"
