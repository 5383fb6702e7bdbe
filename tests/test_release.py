"""What a release consists of: one version, jobs that the page lists, workflows that call the project's scripts."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import mlpcore

ROOT = Path(__file__).parent.parent
JOBS = sorted(path for path in (ROOT / "docs" / "jobs").iterdir() if path.suffix in (".py", ".ipynb"))
SCRIPTS = {path.name for path in (ROOT / ".ci").iterdir()}


def source_of(job: Path) -> str:
    """The program of a script or of a notebook's cells of code."""
    if job.suffix == ".py":
        return job.read_text(encoding="utf-8")
    cells = json.loads(job.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def test_the_version_is_written_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"] and "version" not in project["project"]
    assert project["tool"]["hatch"]["version"]["path"] == "mlpcore/__init__.py"
    assert f"\nversion: {mlpcore.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert (ROOT / "mlpcore" / "py.typed").exists()


def test_the_page_and_the_folder_have_the_same_jobs() -> None:
    linked = re.findall(
        r"^\| \[[^]]+\]\(jobs/([\w.]+)\)", (ROOT / "docs" / "jobs.md").read_text(encoding="utf-8"), re.M
    )
    assert sorted(linked) == [path.name for path in JOBS]
    assert len(JOBS) == 10


@pytest.mark.parametrize("job", JOBS, ids=lambda path: path.stem)
def test_a_job_ends_with_what_it_must_reach(job: Path) -> None:
    program = ast.parse(source_of(job))
    assert isinstance(program.body[-1], ast.Assert)
    assert len(source_of(job).splitlines()) <= 80
    imported = {name.name for node in ast.walk(program) if isinstance(node, ast.Import) for name in node.names}
    assert not imported & {"requests", "urllib", "urllib.request", "socket", "pickle"}


def test_a_saved_notebook_has_no_results() -> None:
    """So that what is read is what the run made, and versions of it can be compared."""
    for job in JOBS:
        if job.suffix == ".ipynb":
            cells = json.loads(job.read_text(encoding="utf-8"))["cells"]
            assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.stem)
def test_workflows_call_scripts_of_the_project(path: Path) -> None:
    commands = re.findall(r"^ +- run: (.+)$", path.read_text(), re.M)
    assert commands and {Path(command).name for command in commands} <= SCRIPTS
    for command in commands:
        assert os.name == "nt" or (ROOT / command).stat().st_mode & 0o111, f"{command} cannot be executed"


def test_the_workflow_tries_every_version_that_is_promised() -> None:
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    promised = [one.rpartition(" ")[2] for one in classifiers if re.search(r":: 3\.\d+$", one)]
    tried = re.search(r"python: (\[.*\])", (ROOT / ".github" / "workflows" / "tests.yml").read_text())
    assert tried and json.loads(tried[1]) == promised


def test_import_leaves_out_what_a_first_model_brings() -> None:
    """And all that is long to import: the compiler, the exporter, the network, the edges of the library."""
    program = "import sys, mlpcore; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    names = set(loaded.stdout.split())
    parts = {name.split(".")[1] for name in names if name.startswith("mlpcore.")}
    assert not parts & {"compiler", "onnx", "sklearn", "tabular", "cli", "bench", "plotting"}
    assert not names & {
        "socket",
        "subprocess",
        "asyncio",
        "multiprocessing",
        "http",
        "email",
        "unittest",
        "torch",
        "jax",
        "cupy",
    }
    assert not names & {"sklearn", "scipy", "pandas", "polars", "matplotlib", "onnx", "onnxruntime", "optuna", "mpi4py"}
