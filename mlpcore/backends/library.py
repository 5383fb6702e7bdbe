"""Functions that the backends share: import of their library, errors, and host arrays that every library accepts."""

from importlib import import_module
from typing import Any

import numpy as np

from mlpcore.errors import BackendUnavailable, DataError


def native(x: Any) -> np.ndarray:
    """``x`` as a host array for any library: C order, aligned, native byte order, floats of 32 or 64 bits."""
    x = np.asarray(x)
    kind = x.dtype.newbyteorder("=")
    if kind.kind == "f" and kind.itemsize not in (4, 8):
        kind = np.dtype("float32" if kind.itemsize < 4 else "float64")
    return np.require(x, dtype=kind, requirements=["C", "A"])


def load(backend: str, module: str, install: str) -> Any:
    """The imported module, or a BackendUnavailable that says whether it is missing or broken, and how to install it."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise unavailable(backend, f"{module} cannot be imported: {first_line(error)}", install) from error
        raise unavailable(backend, f"{module} is not installed", install) from error
    except Exception as error:  # a broken installation may raise any error
        raise unavailable(backend, f"{module} cannot be imported: {first_line(error)}", install) from error


def unavailable(backend: str, cause: str, remedy: str) -> BackendUnavailable:
    """The error of a backend that cannot run, on one line."""
    return BackendUnavailable(f"backend {backend!r}: {cause}; {remedy}")


def first_line(error: BaseException) -> str:
    """The first line of the error's text, or its class if the text is empty."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".;")


def misplaced(library: str, found: Any, expected: Any, move: str) -> DataError:
    """The error for an array of the right library on the wrong device."""
    return DataError(
        f"a {library} array lies on {found}, expected {expected} like the model; move it with {move}, "
        f"or make the model with device={str(found)!r}"
    )
