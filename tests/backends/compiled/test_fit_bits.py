"""The bits of a whole fit: whatever the threads and the cores, after a fork, beside another fit, killed and resumed."""

import hashlib
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from compiled import WAYS, needs_compiler
from fitting import state_of
from processes import holds_in_child, needs_fork, output, start
from safetensors.numpy import load_file

import mlpcore as mc
from mlpcore.compiler.blas_threads import single_threaded
from mlpcore.random import Stream

ROWS, EPOCHS = 800, 4
X = Stream(1, "x").normal((ROWS, 20)).astype("float32")
LABELS = (X[:, 0] > 0).astype("int64") + (X[:, 1] > 0.5)


@pytest.fixture(autouse=True)
def products_on_one_thread() -> Iterator[None]:
    """Threads of OpenBLAS do not outlast a fork within a product, and their number is part of what decides bits."""
    with single_threaded():
        yield


def model(way: bool) -> mc.Model:
    """Large enough for row tiles and for tiles of the vector of all parameters; with noise and statistics."""
    layers = [mc.Linear(20, 512), mc.BatchNorm(512), mc.ReLU(), mc.Dropout(0.1), mc.Linear(512, 512), mc.Tanh()]
    return mc.Model(mc.Sequential(*layers, mc.Linear(512, 3)), mc.SoftmaxCrossEntropy(), mc.Adam(0.01), compile=way)


def digest(trained: mc.Model) -> str:
    """Of all that training moves."""
    state = state_of(trained)
    return hashlib.sha256(b"".join(state[name].tobytes() for name in sorted(state))).hexdigest()


def fit(way: bool, epochs: int = EPOCHS, **words: Any) -> str:
    """Of a model after so many epochs of a full and a ragged batch."""
    trained = model(way)
    trained.fit(X, LABELS, epochs=epochs, batch_size=500, **words)
    assert trained.compiled.kind == ("C" if way else "NumPy calls"), trained.compiled
    return digest(trained)


ONE_CORE = """
import os
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
"""
FIT = f"from runpy import run_path; print(run_path({__file__!r})['fit'](True))"


@needs_compiler
def test_fits_with_any_number_of_threads_and_on_one_core_are_the_same() -> None:
    expected = fit(True)
    for threads in (1, 2, 4):
        assert output(start(FIT, MLPCORE_NUM_THREADS=str(threads))) == expected
    assert output(start(ONE_CORE + FIT, MLPCORE_NUM_THREADS="2")) == expected


@WAYS
def test_two_fits_at_once_are_those_of_one(way: bool) -> None:
    expected, found = fit(way), {}
    fits = [threading.Thread(target=lambda number=number: found.update({number: fit(way)})) for number in range(2)]
    for one in fits:
        one.start()
    for one in fits:
        one.join()
    assert found == {0: expected, 1: expected}


@WAYS
@needs_fork
def test_a_fit_goes_on_in_a_forked_process_while_another_runs(way: bool) -> None:
    whole, half = model(way), model(way)
    words = {"batch_size": 500}
    whole.fit(X, LABELS, epochs=4, **words)
    half.fit(X, LABELS, epochs=2, **words)
    over, began = threading.Event(), threading.Event()

    def rest() -> bool:
        half.fit(X, LABELS, epochs=2, **words)
        return digest(half) == digest(whole)

    def work() -> None:
        while not over.is_set():
            fit(way, 1)
            began.set()

    # Without tiles large products have OpenBLAS's own threads. A fork ends these, and a call in them waits for ever.
    with nullcontext() if way else single_threaded():
        other = threading.Thread(target=work)
        other.start()
        try:
            began.wait()
            for _ in range(3):
                assert holds_in_child(rest)
        finally:
            over.set()
            other.join()


KILLED = """
from runpy import run_path
run_path({file!r})["fit"]({way}, 10**6, checkpoint={path!r})
"""


@WAYS
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_process_killed_at_any_moment_is_resumed_to_the_same_bits(way: bool, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    process = start(KILLED.format(file=__file__, way=way, path=str(path)), OPENBLAS_NUM_THREADS="1")
    limit = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None and time.monotonic() < limit, process.communicate()
        time.sleep(0.01)
    time.sleep(0.2)  # into an epoch, or into the writing of the next checkpoint
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    done = int(load_file(path)["count"]) // 2  # epochs of two steps
    resumed = model(way)
    resumed.fit(X, LABELS, epochs=done + 2, batch_size=500, resume=path)
    assert digest(resumed) == fit(way, done + 2)
