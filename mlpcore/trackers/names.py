"""Names of runs that no other run has."""

import itertools
from collections.abc import Callable


def first_free(stem: str, suffix: str, make: Callable[[str], None]) -> str:
    """The first path of ``stem + suffix``, ``stem-2 + suffix``, ``stem-3 + suffix``, ... that does not exist yet.

    ``make(path)`` makes it, and raises FileExistsError if it is there, so that two processes never get the same.
    """
    for number in itertools.count(1):
        candidate = f"{stem}{suffix}" if number == 1 else f"{stem}-{number}{suffix}"
        try:
            make(candidate)
        except FileExistsError:
            continue
        return candidate
    raise AssertionError  # the numbers do not end
