"""Mutated files of every kind are read or refused, within bounds of time and memory: see `mutated_files`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from optional import optional

import mlpcore

HELPERS = Path(__file__).parents[1] / "helpers"
FEW = 60
MANY = {"models": 100_000, "checkpoints": 20_000, "tables": 20_000}
PARTS = 10
MOST_GROWTH = 300  # MB of a process that reads thousands of files, with the libraries that it loads


def check(first: int, last: int, *kinds: str) -> None:
    """In a process of its own, which may die."""
    for name in ("sklearn", "polars"):
        optional(name)
    path = os.pathsep.join([str(HELPERS), str(Path(mlpcore.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, HELPERS / "mutated_files.py", str(first), str(last), *kinds]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\nat file {done.stderr[-2000:]}"
    assert float(done.stdout.split()[-3]) < MOST_GROWTH, done.stdout


def test_some_mutated_files() -> None:
    check(0, FEW, *MANY)


@pytest.mark.long
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("kind", MANY)
def test_many_mutated_files(kind: str, part: int) -> None:
    size = MANY[kind] // PARTS
    check(part * size, (part + 1) * size, kind)
