"""A cache of traced functions: a second model of the same configuration in the process is not traced again."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from types import FunctionType
from typing import Any

import numpy as np

from mlpcore.compiler.function import TracedFunction
from mlpcore.compiler.once import tracing
from mlpcore.trees import leaves
from mlpcore.typing import Tree

CACHE_SIZE = 64  # traced functions; the least recently used is dropped. That of a step takes some 100 kB
_cache: OrderedDict[Hashable, TracedFunction] = OrderedDict()


class Unknown(Exception):
    """A configuration contains an object whose behaviour cannot be identified by a key."""


def cached_trace(key: Hashable, trace: Callable[[], TracedFunction]) -> TracedFunction:
    """The cached function of this key, else the result of ``trace``, which is cached unless the key is None."""
    with tracing:
        if key in _cache:
            _cache.move_to_end(key)
            return _cache[key]
        traced = trace()
        if key is not None:
            _cache[key] = traced
            while len(_cache) > CACHE_SIZE:
                _cache.popitem(last=False)
        return traced


def step_key(step: Any, noise: Tree) -> Hashable:
    """The key of a step; None where there is none, for example with noise, which depends on a seed."""
    return None if leaves(noise) else function_key(step)


def function_key(function: Any) -> Hashable:
    """The key of a function that is an object of this library with a configuration; None where there is none."""
    try:
        return configuration_key(function)
    except Unknown:
        return None


def configuration_key(value: Any) -> Hashable:
    """The types and values of an object of this library; objects with equal keys compute the same.

    `Unknown` for arrays, and for functions and objects that are not of this library: a user's own layer may depend on
    anything.
    """
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return kind, value
    if kind is float:
        return kind, value.hex()  # the text tells 0.0 from -0.0, and is equal for NaN
    if isinstance(value, np.dtype) or (kind is FunctionType and _ours(value) and value.__closure__ is None):
        return value
    if kind is dict:
        return kind, *((name, configuration_key(item)) for name, item in value.items())
    if kind is tuple or (isinstance(value, tuple) and _ours(kind)):
        return kind, *map(configuration_key, value)
    if _ours(kind) and hasattr(value, "__dict__"):
        return kind, configuration_key(vars(value))
    raise Unknown(f"{kind.__name__} {value!r}")


def _ours(kind: type | FunctionType) -> bool:
    return kind.__module__.partition(".")[0] == __package__.partition(".")[0]
