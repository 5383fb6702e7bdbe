"""Converts the states of callbacks, trees of numbers, strings and arrays, to JSON values and tensors and back.

None, booleans, integers, finite floats, strings and lists stay. Any other value becomes an object with one entry, whose
key is the kind: ``{"float": "inf"}``, ``{"tuple": [...]}``, ``{"dict": [[key, value], ...]}``, ``{"array": name}``
for a tensor besides the JSON text, and ``{"scalar": name}`` for a NumPy scalar, which keeps its dtype.
"""

import math
from typing import Any

import numpy as np

from mlpcore.backends.transfer import library_of, to_host
from mlpcore.errors import ConfigurationError
from mlpcore.files.specification import MAX_DEPTH, short
from mlpcore.files.tensors import DTYPES


def encode_tree(value: Any, where: str, tensors: dict[str, np.ndarray], depth: int = 0) -> Any:
    """The JSON value of a tree. Its arrays (of any library) are added to ``tensors``; their names begin with ``where``.

    ConfigurationError for values that `decode_tree` could not restore, such as objects of other classes.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if library_of(value) is not None and (host := to_host(value)).dtype.name in DTYPES.values():
        while where in tensors:
            where += "_"
        tensors[where] = host
        return {"scalar" if isinstance(value, np.generic) else "array": where}
    if type(value) is int or (type(value) is float and math.isfinite(value)):
        return value
    if type(value) is float:
        return {"float": repr(value)}
    if type(value) in (list, tuple, dict) and depth == MAX_DEPTH:
        raise ConfigurationError(
            f"{where} is nested more than {MAX_DEPTH} deep, which a checkpoint cannot hold; make it flatter"
        )
    if type(value) in (list, tuple):
        items = [encode_tree(item, f"{where}.{i}", tensors, depth + 1) for i, item in enumerate(value)]
        return items if type(value) is list else {"tuple": items}
    if type(value) is dict:
        # Names of tensors are ASCII, as not every string can be encoded in UTF-8.
        names = [str(key).encode("ascii", "backslashreplace").decode() for key in value]
        pairs = zip(names, value.items(), strict=True)
        return {
            "dict": [
                [encode_tree(part, at, tensors, depth + 1) for part, at in ((key, where), (item, f"{where}.{name}"))]
                for name, (key, item) in pairs
            ]
        }
    raise ConfigurationError(
        f"{where} is {short(value)} of type {type(value).__name__}, which a checkpoint cannot hold; expected a tree of "
        "numbers, texts, None, and arrays of real numbers in plain dicts, lists and tuples"
    )


def decode_tree(data: Any, tensors: dict[str, np.ndarray]) -> Any:
    """The tree of a JSON value; its arrays are NumPy arrays, removed from ``tensors``.

    KeyError, TypeError, ValueError, RecursionError or AttributeError for a value that `encode_tree` cannot return.
    """
    if isinstance(data, list):
        return [decode_tree(item, tensors) for item in data]
    if not isinstance(data, dict):
        return data
    ((kind, inner),) = data.items()
    if kind == "float":
        return float(inner)
    if kind == "tuple":
        return tuple(decode_tree(item, tensors) for item in inner)
    if kind == "dict":
        return {decode_tree(key, tensors): decode_tree(item, tensors) for key, item in inner}
    if kind in ("array", "scalar"):
        array = tensors.pop(inner)
        return np.array(array) if kind == "array" else array[()]
    raise ValueError(f"{short(kind)} is no kind of value")
