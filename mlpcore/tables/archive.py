"""Reads columns from a .npz archive of plain arrays."""

import zipfile
import zlib

import numpy as np

from mlpcore.errors import DataError
from mlpcore.tables.table import Table, listed


def read_archive(path: str, target: str | None) -> Table:
    """The table of an archive: array x (rows, columns) and, if it exists, array ``target`` (rows,)."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = archive.files
            arrays = {name: archive[name] for name in ("x", target) if name in names}
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: no .npz archive of plain arrays: {error}") from None
    if "x" not in arrays:
        raise DataError(f"{path}: there is no array 'x', only {listed(names) or 'nothing'}")
    x = arrays["x"]
    if x.ndim != 2 or 0 in x.shape:
        raise DataError(f"{path}: x has shape {x.shape}, expected (rows, columns), at least one of each")
    columns = {f"x[{i}]": _plain(x[:, i], "x", path) for i in range(x.shape[1])}
    if target in columns:
        raise DataError(f"{path}: {target!r} is a column of x, expected the name of another array as the target")
    if target is not None and target in arrays and target != "x":
        y = arrays[target]
        if y.shape not in ((len(x),), (len(x), 1)):
            raise DataError(f"{path}: {target} has shape {y.shape}, expected ({len(x)},), one entry for every row of x")
        columns[target] = _plain(y.reshape(-1), target, path)
    return Table(path, columns, named=False)


def _plain(column: np.ndarray, name: str, path: str) -> np.ndarray:
    """The column; DataError unless it holds real numbers or strings."""
    if column.dtype.kind not in "biufU":
        raise DataError(f"{path}: {name} has dtype {column.dtype}, expected real numbers or texts")
    return column
