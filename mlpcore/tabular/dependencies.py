"""Imports polars, which the extra `tables` installs, and turns its errors into this library's."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from mlpcore.errors import DataError, MissingDependency


def load_polars() -> Any:
    """The module polars; MissingDependency with the command that installs it."""
    try:
        return import_module("polars")
    except ImportError as error:
        raise MissingDependency(
            f"tables in files other than .npz are read by polars, which cannot be imported ({error}); "
            "pip install 'mlpcore[tables]'"
        ) from None


@contextmanager
def polars_errors(source: str) -> Iterator[None]:
    """Turn an error of polars into a DataError with the name of the file."""
    try:
        yield
    except load_polars().exceptions.PolarsError as error:
        raise DataError(f"{source}: the file cannot be read: {str(error).splitlines()[0]}") from None
