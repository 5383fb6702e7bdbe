"""Imports polars, which the extra `tables` installs, and turns its errors into this library's."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mlpcore.errors import DataError, import_extra


def load_polars() -> Any:
    """The module polars; MissingDependency with the command that installs it."""
    return import_extra("polars", "tables", "tables in files other than .npz are read by polars, which")


@contextmanager
def polars_errors(source: str) -> Iterator[None]:
    """Turn an error of polars into a DataError with the name of the file."""
    try:
        yield
    except load_polars().exceptions.PolarsError as error:
        raise DataError(f"{source}: the file cannot be read: {str(error).splitlines()[0]}") from None
