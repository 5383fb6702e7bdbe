"""Fixtures of all tests: `xp` runs a law once for every array library. Hypothesis runs without a clock."""

import csv
import os
import signal
import sys
from collections.abc import Iterator

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # small products on all cores take twice the time of one

import numpy as np
import pytest
from devices import open_place
from hypothesis import HealthCheck, settings
from libraries import MAKERS, NUMPY, OPTIONAL, Library, refusing
from optional import optional
from skipped import (  # noqa: F401
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_collectreport,
    pytest_sessionfinish,
    pytest_terminal_summary,
    pytest_testnodedown,
)

from mlpcore.backends.choice import choose

settings.register_profile(
    "laws", deadline=None, max_examples=8, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("laws")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Without files or a mark on the command line all cores are used, at most eight; ``-n 0`` means one process.

    Each process takes whole files: the examples of a page of docs/ follow from each other.
    """
    options = config.option
    if hasattr(config, "workerinput") or not hasattr(options, "numprocesses"):  # one of them, or without pytest-xdist
        return
    everything = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not options.markexpr
    if everything and options.numprocesses is None:
        options.numprocesses, options.maxprocesses = "auto", 8
    if options.numprocesses and options.dist == "no":
        options.dist = "loadfile"


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """SIGINT as Python handles it: a shell that starts the tests in the background has it ignored. It is as before."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler, "the handler was not put back"


@pytest.fixture
def threads_that_change_often() -> Iterator[None]:
    """Threads take turns as often as can be; products are on one, as the number of OpenBLAS's decides bits too."""
    from mlpcore.compiler.blas_threads import single_threaded

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    with single_threaded():
        yield
    sys.setswitchinterval(before)


def on_cupy() -> Library:
    """CuPy, or a skip that says why not."""
    backend = open_place("cupy")
    return Library("cupy", lambda values: backend.asarray(np.array(values)), backend.to_numpy)


@pytest.fixture(scope="session", params=["numpy", pytest.param("cupy", marks=pytest.mark.gpu)])
def library(request: pytest.FixtureRequest) -> Library:
    """NumPy, and CuPy on a GPU: for laws over many shapes, for each of which others would compile anew."""
    return NUMPY if request.param == "numpy" else on_cupy()


@pytest.fixture(scope="session", params=[*MAKERS, pytest.param("cupy", marks=pytest.mark.gpu)])
def xp(request: pytest.FixtureRequest) -> Library:
    """A library to run on: read-only NumPy, array-api-strict on device1, torch, JAX, and CuPy on a GPU."""
    name = request.param
    if name == "cupy":
        return on_cupy()
    if name in OPTIONAL:
        optional(name)
    return MAKERS[name]()


USERS_CACHE = os.environ.get("MLPCORE_CACHE_DIR")


@pytest.fixture(autouse=True)
def nothing_measured() -> Iterator[None]:
    """What a user's `mlpcore crossover` has measured moves no estimator of a test; a test's own cache folder counts."""
    real = choose.__globals__["kept"]

    def kept() -> tuple:
        return real() if os.environ.get("MLPCORE_CACHE_DIR") != USERS_CACHE else (None, "")

    with pytest.MonkeyPatch.context() as patch:  # not the test's, which is undone before `process_as_before` looks
        patch.setitem(choose.__globals__, "kept", kept)
        yield


@pytest.fixture(autouse=True)
def process_as_before() -> Iterator[None]:
    """A test leaves what a process has once as it was: NumPy's handling of errors, SIGINT, folder, limit of csv."""

    def shared() -> tuple:
        return np.geterr(), signal.getsignal(signal.SIGINT), os.getcwd(), csv.field_size_limit()

    before = shared()
    yield
    assert shared() == before, "a test left the process changed for those after it"


@pytest.fixture(autouse=True)
def no_look_at_numbers(request: pytest.FixtureRequest) -> Iterator[None]:
    """What runs on every library runs without a look at numbers on the device."""
    if "xp" not in request.fixturenames:
        yield
        return
    with refusing():
        yield
