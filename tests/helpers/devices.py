"""The places that the laws of a device run on, and the CUDA devices, which most machines lack."""

import importlib
import importlib.util
import re
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from optional import optional

from mlpcore.backends import available_backends, get_backend
from mlpcore.backends.backend import Backend

PAGE = Path(__file__).parents[2] / "docs/own-backend.md"


def example() -> Backend:
    """The backend that the page on own backends makes in its first block of code."""
    code, names = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[0], {}
    exec(compile(code, str(PAGE), "exec"), names)
    return names["create"]()


OWN = {"mynumpy": example}  # backends that have no name in `get_backend`
HERE = ("numpy", "array_api_strict", "torch", "jax", *OWN)  # they run on any machine


def gpu(*values: Any) -> Any:
    """A case of a parametrised law that needs a CUDA device."""
    return pytest.param(*values, marks=pytest.mark.gpu, id="-".join(map(str, values)))


PLACES = [*HERE, gpu("cupy")]
CUDA = [gpu("cupy"), gpu("torch cuda"), gpu("jax cuda")]


def open_place(name: str) -> Backend:
    """The backend of "torch" or "torch cuda", or a skip that says what is missing and what is not shown therefore."""
    library, _, device = name.partition(" ")
    if name in OWN:
        return OWN[name]()
    if library in ("torch", "jax", "cupy"):
        optional(library)
    if device == "cuda" or library == "cupy":
        reason = no_device(library)
        if reason:
            pytest.skip(f"{reason}: nothing of {name} is shown by this run")
    return get_backend(library, device or None)


def emulated_device(does: str) -> ModuleType:
    """The module of the emulated device, or a skip: only that device ``does`` what a test needs."""
    if importlib.util.find_spec("cuda_on_cpu") is None:
        pytest.skip(f"only the emulated device (cuda_on_cpu/) {does}")
    return importlib.import_module("cuda_on_cpu")


@cache
def no_device(library: str) -> str:
    """Why the library has no CUDA device here, "" where it has one."""
    if library == "cupy":
        found = available_backends()["cupy"]
        return "" if found.startswith("ready") else f"CuPy is not ready ({found})"
    if library == "torch":
        return "" if importlib.import_module("torch").cuda.is_available() else "torch finds no CUDA device"
    try:
        return "" if importlib.import_module("jax").devices("cuda") else "JAX finds no CUDA device"
    except RuntimeError as error:
        return f"JAX finds no CUDA device ({str(error).splitlines()[0]})"
