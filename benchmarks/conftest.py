"""``pytest benchmarks``: which backends take part, and what pytest-benchmark's JSON says about the machine.

``pytest benchmarks --benchmark-json=results.json`` measures; with ``--benchmark-disable`` everything runs once.
"""

from typing import Any

import pytest

from mlpcore.backends import get_backend
from mlpcore.backends.backend import Backend
from mlpcore.bench.about import about, gpu
from mlpcore.errors import BackendUnavailable

BACKENDS = "numpy,torch,jax,cupy"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--backends", default=BACKENDS, help=f"of mlpcore, by default {BACKENDS}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", metafunc.config.getoption("--backends").split(","), indirect=True)


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> Backend:
    """One of the backends; the test is skipped with the reason where it cannot run here."""
    try:
        return get_backend(request.param)
    except BackendUnavailable as reason:
        pytest.skip(str(reason))


def pytest_configure(config: pytest.Config) -> None:
    if not config.pluginmanager.hasplugin("benchmark"):
        config.addinivalue_line("markers", "benchmark: settings of pytest-benchmark")
        config.pluginmanager.register(NotInstalled())


class NotInstalled:
    """What stands in for pytest-benchmark."""

    @pytest.fixture
    def benchmark(self) -> Any:
        """Nothing is measured."""
        pytest.skip("pytest-benchmark is not installed; the extra `bench` brings it")


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    machine_info["mlpcore"] = about("cuda" if gpu() else "cpu")
