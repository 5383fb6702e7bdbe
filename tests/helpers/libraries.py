"""The array libraries that the laws run on: how to move host arrays there and back.

array-api-strict on ``device1`` stands for an accelerator: besides the functions that the standard lacks it refuses,
in tests that take the fixture `xp`, every look at the numbers, such as ``float(x)`` or ``if x > 0``, and every write.
"""

import importlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import array_api_strict
import numpy as np

from mlpcore.backends import get_backend
from mlpcore.trees import tree_map

array_api_strict.set_array_api_strict_flags(api_version="2024.12")
DEVICE = array_api_strict.Device("device1")
StrictArray = type(array_api_strict.asarray(0))


class HostReadError(AssertionError):
    """Code looked at the numbers of an array on the device, or wrote into it."""


_refusing: list[bool] = []


@contextmanager
def refusing() -> Iterator[None]:
    """Where arrays on ``DEVICE`` refuse a look at their numbers."""
    _refusing.append(True)
    try:
        yield
    finally:
        _refusing.pop()


def _refuse_on_device(name: str) -> None:
    """Within `refusing` a method of the arrays of array-api-strict raises for those on ``DEVICE``."""
    original = getattr(StrictArray, name)

    def checked(self: Any, *args: Any, **words: Any) -> Any:
        if _refusing and self.device == DEVICE:
            raise HostReadError(f"{name} of an array of shape {self.shape}: a step must not read values on the host")
        return original(self, *args, **words)

    setattr(StrictArray, name, checked)


for _name in ("__bool__", "__float__", "__int__", "__index__", "__complex__", "__iter__", "__setitem__", "__dlpack__"):
    _refuse_on_device(_name)


@dataclass(frozen=True)
class Library:
    """``put`` moves a tree of host arrays to the library, ``get`` brings one back."""

    name: str
    asarray: Callable[[np.ndarray], Any]
    to_numpy: Callable[[Any], np.ndarray]
    scope: Callable[[str], AbstractContextManager] = lambda dtype: nullcontext()  # where work in a dtype is done

    def put(self, tree: Any) -> Any:
        return tree_map(lambda leaf: self.asarray(np.asarray(leaf)), tree)

    def get(self, tree: Any) -> Any:
        return tree_map(self.to_numpy, tree)


def read_only(values: np.ndarray) -> np.ndarray:
    """A copy that raises when it is written to."""
    values = np.array(values)
    values.flags.writeable = False
    return values


def _strict() -> Library:
    host = array_api_strict.Device("CPU_DEVICE")

    def to_numpy(x: Any) -> np.ndarray:
        assert x.device == DEVICE, f"the result lies on {x.device}, the inputs on {DEVICE}"
        return np.asarray(x.to_device(host))

    return Library(
        "array_api_strict", lambda values: array_api_strict.asarray(np.array(values), device=DEVICE), to_numpy
    )


def _torch() -> Library:
    torch = importlib.import_module("torch")
    get_backend("torch")
    return Library("torch", lambda values: torch.asarray(np.array(values)), lambda x: x.numpy())


def _jax() -> Library:
    jnp = importlib.import_module("jax.numpy")
    return Library(
        "jax", jnp.asarray, np.asarray, lambda dtype: importlib.import_module("jax").enable_x64(dtype == "float64")
    )


NUMPY = Library("numpy", read_only, np.asarray)
STRICT = _strict()
MAKERS = {"numpy": lambda: NUMPY, "array_api_strict": lambda: STRICT, "torch": _torch, "jax": _jax}
OPTIONAL = ("torch", "jax")  # the extra `oracles` installs them
