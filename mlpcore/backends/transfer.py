"""Moving arrays between libraries, by way of the host where there is no shorter one."""

from typing import Any

import array_api_compat as compat
import numpy as np

from mlpcore.backends import get_backend
from mlpcore.backends.backend import Backend
from mlpcore.typing import Array, Tree

_KINDS = {
    "numpy": compat.is_numpy_array,
    "cupy": compat.is_cupy_array,
    "torch": compat.is_torch_array,
    "jax": compat.is_jax_array,
    "array_api_strict": lambda x: type(x).__module__.partition(".")[0] == "array_api_strict",
}


def library_of(x: Any) -> str | None:
    """The name of the backend whose arrays ``x`` is one of; None for lists, tables and the rest."""
    return next((name for name, is_one in _KINDS.items() if is_one(x)), None)


def to_backend(x: Any, backend: Backend, dtype: str | None = None) -> Array:
    """``x`` as an array of the backend, on its device; without a copy where it is one already."""
    library = library_of(x)
    kind = None if dtype is None else backend.dtypes[dtype]
    if library not in (None, "numpy", backend.name):
        x = to_host(x)
    return backend.asarray(x, dtype=kind)


def to_host(x: Any) -> np.ndarray:
    """``x`` as a NumPy array."""
    library = library_of(x)
    if library in (None, "numpy"):
        return np.asarray(x)
    return get_backend(library, compat.device(x)).to_numpy(x)


def like(result: Tree, x: Any, backend: Backend) -> Tree:
    """The backend's array in the library and on the device of ``x``: NumPy for lists and tables."""
    library = library_of(x) or "numpy"
    if library == backend.name:
        return result
    host = backend.to_numpy(result)
    return host if library == "numpy" else get_backend(library, compat.device(x)).asarray(host)
