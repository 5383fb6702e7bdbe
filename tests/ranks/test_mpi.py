"""Ranks that are processes under mpiexec: what threads have shown elsewhere, with the messages of a real MPI."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mpi_jobs
import numpy as np
import pytest
from rank_fits import CASES, fitted

KILLS = int(os.environ.get("MLPCORE_TEST_KILLS", "3"))
NAMES = ["weights", "dropout", "few rows", "validation", "early stopping", "plateau", "average", "entry weights"]


@pytest.mark.parametrize("size", [2, 3, pytest.param(4, marks=pytest.mark.long)])
def test_ranks_equal_one_process_after_200_steps(size: int, tmp_path: Path) -> None:
    status, errors = mpi_jobs.run(size, "fits", tmp_path, "numpy", *NAMES)
    assert status == 0, errors
    for name in NAMES:
        model, history = fitted(CASES[name], None, epochs=34)
        vectors = [np.load(tmp_path / f"{name}.{rank}.npy") for rank in range(size)]
        for vector in vectors[1:]:
            np.testing.assert_array_equal(vector, vectors[0])
        np.testing.assert_allclose(vectors[0], np.asarray(model.trainer.state.params), rtol=0, atol=1e-12)
        texts = {(tmp_path / f"{name}.{rank}.json").read_text() for rank in range(size)}
        assert len(texts) == 1
        rows, stopped = json.loads(texts.pop())
        assert stopped == history.stopped and len(rows) == len(history)
        np.testing.assert_allclose([row["loss"] for row in rows], history["loss"], rtol=1e-11)


def test_ranks_divide_the_cores(tmp_path: Path) -> None:
    from mlpcore.compiler import pool

    assert mpi_jobs.run(2, "fits", tmp_path, "numpy", "few rows")[0] == 0
    threads = [int((tmp_path / f"threads.{rank}").read_text()) for rank in range(2)]
    assert threads == [max(1, pool.threads() // 2)] * 2


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("program", "mlpcore: rank 1 ended with RuntimeError; the job ends"),
        ("group", "mlpcore: rank 1 ended with RuntimeError; the job ends"),
        ("step", "mlpcore: rank 1: IndexError"),
        ("end", "mlpcore: rank 2 waits in fit, but the program of rank 1 has ended"),
    ],
)
def test_an_error_of_one_rank_ends_the_job(where: str, message: str, tmp_path: Path) -> None:
    """Also without `-m mpi4py`, where Python itself would let the others wait for ever."""
    began = time.monotonic()
    status, errors = mpi_jobs.run(3, "failing", tmp_path, where, module=(), seconds=60)
    assert status != 0 and errors.count(message) == 1, errors
    assert time.monotonic() - began < 20


def test_workers_that_a_rank_starts_train_alone(tmp_path: Path) -> None:
    status, errors = mpi_jobs.run(2, "workers", tmp_path, seconds=60)
    assert status == 0, errors
    assert [(tmp_path / f"worker.{rank}").read_text() for rank in range(2)] == ["1 2"] * 2


def test_a_launcher_of_another_mpi_is_named() -> None:
    """Each of its processes would train alone, and write to the same files."""
    mpi_jobs.launcher()
    names = {name: value for name, value in mpi_jobs.environment().items() if not name.startswith(("PMI", "OMPI"))}
    program = "import mlpcore as mc; mc.Model(mc.Linear(2, 1), mc.SquaredError())"
    alone = subprocess.run(
        [sys.executable, "-c", program], env=names | {"OMPI_COMM_WORLD_SIZE": "2"}, capture_output=True, text=True
    )
    assert alone.returncode != 0 and "it belongs to another MPI than the launcher" in alone.stderr


def test_a_killed_rank_ends_the_job(tmp_path: Path) -> None:
    began = time.monotonic()
    status, _ = mpi_jobs.run(3, "failing", tmp_path, "signal", seconds=60)
    assert status == 9
    assert time.monotonic() - began < 20


@pytest.mark.long
@pytest.mark.parametrize("number", range(KILLS))
def test_a_job_resumes_after_a_kill_with_another_number_of_ranks(number: int, tmp_path: Path) -> None:
    """The job ends within 10 s of the kill, its last checkpoint is whole, and nothing of it is lost."""
    rng = np.random.default_rng(number)
    size, resumed = rng.choice([1, 2, 3], 2, replace=False) + rng.integers(2)
    job = mpi_jobs.start(int(size), "long_fit", tmp_path, 40, 0.05)
    processes = [tmp_path / f"process.{rank}" for rank in range(size)]
    try:
        mpi_jobs.wait_for(processes)
        time.sleep(rng.uniform(0, 1.5))
        os.kill(int(processes[rng.integers(size)].read_text()), signal.SIGKILL)
        killed = time.monotonic()
        job.communicate(timeout=30)
        assert time.monotonic() - killed < 10
    finally:
        job.kill()
    done = mpi_jobs.epochs_of(tmp_path / "run")
    status, errors = mpi_jobs.run(int(resumed), "long_fit", tmp_path, 40, 0)
    assert status == 0, errors
    losses = json.loads((tmp_path / "losses.0.json").read_text())
    assert done < 40 == len(losses)
    expected, history = mpi_jobs.long_fit_alone(40)
    np.testing.assert_allclose(losses, history["val_loss"], rtol=1e-11)
    for rank in range(resumed):
        np.testing.assert_allclose(np.load(tmp_path / f"params.{rank}.npy"), expected, rtol=0, atol=1e-12)
