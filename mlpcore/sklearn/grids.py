"""What the grid of a search contains: its dicts, and the backends that it and the estimator name."""

from collections.abc import Iterable, Iterator
from typing import Any

from mlpcore.backends.backend import Backend
from mlpcore.sklearn.base import BaseMLP


def listed(param_grid: Any) -> list[Any]:
    """The dicts of a grid; none of another object, which scikit-learn refuses."""
    return [param_grid] if isinstance(param_grid, dict) else param_grid if isinstance(param_grid, list) else []


def backends_of_grid(param_grid: Any) -> Iterator[str]:
    """Yield the backends that the values of a grid name."""
    for grid in listed(param_grid):
        for name, values in grid.items() if isinstance(grid, dict) else ():
            for value in values if isinstance(values, Iterable) and not isinstance(values, str) else ():
                if name.rpartition("__")[2] == "backend":
                    yield from _named(value)
                yield from backends_of(value)


def backends_of(estimator: Any) -> Iterator[str]:
    """Yield the backends of the estimators of this library in ``estimator``."""
    if isinstance(estimator, type) or not hasattr(estimator, "get_params"):
        return
    for part in (estimator, *estimator.get_params(deep=True).values()):
        if isinstance(part, BaseMLP):
            yield from _named(part.backend)


def _named(backend: Any) -> Iterator[str]:
    """Yield the name of a backend; nothing for another object, which the estimator refuses."""
    if isinstance(backend, (str, Backend)):
        yield backend if isinstance(backend, str) else backend.name
