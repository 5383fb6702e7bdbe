"""Checks of targets that losses share: they read the host once, before training."""

from typing import Any

from mlpcore.errors import DataError
from mlpcore.namespace import namespace
from mlpcore.typing import Array


def real_columns(who: Any, target: Array, columns: int, dtype: Any) -> Array:
    """A finite real target as an array (n, columns) of ``dtype``; a flat one is taken as a single column."""
    xp = namespace(target)
    if target.ndim == 1:
        target = xp.expand_dims(target, axis=-1)
    if target.ndim != 2 or target.shape[1] != columns:
        raise DataError(
            f"{who!r}: y has shape {tuple(target.shape)}, expected (n, {columns})"
            + (" or (n,)" if columns == 1 else "")
            + " for the scores of this network"
        )
    if not xp.isdtype(target.dtype, ("bool", "integral", "real floating")):
        raise DataError(f"{who!r}: y has dtype {target.dtype}, expected real numbers")
    target = xp.astype(target, dtype)
    if not bool(xp.all(xp.isfinite(target))):
        bad = [i for i in range(columns) if not bool(xp.all(xp.isfinite(target[:, i])))]
        raise DataError(f"{who!r}: y holds NaN or infinity in column {', '.join(map(str, bad))}; remove these rows")
    return target
