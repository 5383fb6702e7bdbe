"""Reads columns from a .npz archive of plain arrays."""

import lzma
import math
import struct
import zipfile
import zlib

import numpy as np

from mlpcore.errors import DataError
from mlpcore.tables.table import Table, check_columns, listed

SMALL, RATIO = 32 << 20, 100  # bytes of an array that a small file may hold, and how much of it for each of its bytes
_DAMAGE: tuple[type[Exception], ...] = (ArithmeticError, EOFError, LookupError, OSError, RuntimeError, SyntaxError)
_DAMAGE += (TypeError, ValueError, lzma.LZMAError, struct.error, zipfile.BadZipFile, zlib.error)


def read_archive(path: str, target: str | None) -> Table:
    """The table of an archive: array x (rows, columns) and, if it exists, array ``target`` (rows,).

    DataError for arrays that are larger than their files say, or more than `RATIO` times as large as these when they
    are compressed.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = archive.files
            arrays = {}
            for name in ("x", target):
                if name in names:
                    _check_size(archive.zip, str(name), path)
                    arrays[name] = archive[name]
    except DataError:
        raise
    except _DAMAGE as error:
        raise DataError(f"{path}: no .npz archive of plain arrays: {error}; write it with numpy.savez") from None
    if "x" not in arrays:
        raise DataError(
            f"{path}: there is no array 'x', only {listed(names) or 'nothing'}; save the rows under that name"
        )
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


def _check_size(archive: zipfile.ZipFile, name: str, path: str) -> None:
    """DataError for an array that would take more memory than its file in the archive says, or suggests."""
    info = archive.getinfo(f"{name}.npy" if f"{name}.npy" in archive.namelist() else name)
    if info.file_size > SMALL and info.file_size > RATIO * info.compress_size:
        raise DataError(
            f"{path}: {name} is compressed to {info.compress_size:,} of {info.file_size:,} bytes, which may be a trap; "
            "if it is none, write it without compression, by numpy.savez"
        )
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    if not dtype.itemsize or math.prod(shape) * dtype.itemsize > info.file_size:
        raise DataError(f"{path}: no .npz archive of plain arrays: {name} of {dtype} {shape} is not in it; use a copy")
    if name == "x" and len(shape) == 2:
        check_columns(shape[1], path)


def _plain(column: np.ndarray, name: str, path: str) -> np.ndarray:
    """The column; DataError unless it holds real numbers or strings."""
    if column.dtype.kind not in "biufU":
        raise DataError(f"{path}: {name} has dtype {column.dtype}, expected real numbers or texts")
    return column
