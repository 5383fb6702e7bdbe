"""A pytest plugin, loaded by run.sh: a test during which the emulated device reports an error fails with the last one.

After each phase of a test all work is finished and all guard zones are checked, so that the test that caused an error
is the one that fails. A test that causes an error on purpose has the marker ``device_error``.
"""

import sys
from collections.abc import Iterator

import pytest

import cuda_on_cpu


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", "device_error: causes an error of the emulated device on purpose")


def _reports() -> tuple[int, str]:
    """As `cuda_on_cpu.reports`; none before CuPy is imported."""
    return cuda_on_cpu.reports() if "cupy" in sys.modules else (0, "")


def _checked(item: pytest.Item) -> Iterator:
    """Run a phase of the test; fail if it has caused an error."""
    before, _ = _reports()
    result = yield
    count, last = _reports()
    if count > before and item.get_closest_marker("device_error") is None:
        pytest.fail(f"the emulated device reported {count - before} errors, the last: {last}", pytrace=False)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator:
    """A test fails if the set-up of its fixtures causes an error."""
    return (yield from _checked(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator:
    """A test fails if it causes an error."""
    return (yield from _checked(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator:
    """A test fails if the teardown of its fixtures causes an error."""
    return (yield from _checked(item))
