"""A pytest plugin, loaded by run.sh: a test during which the emulated device reports an error fails with the last one.

After each phase of a test all work is finished and all guard zones are looked at, so that the test that caused an error
is the one that fails. A test that causes one on purpose says so by the marker ``device_error``.
"""

import sys
from collections.abc import Iterator

import pytest

import cuda_on_cpu


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker."""
    config.addinivalue_line("markers", "device_error: causes an error of the emulated device on purpose")


def _reports() -> tuple[int, str]:
    """As `cuda_on_cpu.reports`; none before CuPy is there."""
    return cuda_on_cpu.reports() if "cupy" in sys.modules else (0, "")


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
