"""Checks the JSON values of encoders, which come from files."""

import sys
from collections.abc import Mapping
from typing import Any

from mlpcore.errors import ModelFileError


def check_field(data: Any, name: str, *kinds: type | None) -> Any:
    """``data[name]``, if its type is one of ``kinds``; ModelFileError otherwise, and where there is no such field.

    A float may be stored as an integer, and must be finite.
    """
    value = data[name] if isinstance(data, Mapping) and name in data else damaged(name, "missing")
    for kind in kinds:
        if kind is float and type(value) in (int, float) and abs(value) <= sys.float_info.max:
            return float(value)
        if (value is None) if kind is None else (kind is not float and type(value) is kind):
            return value
    return damaged(name, repr(value)[:80])


def check_list(data: Any, name: str, *kinds: type | None) -> list[Any]:
    """``data[name]``, if it is a list of values of these types; ModelFileError otherwise."""
    return [check_field({name: value}, name, *kinds) for value in check_field(data, name, list)]


def damaged(name: str, found: str) -> Any:
    """Raise the ModelFileError for a field."""
    raise ModelFileError(f"the description of the table is damaged: {name} is {found}, expected what save writes")
