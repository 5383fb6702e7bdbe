"""A text that is larger than the memory that its training takes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from optional import optional

import mlpcore

ROWS, COLUMNS = 400_000, 40
GROWTH = 250  # MB beyond what a process takes that trains on a small table

PROGRAM = """
import sys, threading, time
from mlpcore.cli import main

peak, done = 0, threading.Event()

def watch():
    global peak
    while not done.wait(0.005):
        with open("/proc/self/status") as file:
            peak = max(peak, next(int(line.split()[1]) for line in file if line.startswith("RssAnon")))

thread = threading.Thread(target=watch)
thread.start()
code = main(["train", sys.argv[1], "--target", "y", "--epochs", "1", "--hidden", "8", "--out", "m.model"])
code = code or main(["predict", "m.model", sys.argv[1], "--out", "made.csv"])
done.set()
thread.join()
print("peak", peak // 1024)
sys.exit(code)
"""


def peak_of(folder: Path, data: str) -> int:
    """The largest private memory of a process that trains and predicts, in MB."""
    path = {"PYTHONPATH": str(Path(mlpcore.__file__).parents[1])}
    words = [sys.executable, "-c", PROGRAM, data]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, env=os.environ | path)
    assert done.returncode == 0, done.stderr
    return int(re.search(r"peak (\d+)", done.stdout)[1])


@pytest.mark.long
@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="no /proc here, where the memory of a process is read"
)
@pytest.mark.parametrize("quoted", [False, True])
def test_the_memory_does_not_grow_like_the_file(tmp_path, quoted):
    optional("polars")
    rng, mark = np.random.default_rng(0), '"' * quoted
    names = ",".join([*(f"c{i}" for i in range(COLUMNS)), "town", "y"])
    for name, rows in (("small.csv", 2000), ("large.csv", ROWS)):
        with open(tmp_path / name, "w") as file:
            file.write(f"{names}\n")
            for _ in range(rows // 2000):
                numbers = rng.normal(size=(2000, COLUMNS))
                for row in numbers:
                    cells = ",".join(f"{value:.6f}" for value in row)
                    file.write(f"{cells},{mark}town {int(row[0] * 9) % 50}{mark},{row[0] + row[1]:.5f}\n")
    size = os.path.getsize(tmp_path / "large.csv") / 2**20
    small, large = peak_of(tmp_path, "small.csv"), peak_of(tmp_path, "large.csv")
    assert size > 140 and large - small < GROWTH, (size, small, large)
    with open(tmp_path / "made.csv") as file:
        assert sum(1 for _ in file) == ROWS + 1
