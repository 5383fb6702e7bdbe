"""The command line as a user runs it, on five real tables of scikit-learn: train with a report, predict, read back."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from optional import optional

import mlpcore

polars, datasets = optional("polars"), optional("sklearn.datasets")
optional("matplotlib")
optional("pandas")

# Target, and the least accuracy or R2 on the test rows: a linear model reaches as much, a constant 0.1 to 0.6, or 0.
TABLES = {
    "iris": ("target", 0.8),
    "wine": ("target", 0.85),
    "breast_cancer": ("target", 0.9),
    "digits": ("target", 0.93),
    "diabetes": ("target", 0.25),
}


def command(*words: str) -> list[str]:
    """The lines that the command prints."""
    # The trees' threads wait for each other where other tests use the cores.
    path = {"PYTHONPATH": str(Path(mlpcore.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "mlpcore", *words], capture_output=True, text=True, env=os.environ | path
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.long
@pytest.mark.parametrize("name", TABLES)
def test_a_real_table(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    target, least = TABLES[name]
    frame = getattr(datasets, f"load_{name}")(as_frame=True)
    table = frame.frame
    if name != "diabetes":
        table[target] = [f"class {label}" for label in np.asarray(frame.target_names)[table[target]].tolist()]
    # As tables ship: an index without a name, gaps, and decimal commas.
    table.iloc[::13, 0] = np.nan
    table.to_csv("table.csv", sep=";", decimal=",")
    out = command(
        "train", "table.csv", "--target", target, "--test", "0.3", "--epochs", "64", "--report", "report.html"
    )
    (first,) = (line for line in out if line.startswith("  this network"))
    reached = float(first.split()[2])
    assert reached > least
    assert any(line.split()[:3] == ["column", "1", "left"] for line in out)  # the row numbers
    text = Path("report.html").read_text(encoding="utf-8")
    assert "Quality on the test rows" in text and f"{reached:.4f}" in text
    said = command("predict", "table.safetensors", "table.csv", "--keep", "0", "-o", "made.csv")
    assert said == []
    with open("made.csv", encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    assert [row[0] for row in rows] == [str(i) for i in range(len(table))]
    if name == "diabetes":
        assert head == ["column 1", "prediction"]
    else:
        shares = np.array([[float(cell) for cell in row[2:]] for row in rows])
        labels = [column.removeprefix("probability_") for column in head[2:]]
        assert sorted(labels) == sorted(set(table[target])) and np.allclose(shares.sum(axis=1), 1, atol=1e-5)
        assert [row[1] for row in rows] == [labels[i] for i in shares.argmax(axis=1)]
        assert np.mean(np.array([row[1] for row in rows]) == table[target].to_numpy()) > least
