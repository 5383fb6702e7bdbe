"""A plugin of pytest, ``-p error_messages --messages FILE``: notes every error of mlpcore that a test expects.

Each line of FILE is a JSON object: the test's id, the kind of error and its message, for errors that `pytest.raises`
caught and for the one line that the command line wrote. Errors of other libraries are left out. Only tests that expect
an error run, and none on PyTorch or JAX, whose texts are those of NumPy.
"""

import contextlib
import io
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest

import mlpcore
from mlpcore import cli

HOME = str(Path(mlpcore.__file__).parent)
COMMAND = "mlpcore: error: "
COMMAND_LINE = "command line"  # stands where others have a kind of error
OTHERS = re.compile("torch|jax")
BUILT_IN = (ValueError, AttributeError, FileNotFoundError)  # which estimators and files raise, as users expect there


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option ``--messages``."""
    parser.addoption("--messages", metavar="FILE", help="note every error of mlpcore that a test expects")


def pytest_configure(config: pytest.Config) -> None:
    """Before a test module is read, as some import `main` by its name."""
    if name := config.getoption("--messages"):
        notes = Notes(Path(name))
        pytest.raises = notes.raises
        cli.main = notes.main


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests that expect no error."""
    if config.getoption("--messages"):
        items[:] = [item for item in items if _expects_error(item.function) and not OTHERS.search(item.name)]


def _expects_error(function: Any) -> bool:
    """Whether a function, or a function of the tests that it calls, names `raises` or the command line's line."""
    open_functions, seen = [function], set()
    while open_functions:
        function = open_functions.pop()
        codes = [function.__code__]
        while codes:
            code = codes.pop()
            if "raises" in code.co_names or COMMAND in code.co_consts:
                return True
            codes += [value for value in code.co_consts if isinstance(value, CodeType)]
            called = (function.__globals__.get(name) for name in code.co_names)
            fresh = {
                one for one in called if isinstance(one, FunctionType) and not _file_of(one).startswith(HOME)
            } - seen
            open_functions += fresh
            seen |= fresh
    return False


def _file_of(function: FunctionType) -> str:
    return function.__code__.co_filename


class Notes:
    """Stands in for `pytest.raises` and the command line's `main`, and writes what they were told."""

    def __init__(self, path: Path) -> None:
        self.path, self._raises, self._main = path, pytest.raises, cli.main

    def note(self, kind: str, message: str) -> None:
        test = os.environ["PYTEST_CURRENT_TEST"].rpartition(" (")[0]
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"test": test, "kind": kind, "message": message}) + "\n")

    @contextlib.contextmanager
    def _caught(self, expected: Any, **words: Any) -> Iterator[Any]:
        with self._raises(expected, **words) as caught:
            yield caught
        if isinstance(caught.value, (mlpcore.MlpcoreError, *BUILT_IN)) and _is_ours(caught.value):
            self.note(type(caught.value).__name__, str(caught.value))

    def raises(self, expected: Any, *function: Any, **words: Any) -> Any:
        """`pytest.raises`, as a context or with a function to call."""
        return self._raises(expected, *function, **words) if function else self._caught(expected, **words)

    def main(self, argv: Any = None) -> int:
        """`mlpcore.cli.main`."""
        stream, copy = sys.stderr, io.StringIO()
        with contextlib.redirect_stderr(_Tee(stream, copy)):
            code = self._main(argv)
        for line in copy.getvalue().splitlines():
            if line.startswith(COMMAND):
                self.note(COMMAND_LINE, line.removeprefix(COMMAND))
        return code


class _Tee:
    """Writes to a stream and to a copy; all else is the stream's."""

    def __init__(self, stream: Any, copy: io.StringIO) -> None:
        self._stream, self._copy = stream, copy

    def write(self, text: str) -> int:
        self._copy.write(text)
        return int(self._stream.write(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _is_ours(error: BaseException) -> bool:
    """Whether the error was raised by a file of mlpcore."""
    trace, where = error.__traceback__, ""
    while trace is not None:
        trace, where = trace.tb_next, trace.tb_frame.f_code.co_filename
    return where.startswith(HOME)
