"""Precisions of float32 products: switches of the library, set while compiled steps and functions run."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from mlpcore.backends.backend import Compilers
from mlpcore.backends.compilation import Compilation
from mlpcore.backends.run import Run
from mlpcore.trees import Layout
from mlpcore.typing import Step, Tree

Scope = Callable[[], AbstractContextManager[object]]


def with_precisions(compilers: Compilers, scopes: Mapping[str, Scope]) -> Compilers:
    """The compilers with the precisions ``scopes``: compiled code runs within ``scopes[compilation.precision]()``."""

    def steps(step: Step, layout: Layout, compilation: Compilation) -> Run:
        return within(scopes[compilation.precision], compilers.steps(step, layout, compilation))

    def function(
        function: Callable[..., Tree], compilation: Compilation, rows: tuple[int, ...] = (-1,), /
    ) -> Callable[..., Tree]:
        return within(scopes[compilation.precision], compilers.function(function, compilation, rows))

    return Compilers(steps, function, tuple(scopes))


def within(scope: Scope, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, called in the context ``scope()``."""

    def scoped(*arguments: Any) -> Any:
        with scope():
            return function(*arguments)

    return scoped


@contextmanager
def switched(read: Callable[[], Any], write: Callable[[Any], Any], value: Any) -> Iterator[None]:
    """The context in which a switch has this value. Switches are global to the process, and restored at the end."""
    before = read()
    if before == value:
        yield
        return
    try:
        write(value)
        yield
    finally:
        write(before)
