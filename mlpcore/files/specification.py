"""Converts configurations to JSON and back, by names in one registry, never by import, checked field by field.

A configuration is an object ``{"type": "Linear", "in_features": 2, ...}`` with every field, so that a changed default
of a later release does not affect old files. Tuples become lists; numbers, strings, booleans and None stay.
"""

import dataclasses
import inspect
import json
import math
import sys
import types
from collections.abc import Callable
from typing import Any, Union, get_args, get_origin, get_type_hints

from mlpcore.configuration import configuration
from mlpcore.errors import ConfigurationError, ModelFileError
from mlpcore.initializers import INITIALIZERS
from mlpcore.layers import LAYERS
from mlpcore.losses import LOSSES
from mlpcore.optimizers import OPTIMIZERS
from mlpcore.schedules import SCHEDULES
from mlpcore.typing import Initializer, Layer, Loss, Optimizer, Schedule

REGISTRY: dict[Any, tuple[type, ...]] = {
    Layer: LAYERS,
    Loss: LOSSES,
    Optimizer: OPTIMIZERS,
    Schedule: SCHEDULES,
    Initializer: INITIALIZERS,
}
OLD_TYPES = {"Poisson": "PoissonNLL"}  # names in files written before December 2026
MAX_DEPTH = 32  # of nested configurations and lists
MAX_NODES = 100_000  # values in a specification


@configuration
class Specification:
    """A model without its parameters; the fields are the arguments of `mlpcore.Model`."""

    net: Layer
    loss: Loss
    optimizer: Optimizer
    dtype: str
    precision: str
    seed: int
    metrics: tuple[str, ...]
    l2: float
    clip_norm: float | None
    clip_value: float | None
    ema: float | None


_MEMBERS = (Specification, *(member for members in REGISTRY.values() for member in members))


def refuse(value: Any, where: str) -> Any:
    """Raise the error for a value that a file cannot contain."""
    if isinstance(value, float):
        raise ConfigurationError(f"{where} is {value}, expected a finite number")
    raise ConfigurationError(
        f"{where} is {value!r}, which a file cannot hold: it names mlpcore's own layers, losses, optimizers, "
        "initializers and schedules and no other code. Keep your own in a script that builds the model, and save "
        "model.params"
    )


def encode(value: Any, where: str, foreign: Callable[[Any, str], Any] = refuse) -> Any:
    """The JSON value of a configuration or field; for other values the result of ``foreign(value, where)``."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, tuple):
        return [encode(item, f"{where}[{i}]", foreign) for i, item in enumerate(value)]
    if type(value) in _MEMBERS:
        return {"type": type(value).__name__} | {
            field.name: encode(getattr(value, field.name), _inside(where, field.name), foreign)
            for field in dataclasses.fields(value)
        }
    return foreign(value, where)


def decode(data: Any, hint: Any, where: str = "") -> Any:
    """The value of a field annotated ``hint`` from its JSON value; ModelFileError where it does not fit."""
    for kind in get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,):
        if kind in REGISTRY and isinstance(data, dict):
            return _build(data, REGISTRY[kind], where)
        if isinstance(kind, type) and dataclasses.is_dataclass(kind) and isinstance(data, dict):
            return _build(data, (kind,), where)
        if get_origin(kind) is tuple and isinstance(data, list):
            return tuple(decode(item, get_args(kind)[0], f"{where}[{i}]") for i, item in enumerate(data))
        if kind is float and type(data) in (int, float):
            if not abs(data) <= sys.float_info.max:  # not math.isfinite, which fails for larger integers
                raise ModelFileError(f"{where} is {short(data)}, expected a finite number")
            return data
        if type(data) is kind:  # not isinstance, as True is no integer
            return data
    raise ModelFileError(f"{where} is {short(data)}, expected {getattr(hint, '__name__', hint)}")


def type_name(data: dict) -> Any:
    """The type that the object of a configuration names, by its present name if it was renamed."""
    name = data.get("type")
    return OLD_TYPES.get(name, name) if isinstance(name, str) else name


def _build(data: dict, members: tuple[type, ...], where: str) -> Any:
    """The configuration of a JSON object: one of ``members``, with exactly its fields."""
    name = type_name(data)
    cls = next((member for member in members if member.__name__ == name), None)
    if cls is None:
        names = ", ".join(member.__name__ for member in members)
        raise ModelFileError(f"{where or 'the specification'}: {short(name)} is not known, expected one of {names}")
    hints = get_type_hints(cls)
    fields = [field.name for field in dataclasses.fields(cls)]
    if wrong := sorted(set(fields) ^ (set(data) - {"type"})):
        said = ", ".join(f"{'lacks' if field in fields else 'has the unknown'} {field}" for field in wrong)
        raise ModelFileError(f"{where or 'the specification'}: {name} {said}; expected {', '.join(fields)}")
    values = {field: decode(data[field], hints[field], _inside(where, field)) for field in fields}
    spread = [p.name for p in inspect.signature(cls).parameters.values() if p.kind is p.VAR_POSITIONAL]
    entries = [entry for field in spread for entry in values.pop(field)]  # of a field that is given as `*layers`
    try:
        return cls(*entries, **values)
    except (ConfigurationError, OverflowError) as error:
        raise ModelFileError(f"{where or 'the specification'}: {error}") from None


def parse(text: str, who: str) -> Any:
    """The value of a JSON text; ModelFileError for NaN, infinity and too deep nesting."""

    def refuse_constant(name: str) -> None:
        raise ModelFileError(f"{who}: the metadata hold the number {name}, expected finite ones")

    try:
        return json.loads(text, parse_constant=refuse_constant)
    except ModelFileError:
        raise
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{who}: the metadata are no JSON text: {error}; use a copy of the file") from None


def check_size(data: Any, who: str, largest: float = math.inf) -> None:
    """ModelFileError for a specification that is nested too deep, too large, or has an integer above ``largest``."""
    level, nodes = [data], 0
    for _ in range(MAX_DEPTH):
        nodes += len(level)
        if any(type(value) is int and value > largest for value in level):
            raise ModelFileError(
                f"{who}: the specification has a width that its tensors do not have; use a copy of the file"
            )
        inner = [value for value in level if isinstance(value, (dict, list))]
        level = [item for node in inner for item in (node.values() if isinstance(node, dict) else node)]
        if nodes + len(level) > MAX_NODES:
            raise ModelFileError(f"{who}: the specification holds more than {MAX_NODES} values, expected fewer")
    if level:
        raise ModelFileError(f"{who}: the specification is nested deeper than the {MAX_DEPTH} levels allowed")


def short(value: Any) -> str:
    """The repr, shortened for a message."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:76]} ..."


def _inside(where: str, field: str) -> str:
    return f"{where}.{field}" if where else field
