"""Frozen configurations: dataclasses that print as the shortest call that makes them, and checks of their fields."""

import dataclasses
import math
import sys
from collections.abc import Sequence
from typing import Any, TypeVar, dataclass_transform

from mlpcore.errors import ConfigurationError

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def configuration(cls: type[T]) -> type[T]:
    """Make ``cls`` a frozen, hashable, comparable dataclass whose repr leaves out what equals its default.

    Scalars of array libraries, such as ``numpy.int64(3)``, are converted to Python numbers before ``__post_init__``
    checks the fields.
    """
    check = getattr(cls, "__post_init__", None)

    def post_init(self: Any) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, plain(getattr(self, field.name)))
        if check is not None:
            check(self)

    cls.__post_init__ = post_init  # type: ignore[attr-defined]  # a class may have none before
    # Shared by all classes: dataclass would compile new methods for each class, 0.1 ms per method at every import.
    for name, method in _METHODS.items():
        if name not in cls.__dict__ or cls.__dict__[name] is None:
            setattr(cls, name, method)
    return dataclasses.dataclass(frozen=True, eq=False, repr=False)(cls)


def _values(self: Any) -> tuple[Any, ...]:
    return tuple(getattr(self, name) for name in self.__dataclass_fields__)


def _equal(self: Any, other: Any) -> bool:
    return _values(self) == _values(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _repr(self: Any) -> str:
    words = []
    for field in dataclasses.fields(self):
        value = getattr(self, field.name)
        if field.default is dataclasses.MISSING:
            words += [repr(value)]
        elif value != field.default:
            words += [f"{field.name}={value!r}"]
    return f"{type(self).__name__}({', '.join(words)})"


_METHODS: dict[str, Any] = {"__repr__": _repr, "__eq__": _equal, "__hash__": _hash}


def plain(value: Any) -> Any:
    """The Python number for a scalar of an array library, such as ``numpy.int64(3)``; any other value unchanged."""
    return value.item() if getattr(value, "shape", None) == () and hasattr(value, "item") else value


def check_count(owner: Any, *, least: int = 1, **fields: int) -> None:
    """ConfigurationError unless every field is an int (NumPy's too) of at least ``least``; it names the field."""
    for name, given in fields.items():
        value = plain(given)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            _refuse(owner, name, given, f"a whole number of {least} or more")


def check_number(
    owner: Any,
    *,
    above: float = -math.inf,
    least: float = -math.inf,
    below: float = math.inf,
    **fields: float,
) -> None:
    """ConfigurationError unless every field is finite, with ``above < value < below`` and ``value >= least``."""
    for name, given in fields.items():
        value = plain(given)
        # Not math.isfinite, which raises OverflowError for integers beyond the largest float.
        fits = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
        if not (fits and value > above and value >= least and value < below):
            bounds = [(above, "above"), (least, "of at least"), (below, "below")]
            said = " and ".join(f"{word} {bound:g}" for bound, word in bounds if math.isfinite(bound))
            _refuse(owner, name, given, f"a finite number {said}".rstrip())


def check_choice(owner: Any, choices: Sequence[Any], **fields: Any) -> None:
    """ConfigurationError unless every field is one of ``choices``."""
    for name, given in fields.items():
        value = plain(given)
        # The type must match too: 1 equals True, and numpy.dtype("float32") equals "float32" but has another hash.
        if not any(isinstance(value, type(choice)) and value == choice for choice in choices):
            _refuse(owner, name, given, "one of " + ", ".join(map(repr, choices)))


def _refuse(owner: Any, name: str, value: Any, expected: str) -> None:
    who = owner if isinstance(owner, str) else type(owner).__name__
    raise ConfigurationError(f"{who}: {name} is {value!r}, expected {expected}")


def keep(owner: Any, arguments: dict[str, Any]) -> None:
    """Store the arguments of a constructor, its ``locals()``, as attributes, unchanged."""
    for name, value in arguments.items():
        if name not in ("self", "__class__"):
            setattr(owner, name, value)
