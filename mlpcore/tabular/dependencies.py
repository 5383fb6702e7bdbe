"""Imports polars, which the extra `tables` installs, and turns its errors into this library's."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mlpcore.errors import DataError, MlpcoreError, import_extra
from mlpcore.signals import signals_pass


def load_polars() -> Any:
    """The module polars; MissingDependency with the command that installs it."""
    return import_extra("polars", "tables", "tables in files other than .npz are read by polars, which")


def column(*names: str) -> Any:
    """The expression of columns of these names; ``polars.col`` takes "*" and "^a.*$" for patterns of names."""
    return load_polars().selectors.by_name(*names).as_expr()


@contextmanager
def polars_errors(source: str) -> Iterator[None]:
    """Turn an error of polars into a DataError with the name of the file.

    That is a ValueError for dates after Python's last year. A panic is a fault of polars that a damaged file has
    brought to light; it is no Exception of Python's.
    """
    kinds = load_polars().exceptions
    with signals_pass():
        try:
            yield
        except MlpcoreError:
            raise
        except (kinds.PolarsError, kinds.PanicException, OSError, OverflowError, ValueError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # of the system; polars has none for damage
                raise
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise DataError(f"{source}: the file cannot be read: {first}; use a copy") from None
