"""A pytest plugin, loaded by run.sh: a test during which the emulated device reports an error fails with the last one.

After each phase of a test all work is finished and all guard zones are looked at, so that the test that caused an error
is the one that fails. A test that causes one on purpose says so by the marker ``device_error``.
"""

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

LIBRARY = Path(__file__).resolve().parent.parent / "lib/libcuda_on_cpu.so"


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker."""
    config.addinivalue_line("markers", "device_error: causes an error of the emulated device on purpose")


def _reports() -> tuple[int, str]:
    """How many errors the device has reported, and the last."""
    if not any(name == "cupy" or name.startswith("cupy_backends") for name in sys.modules):
        return 0, ""
    device = ctypes.CDLL(str(LIBRARY))
    device.cuda_on_cpu_last_report.restype = ctypes.c_char_p
    return device.cuda_on_cpu_reports(), device.cuda_on_cpu_last_report().decode()


def _checked(item: pytest.Item) -> Iterator:
    before, _ = _reports()
    result = yield
    count, last = _reports()
    if count > before and item.get_closest_marker("device_error") is None:
        pytest.fail(f"the emulated device reported {count - before} errors, the last: {last}", pytrace=False)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator:
    """A test whose fixtures cause an error fails."""
    return (yield from _checked(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator:
    """A test that causes an error fails."""
    return (yield from _checked(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator:
    """A test at whose end an error shows fails."""
    return (yield from _checked(item))
