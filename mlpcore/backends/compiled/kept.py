"""Traced steps that are kept in the process, so that a second model of the same configuration need not trace again."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

from mlpcore.compiler.function import TracedFunction
from mlpcore.trees import leaves
from mlpcore.typing import Tree

KEPT = 32  # the least recently used is dropped; one takes some 100 kB
_kept: OrderedDict[Hashable, TracedFunction] = OrderedDict()
_lock = threading.Lock()


class Unknown(Exception):
    """A configuration holds something whose code or values are not known to stay the same."""


def kept(key: Hashable, trace: Callable[[], TracedFunction]) -> TracedFunction:
    """The traced function of this key, or what ``trace`` gives, which is then kept. None is no key: it is not kept."""
    with _lock:
        if key in _kept:
            _kept.move_to_end(key)
            return _kept[key]
    traced = trace()
    if key is not None:
        with _lock:
            _kept[key] = traced
            while len(_kept) > KEPT:
                _kept.popitem(last=False)
    return traced


def step_key(step: Any, noise: Tree) -> Hashable:
    """The key of what a step does; None where nobody knows, as with noise, which depends on a seed."""
    try:
        return None if leaves(noise) else configuration_key(step)
    except Unknown:
        return None


def configuration_key(value: Any) -> Hashable:
    """Types and values of all that an object of this library is made of; equal keys do the same to the same arrays.

    `Unknown` for arrays, functions, and objects of other classes: a user's own layer may read what it likes.
    """
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return kind, value
    if kind is float:
        return kind, value.hex()  # 0.0 is not -0.0, and NaN is itself
    if isinstance(value, np.dtype):
        return value
    if kind is dict:
        return kind, *((name, configuration_key(part)) for name, part in value.items())
    if kind is tuple or (isinstance(value, tuple) and _ours(kind)):
        return kind, *map(configuration_key, value)
    if _ours(kind) and hasattr(value, "__dict__"):
        return kind, configuration_key(vars(value))
    raise Unknown(f"{kind.__name__} {value!r}")


def _ours(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == __package__.partition(".")[0]
