"""Moves arrays between libraries: without a copy on one device if both support DLPack, else through the host."""

from importlib import import_module
from typing import Any

import array_api_compat as compat
import numpy as np

from mlpcore.backends import get_backend
from mlpcore.backends.backend import Backend
from mlpcore.errors import DataError
from mlpcore.signals import from_a_handler
from mlpcore.typing import Array, Tree

_KINDS = {
    "numpy": compat.is_numpy_array,
    "cupy": compat.is_cupy_array,
    "torch": compat.is_torch_array,
    "jax": compat.is_jax_array,
    "array_api_strict": lambda x: type(x).__module__.partition(".")[0] == "array_api_strict",
}


_BY_TYPE: dict[type, str | None] = {}


def library_of(x: Any) -> str | None:
    """The name of the backend whose library ``x`` is an array of; None for lists, tables and other objects."""
    kind = type(x)
    if kind not in _BY_TYPE:
        _BY_TYPE[kind] = next((name for name, is_one in _KINDS.items() if is_one(x)), None)
    return _BY_TYPE[kind]


def to_backend(x: Any, backend: Backend, dtype: str | None = None) -> Array:
    """``x`` as an array of the backend on its device, converted to ``dtype`` if that is not None.

    An array of the backend's own library must be on the backend's device already (else DataError). An array of another
    library on that device is shared; all others are copied through the host. The result may share memory with ``x``,
    so it must not be written to.
    """
    return move(share(x, backend), backend, dtype)


def share(x: Any, backend: Backend) -> Any:
    """An array of any library on the backend's own device as one of the backend, without a copy; else x itself."""
    borrow = backend.extras.borrow
    if borrow is None or not is_shared(x, backend):
        return x
    return borrow(x.detach() if hasattr(x, "detach") else x)


def is_shared(x: Any, backend: Backend) -> bool:
    """Whether x is an array of another library on the backend's device, and both libraries support DLPack."""
    device = backend.extras.dlpack_device
    return device is not None and not backend.owns(x) and _dlpack_device(x) == device


def _dlpack_device(x: Any) -> tuple[int, int] | None:
    """The device of x as (type, number) of DLPack; None for other objects, and for arrays on several devices."""
    try:
        kind, number = x.__dlpack_device__()
    except Exception as error:  # not an array, or one that cannot be shared, for which every library has its own error
        if from_a_handler(error):
            raise
        return None
    return int(kind), int(number)


def move(x: Any, backend: Backend, dtype: str | None = None) -> Array:
    """`to_backend` without sharing: an array of the backend's library as it is, others copied through the host."""
    kind = None if dtype is None else backend.dtypes[dtype]
    on_backend = backend.owns(x) and library_of(x) != "numpy"
    return backend.asarray(x if on_backend else to_host(x), dtype=kind)


def to_host(x: Any) -> np.ndarray:
    """``x`` as a NumPy array."""
    if type(x) is np.ndarray:  # the fast path, for predictions of one row
        return x
    if isinstance(x, np.ma.MaskedArray):
        raise DataError(
            "the array is masked, and its hidden entries would count as data; drop these rows or use x.filled(value)"
        )
    library = library_of(x)
    if library in (None, "numpy"):
        return np.asarray(x)
    return import_module(f"mlpcore.backends.{library}").to_numpy(x)


def like(result: Tree, x: Any, backend: Backend) -> Tree:
    """``result``, an array of the backend, as an array of x's library on x's device: NumPy for lists and tables.

    The dtype is kept.
    """
    library = library_of(x) or (backend.name if is_shared(x, backend) else "numpy")
    if library == backend.name or backend.owns(x):
        return result
    if library == "numpy":
        return backend.to_numpy(result)
    target = get_backend(library, compat.device(x))
    with target.scope("float64" if result.dtype == backend.dtypes["float64"] else "float32"):
        if target.extras.dlpack_device == backend.extras.dlpack_device is not None:
            return share(result, target)
        return target.asarray(backend.to_numpy(result))
