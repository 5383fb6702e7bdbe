"""What a user gives for rows, targets and weights, read as an array of real numbers."""

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

    An array of any library stays what it is; one that lies on the device of ``backend`` becomes the backend's, without
    a copy. Lists and data frames become NumPy. With ``labels`` a column of categories that are numbers is one of
    numbers. DataError for objects, texts, complex numbers and masked arrays, which say ``name``.
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
    """Whether numbers of this dtype are real; a dtype that a library does not know is not."""
    try:
        return bool(xp.isdtype(dtype, ("bool", "integral", "real floating")))
    except TypeError:
        return False
