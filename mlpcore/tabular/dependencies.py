"""Imports polars, which the extra `tables` installs."""

from importlib import import_module
from typing import Any

from mlpcore.errors import MissingDependency


def load_polars() -> Any:
    """The module polars; MissingDependency with the command that installs it."""
    try:
        return import_module("polars")
    except ImportError as error:
        raise MissingDependency(
            f"tables in files other than .npz are read by polars, which cannot be imported ({error}); "
            "pip install 'mlpcore[tables]'"
        ) from None
