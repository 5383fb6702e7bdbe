"""The array libraries that the laws run on: how to move host arrays there and back."""

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import array_api_strict
import numpy as np
import spy

from mlpcore.backends import get_backend
from mlpcore.trees import tree_map

array_api_strict.set_array_api_strict_flags(api_version="2024.12")


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
    device, host = array_api_strict.Device("device1"), array_api_strict.Device("CPU_DEVICE")

    def to_numpy(x: Any) -> np.ndarray:
        assert x.device == device, f"the result lies on {x.device}, the inputs on {device}"
        return np.asarray(x.to_device(host))

    return Library(
        "array_api_strict", lambda values: array_api_strict.asarray(np.array(values), device=device), to_numpy
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
SPY = Library("spy", spy.NAMESPACE.asarray, spy.host)
MAKERS = {"numpy": lambda: NUMPY, "array_api_strict": _strict, "torch": _torch, "jax": _jax, "spy": lambda: SPY}
OPTIONAL = ("torch", "jax")  # the extra `oracles` installs them
