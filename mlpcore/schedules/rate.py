"""Checks a learning rate, a number or a schedule, and computes its value."""

from typing import Any

from mlpcore.configuration import check_number
from mlpcore.errors import ConfigurationError
from mlpcore.namespace import namespace
from mlpcore.typing import Array, Schedule


def check_rate(owner: Any) -> None:
    """A ConfigurationError unless ``owner.learning_rate`` is a positive number or a schedule."""
    rate = owner.learning_rate
    if isinstance(rate, type) or (not callable(rate) and not isinstance(rate, (int, float))):
        raise ConfigurationError(f"{type(owner).__name__}: learning_rate is {rate!r}, expected a number or a schedule")
    if not callable(rate):
        check_number(owner, learning_rate=rate, above=0)


def rate_at(learning_rate: float | Schedule, count: Array) -> Array:
    """The learning rate after ``count`` updates, with the dtype and shape of the float array ``count``."""
    if callable(learning_rate):
        return learning_rate(count)
    return namespace(count).full_like(count, learning_rate)
