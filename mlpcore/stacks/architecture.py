"""Which models belong into one stack: those that differ in nothing but numbers."""

from collections.abc import Iterator, Mapping
from typing import Any

from mlpcore.model import Model
from mlpcore.training.comparison import describe, differences

NUMBERS = (int, float)


def architecture(model: Model) -> dict[str, Any]:
    """All that the members of a stack have in common, as JSON values, and the numbers in which they may differ."""
    about = {name: value for name, value in describe(model.specification).items() if name != "seed"}
    shapes = {name: str(slot.shape) for name, slot in model.layout.slots.items()}
    place = {"name": model.backend.name, "device": str(model.backend.device)}
    return about | {"metrics": list(model.metrics), "backend": place, "compile": model.compiled.asked, "params": shapes}


def first_difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """``(where, value, other value)`` of the first difference of two architectures; None where they are one."""
    return next(_differences(one, other), None)


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for where, a, b in differences(one, other):
        if not (_is_number(a) and _is_number(b)):
            yield where, a, b


def _is_number(value: Any) -> bool:
    return isinstance(value, NUMBERS) and not isinstance(value, bool)
