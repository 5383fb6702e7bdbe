"""Frozen configurations: dataclasses that print as the shortest call that makes them, and checks of their fields."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, TypeVar, dataclass_transform

from mlpcore.errors import ConfigurationError

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def configuration(cls: type[T]) -> type[T]:
    """Make ``cls`` a frozen, hashable, comparable dataclass whose repr leaves out what equals its default."""
    made = dataclasses.dataclass(frozen=True, repr=False)(cls)
    if "__repr__" not in cls.__dict__:
        made.__repr__ = _repr  # type: ignore[method-assign]  # one repr for every configuration
    return made


def _repr(self: Any) -> str:
    words = []
    for field in dataclasses.fields(self):
        value = getattr(self, field.name)
        if field.default is dataclasses.MISSING:
            words += [repr(value)]
        elif value != field.default:
            words += [f"{field.name}={value!r}"]
    return f"{type(self).__name__}({', '.join(words)})"


def check_count(owner: Any, **fields: int) -> None:
    """Every field is an int of at least 1, or a ConfigurationError says which is not."""
    for name, value in fields.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            _refuse(owner, name, value, "a whole number of 1 or more")


def check_number(
    owner: Any,
    *,
    above: float = -math.inf,
    least: float = -math.inf,
    below: float = math.inf,
    **fields: float,
) -> None:
    """Every field is a finite number with ``value > above``, ``value >= least`` and ``value < below``."""
    for name, value in fields.items():
        fits = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if not (fits and value > above and value >= least and value < below):
            bounds = [(above, "above"), (least, "of at least"), (below, "below")]
            said = " and ".join(f"{word} {bound:g}" for bound, word in bounds if math.isfinite(bound))
            _refuse(owner, name, value, f"a finite number {said}".rstrip())


def check_choice(owner: Any, choices: Sequence[Any], **fields: Any) -> None:
    """Every field is one of ``choices``."""
    for name, value in fields.items():
        if value not in choices:
            _refuse(owner, name, value, "one of " + ", ".join(map(repr, choices)))


def _refuse(owner: Any, name: str, value: Any, expected: str) -> None:
    who = owner if isinstance(owner, str) else type(owner).__name__
    raise ConfigurationError(f"{who}: {name} is {value!r}, expected {expected}")
