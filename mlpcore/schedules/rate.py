"""Checks fields that are numbers or schedules, such as learning rates and weight decays, and computes their values."""

from typing import Any

from mlpcore.configuration import check_number
from mlpcore.errors import ConfigurationError
from mlpcore.namespace import namespace
from mlpcore.typing import Array, Schedule


def check_schedule(owner: Any, name: str, **bounds: float) -> None:
    """A ConfigurationError unless the field is a schedule, or a number within bounds as those of `check_number`."""
    value = getattr(owner, name)
    if isinstance(value, type) or (not callable(value) and not isinstance(value, (int, float))):
        raise ConfigurationError(f"{type(owner).__name__}: {name} is {value!r}, expected a number or a schedule")
    if not callable(value):
        check_number(owner, **{name: value}, **bounds)


def check_rate(owner: Any) -> None:
    """A ConfigurationError unless ``owner.learning_rate`` is a positive number or a schedule."""
    check_schedule(owner, "learning_rate", above=0)


def check_decay(owner: Any) -> None:
    """A ConfigurationError unless ``owner.weight_decay`` is a number of at least 0 or a schedule."""
    check_schedule(owner, "weight_decay", least=0)


def rate_at(learning_rate: float | Schedule, count: Array) -> Array:
    """The learning rate or the decay after ``count`` updates, with the dtype and shape of the float array ``count``."""
    if callable(learning_rate):
        return learning_rate(count)
    return namespace(count).full_like(count, learning_rate)
