"""``pytest benchmarks``: the choice of backends, and the facts about the machine in pytest-benchmark's JSON.

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
    """One of the backends; the test is skipped where it cannot run on this machine."""
    try:
        return get_backend(request.param)
    except BackendUnavailable as reason:
        pytest.skip(str(reason))


def pytest_configure(config: pytest.Config) -> None:
    if not config.pluginmanager.hasplugin("benchmark"):
        config.addinivalue_line("markers", "benchmark: settings of pytest-benchmark")
        config.pluginmanager.register(NotInstalled())


class NotInstalled:
    """A replacement for pytest-benchmark that skips every benchmark."""

    @pytest.fixture
    def benchmark(self) -> Any:
        """Skip the benchmark."""
        pytest.skip("pytest-benchmark is not installed; the extra `bench` brings it")


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    machine_info["mlpcore"] = about("cuda" if gpu() else "cpu")
