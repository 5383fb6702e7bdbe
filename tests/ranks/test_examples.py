"""The examples of docs/distributed.md: the program alone and as two ranks; the others as far as they can be tried."""

import subprocess
import sys
from pathlib import Path

import mpi_jobs
import numpy as np
import pytest
from optional import optional

import mlpcore as mc

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = DOCS / "examples"


@pytest.mark.parametrize("name", ["ranks.py", "slurm.sh"])
def test_the_page_shows_the_file(name: str) -> None:
    assert (EXAMPLES / name).read_text() in (DOCS / "distributed.md").read_text()


def test_two_ranks_train_as_one_process(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6000, 20)).astype("float32")
    labels = (x @ rng.normal(size=(20, 10))).argmax(axis=1)
    folders = [tmp_path / "alone", tmp_path / "ranks"]
    for folder in folders:
        folder.mkdir()
        np.save(folder / "x.npy", x)
        np.save(folder / "y.npy", labels)
    program = str(EXAMPLES / "ranks.py")
    alone = subprocess.run([sys.executable, program, folders[0], "numpy"], capture_output=True, text=True, check=True)
    command = [mpi_jobs.launcher(), "-n", "2", sys.executable, "-m", "mpi4py", program, folders[1], "numpy"]
    ranks = subprocess.run(command, capture_output=True, text=True, check=True, env=mpi_jobs.environment())
    assert ranks.stdout == alone.stdout and ranks.stdout.startswith("20 epochs, accuracy 0.")
    models = [mc.load(folder / "model.safetensors") for folder in folders]
    np.testing.assert_allclose(models[1].predict(x[:50]), models[0].predict(x[:50]), rtol=0, atol=1e-3)


def test_the_script_for_slurm_is_bash() -> None:
    subprocess.run(["bash", "-n", EXAMPLES / "slurm.sh"], check=True)


def test_the_jobs_for_kubernetes_run_the_program() -> None:
    """That they are YAML with a launcher and workers; no cluster has tried them."""
    yaml = optional("yaml")
    (job,) = yaml.safe_load_all((EXAMPLES / "mpijob.yaml").read_text())
    launcher, worker = (job["spec"]["mpiReplicaSpecs"][name] for name in ("Launcher", "Worker"))
    command = launcher["template"]["spec"]["containers"][0]["command"]
    assert int(command[2]) == job["spec"]["slotsPerWorker"] * worker["replicas"] and "/app/ranks.py" in command
    runtime, train = yaml.safe_load_all((EXAMPLES / "trainjob.yaml").read_text())
    assert train["spec"]["runtimeRef"]["name"] == runtime["metadata"]["name"]
    per_node, trainer = runtime["spec"]["mlPolicy"]["mpi"]["numProcPerNode"], train["spec"]["trainer"]
    assert int(trainer["command"][2]) == per_node * trainer["numNodes"] and "/app/ranks.py" in trainer["command"]
