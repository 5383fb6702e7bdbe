"""Checks of targets that losses share. They read the values, once, before training."""

from typing import Any

from mlpcore.errors import ConfigurationError, DataError
from mlpcore.namespace import namespace
from mlpcore.typing import Array


def real_columns(who: Any, target: Array, columns: int, dtype: Any) -> Array:
    """A finite real target as an array (n, columns) of ``dtype``; a target (n,) is taken as one column."""
    xp = namespace(target)
    if target.ndim == 1:
        target = xp.expand_dims(target, axis=-1)
    if target.ndim != 2 or target.shape[1] != columns:
        raise DataError(
            f"{who!r}: y has shape {tuple(target.shape)}, expected (n, {columns})"
            + (" or (n,)" if columns == 1 else "")
            + " for the scores of this network"
        )
    check_rows(who, target)
    if not xp.isdtype(target.dtype, ("bool", "integral", "real floating")):
        raise DataError(f"{who!r}: y has dtype {target.dtype}, expected real numbers")
    if xp.isdtype(target.dtype, "real floating"):
        bad = ~xp.isfinite(target)
        hint = _skip(who) if bool(xp.any(bad)) and bool(xp.any(xp.isnan(target))) else ""
        refuse(who, bad, "NaN or infinity", f"finite numbers; remove or fill these rows{hint}")
    cast = xp.astype(target, dtype)
    refuse(who, ~xp.isfinite(cast), f"numbers too large for {dtype}", "smaller ones; scale y")
    return cast


def refuse_missing(who: Any, labels: Array) -> None:
    """A DataError that names the first row whose label is NaN, if labels (n,) or (n, 1) have one."""
    xp = namespace(labels)
    if not xp.isdtype(labels.dtype, "real floating"):
        return
    missing = xp.isnan(xp.reshape(labels, (-1,)))
    if bool(xp.any(missing)):
        row = int(xp.argmax(xp.astype(missing, xp.int32)))
        raise DataError(
            f"{who!r}: y has a missing label in row {row} (NaN); drop the rows without a label, or label them"
            + _skip(who)
        )


def _skip(who: Any) -> str:
    """The advice to leave out the entries that are NaN, for a loss that can."""
    return ", or leave out what is NaN by missing_targets='skip'" if getattr(who, "entry_weights", False) else ""


def check_rows(who: Any, target: Array) -> None:
    """A DataError for a target without rows."""
    if target.shape[0] == 0:
        raise DataError(f"{who!r}: y has no rows, expected at least one")


def refuse(who: Any, bad: Array, what: str, expected: str) -> None:
    """A DataError that names the columns in which ``bad`` (n, columns) is true anywhere, if there are any."""
    xp = namespace(bad)
    columns = xp.any(bad, axis=0)
    if bool(xp.any(columns)):
        names = ", ".join(str(i) for i in range(bad.shape[1]) if bool(columns[i]))
        raise DataError(f"{who!r}: y holds {what} in column {names}, expected {expected}")


def target_columns(who: Any, outputs: int, each: int) -> int:
    """``outputs / each``: the number of target columns if there are ``each`` scores for every one."""
    if outputs % each:
        raise ConfigurationError(f"{who!r}: the network gives {outputs} columns, expected {each} for every column of y")
    return outputs // each
