"""Checks learning rates and weight decays, which are numbers or schedules, and computes their values."""

from typing import Any

from mlpcore.configuration import check_number
from mlpcore.errors import ConfigurationError
from mlpcore.namespace import namespace
from mlpcore.typing import Array, Schedule


def check_rate(owner: Any) -> None:
    """A ConfigurationError unless ``owner.learning_rate`` is a positive number or a schedule."""
    if not _is_schedule(owner, "learning_rate"):
        check_number(owner, learning_rate=owner.learning_rate, above=0)


def check_decay(owner: Any) -> None:
    """A ConfigurationError unless ``owner.weight_decay`` is a number of at least 0 or a schedule."""
    if not _is_schedule(owner, "weight_decay"):
        check_number(owner, weight_decay=owner.weight_decay, least=0)


def _is_schedule(owner: Any, name: str) -> bool:
    """Whether the field is a function, not a number; ConfigurationError if it is neither."""
    value = getattr(owner, name)
    if isinstance(value, type) or (not callable(value) and not isinstance(value, (int, float))):
        raise ConfigurationError(f"{type(owner).__name__}: {name} is {value!r}, expected a number or a schedule")
    return callable(value)


def rate_at(learning_rate: float | Schedule, count: Array) -> Array:
    """The learning rate or the decay after ``count`` updates, with the dtype and shape of the float array ``count``."""
    if callable(learning_rate):
        return learning_rate(count)
    return namespace(count).full_like(count, learning_rate)
