"""Other processes for tests: a fork of this one, and a fresh one that runs some lines."""

import os
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

needs_instructions = pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="from Python 3.12 on a trace function misses instructions of new functions"
)
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def holds_in_child(check: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Whether ``check`` holds in a forked process, which is ended by force where it hangs."""
    child = os.fork()
    if not child:
        try:
            os._exit(0 if check() else 1)
        finally:
            os._exit(2)
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return False


def start(lines: str, *arguments: str, **words: str) -> subprocess.Popen[str]:
    """A process of its own that runs these lines, with the tests' modules at hand and ``words`` in its environment."""
    path = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    command = [sys.executable, "-c", lines, *arguments]
    environment = os.environ | {"PYTHONPATH": path} | words
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def output(process: subprocess.Popen[str], seconds: float = 300.0) -> str:
    """What it prints until it ends well."""
    try:
        out, err = process.communicate(timeout=seconds)
    finally:
        process.kill()
    assert process.returncode == 0, err
    return out.strip()
