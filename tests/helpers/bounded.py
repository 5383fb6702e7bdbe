"""Tables that are refused within a bound of memory, which Python allocates at most meanwhile."""

import tracemalloc
from pathlib import Path

import pytest

from mlpcore.errors import DataError
from mlpcore.tabular import read_table

MOST = 64 << 20


def refused_within(path: Path, said: str) -> None:
    """The file is refused with this message, and with less than `MOST` bytes."""
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=said):
            read_table(str(path))
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()
