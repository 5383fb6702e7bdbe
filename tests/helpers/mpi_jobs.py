"""Jobs of several processes under MPI. As a program: `python -m mpi4py mpi_jobs.py NAME FOLDER ARGUMENTS...`."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optional import optional

HERE = Path(__file__).parent
# Ranks that are more than the cores would otherwise spin while they wait for one that has none.
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, sys.path)])}


def launcher() -> str:
    """The path of mpiexec beside this Python; a skip where mpi4py or an MPI is missing."""
    optional("mpi4py")
    found = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if found is None:
        pytest.skip("no mpiexec: pip install '.[test]'")
    return found


def environment() -> dict[str, str]:
    """The environment of a job, whose ranks divide the cores by themselves."""
    return {name: value for name, value in os.environ.items() if name != "MLPCORE_NUM_THREADS"} | ENVIRONMENT


def start(size: int, *arguments: object, module: tuple[str, ...] = ("-m", "mpi4py")) -> subprocess.Popen[str]:
    """A job of so many ranks, each of which runs this file with the arguments."""
    command = [launcher(), "-n", str(size), sys.executable, *module, __file__, *map(str, arguments)]
    return subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(size: int, *arguments: object, seconds: float = 300, **words: Any) -> tuple[int, str]:
    """The exit status of a job, and what it wrote to standard error."""
    job = start(size, *arguments, **words)
    try:
        _, errors = job.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        job.kill()
        job.communicate()
        raise
    return job.returncode, errors


def fits(folder: Path, backend: str, *names: str) -> None:
    """Make the fits of these cases on the backend, and write parameters and history of this rank to the folder."""
    from rank_fits import CASES, fitted

    for name in names:
        model, history = fitted(
            CASES[name], "auto", epochs=34, backend=backend, compile=False if backend == "numpy" else "auto"
        )
        ranks = model.trainer.communicator
        rows = [{key: value for key, value in row.items() if key != "rows_per_second"} for row in history.rows]
        np.save(folder / f"{name}.{ranks.rank}.npy", model.backend.to_numpy(model.trainer.state.params))
        (folder / f"{name}.{ranks.rank}.json").write_text(json.dumps([rows, history.stopped]))
        (folder / f"sums.{ranks.rank}").write_text(type(getattr(ranks, "sums", None)).__name__)
        (folder / f"threads.{ranks.rank}").write_text(os.environ.get("MLPCORE_NUM_THREADS", ""))


def long_fit(folder: Path, epochs: str, pause: str) -> None:
    """A fit with a checkpoint, from which it resumes, and ``pause`` seconds after each epoch. Writes its number."""

    class Pause:
        def on_epoch_end(self, report: Any) -> None:
            time.sleep(float(pause))

    model = _long_model("auto")
    rank, path = model.trainer.communicator.rank, folder / "run"
    (folder / f"process.{rank}").write_text(str(os.getpid()))
    history = _fit_long(model, int(epochs), checkpoint=path, resume=path, callbacks=[Pause()])
    np.save(folder / f"params.{rank}.npy", np.asarray(model.trainer.state.params))
    (folder / f"losses.{rank}.json").write_text(json.dumps(history["val_loss"]))


def long_fit_alone(epochs: int) -> tuple[np.ndarray, Any]:
    """The parameters and the history of the same fit in one process without an interruption."""
    model = _long_model(None)
    history = _fit_long(model, epochs)
    return np.asarray(model.trainer.state.params), history


def _long_model(distributed: str | None) -> Any:
    from rank_fits import net

    import mlpcore as mc

    words = {"dtype": "float64", "ema": 0.9, "compile": False}
    network = net(mc.Dropout(0.2), outputs=3)
    return mc.Model(network, mc.SoftmaxCrossEntropy(), **words, distributed=distributed)


def _fit_long(model: Any, epochs: int, **words: Any) -> Any:
    from rank_fits import LABELS, X

    return model.fit(X, LABELS, epochs=epochs, batch_size=20, validation_data=(X, LABELS), **words)


def wait_for(files: list[Path], seconds: float = 60) -> None:
    """Wait until the files are there and not empty."""
    limit = time.monotonic() + seconds
    while not all(file.exists() and file.stat().st_size for file in files):
        assert time.monotonic() < limit, "the job did not start"
        time.sleep(0.01)


def epochs_of(checkpoint: Path) -> int:
    """The number of epochs in a checkpoint, which must be whole; 0 where there is none."""
    from mlpcore.files.tensors import read

    return len(read(checkpoint, "checkpoint")[0]["history"]) if checkpoint.exists() else 0


def failing(folder: Path, where: str) -> None:
    """An error on rank 1: in the program, or in a step, or a signal, or its program ends before the fit.

    "group" is an error in the program, with a communicator of the program's own.
    """
    from rank_fits import LABELS, X, net

    import mlpcore as mc

    ranks = mc.distributed.MPI() if where == "group" else "auto"
    model = mc.Model(net(outputs=3), mc.SoftmaxCrossEntropy(), distributed=ranks)
    if model.trainer.communicator.rank == 1:
        if where == "end":
            return
        if where in ("program", "group"):
            raise RuntimeError("no such file")
        if where == "signal":
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGKILL)).start()
        if where == "step":
            model.trainer.run.gradient = lambda *_: [].pop()
    model.fit(X, LABELS, epochs=100_000 if where == "signal" else 3)


def _size() -> int:
    """The number of processes that train a new model."""
    import mlpcore as mc

    return mc.Model(mc.Linear(1, 1), mc.SquaredError()).trainer.communicator.size


def workers(folder: Path) -> None:
    """Write the number of processes that train a model of a worker of this rank, and of the rank itself."""
    own = _size()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        of_worker = pool.apply(_size)
    (folder / f"worker.{os.environ['PMI_RANK']}").write_text(f"{of_worker} {own}")


if __name__ == "__main__":
    name, folder, *arguments = sys.argv[1:]
    globals()[name](Path(folder), *arguments)
