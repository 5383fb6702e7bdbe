"""Reads the rows, targets and weights that a user passes as arrays of real numbers."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from mlpcore.backends.backend import Backend
from mlpcore.backends.transfer import library_of, share
from mlpcore.errors import DataError
from mlpcore.namespace import namespace
from mlpcore.training import frames
from mlpcore.typing import Array


def read_array(
    name: str, x: Any, backend: Backend | None = None, *, labels: bool = False
) -> tuple[Array, Sequence[Any]]:
    """``(array, titles)``: x as an array of real numbers, and the titles of its columns if it is a data frame.

    An array of any library is returned unchanged, or without a copy as an array of ``backend`` if it lies on the device
    of this backend. Lists and data frames become NumPy arrays. With ``labels`` a column of categories is accepted if
    the categories are numbers. DataError, with ``name``, for objects, strings, complex numbers and masked arrays.
    """
    titles: Sequence[Any] = ()
    array = x if backend is None else share(x, backend)
    if library_of(array) is None:
        array, titles = frames.read_table(name, array, labels)
    if isinstance(array, np.ma.MaskedArray):
        raise DataError(
            f"{name} is a masked array, whose hidden entries would count as data; drop these rows or use filled(value)"
        )
    if not _is_real(namespace(array), array.dtype):
        raise DataError(f"{name} has dtype {array.dtype}, expected real numbers; {frames.ADVICE}")
    return array, titles


@lru_cache
def _is_real(xp: Any, dtype: Any) -> bool:
    """Whether a dtype is real; False for a dtype that the library's ``isdtype`` does not know."""
    try:
        return bool(xp.isdtype(dtype, ("bool", "integral", "real floating")))
    except TypeError:
        return False
