"""The command line program ``mlpcore``: its commands, and the output of errors and warnings."""

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

import mlpcore
from mlpcore.cli import backends, bench, cache, crossover, explain, predict, train
from mlpcore.cli.output import INTERRUPTED, USER_ERROR, escape_unknown, one_line
from mlpcore.errors import ConfigurationError, MlpcoreError, MlpcoreWarning


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line like all others, without the usage text."""

    def error(self, message: str) -> NoReturn:
        raise ConfigurationError(f"{message}; see {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code: 0, 2 for a user error, 130 after Ctrl-C."""
    parser = _Parser(prog="mlpcore", description="Multilayer perceptrons for tables: train, predict, explain, measure.")
    parser.add_argument("--version", action="version", version=f"mlpcore {mlpcore.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in (train, predict, explain, bench, backends, crossover, cache):
        command.add(commands)
    escape_unknown()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", MlpcoreWarning)
            warnings.showwarning = _show
            arguments = parser.parse_args(argv)
            code = arguments.run(arguments)
            sys.stdout.flush()  # here, where an error is reported
            return code
    except KeyboardInterrupt:
        print("mlpcore: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader has closed the pipe, as in mlpcore predict ... | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError as error:
        return _fail(f"there is not enough memory: {error}")
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error))
    except MlpcoreError as error:
        return _fail(str(error))


def _fail(message: str) -> int:
    print(f"mlpcore: error: {one_line(message)}", file=sys.stderr)
    return USER_ERROR


def _show(
    message: Warning | str, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None
) -> None:
    """Print a warning without its file and line."""
    print(f"mlpcore: warning: {one_line(str(message))}", file=sys.stderr)
