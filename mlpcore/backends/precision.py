"""What products are computed in: true float32, or faster and coarser, with what is kept in float32 either way."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from typing import Any, NamedTuple


class Precision(NamedTuple):
    """How a backend computes the products of a function, whoever wrote it.

    It is called within the context ``scope``, if there is one; what a backend compiles, it compiles for the precision
    that `Compilation` names. With ``printed`` there is no other way.
    """

    scope: Callable[[], AbstractContextManager] | None = None
    printed: bool = False

    def within(self, function: Callable) -> Callable:
        """The function, called in the scope."""
        scope = self.scope
        if scope is None:
            return function

        @wraps(function)
        def scoped(*arguments: Any) -> Any:
            with scope():
                return function(*arguments)

        return scoped


@contextmanager
def switched(read: Callable[[], Any], write: Callable[[Any], Any], value: Any) -> Iterator[None]:
    """A switch of a library set to ``value``, and put back: such switches belong to the whole process."""
    before = read()
    if before == value:
        yield
        return
    write(value)
    try:
        yield
    finally:
        write(before)
