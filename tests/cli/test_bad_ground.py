"""The command line with bad ground: finite predictions or an error of one line, and never the word "nan"."""

import bad_tables
import numpy as np
import pytest
from bad_tables import AMOUNTS, LABELS, NORMAL, ROWS, SIZE
from optional import optional

optional("polars")
pandas = optional("pandas")

from mlpcore.cli import main  # noqa: E402

TOWN = np.random.default_rng(1).choice(["Rome", "Oslo"], ROWS)
TAKEN = ("constant at 1e300", "denormal", "at the end of the range", "one outlier", "with infinity", "missing")
TAKEN += ("missing but one", "huge", "a heavy tail")
COLUMNS = {name: bad_tables.NUMBERS[name] for name in TAKEN}
COLUMNS |= {"a level once": np.r_[["z"], TOWN[1:]], "each level once": np.arange(ROWS).astype(str)}
TRAIN = ["--target", "y", "--recipe", "mlp", "--hidden", "8", "--epochs", "2", "--no-baselines", "-o", "model"]


def run(capsys, *words):
    code = main([*map(str, words)])
    return (code, *capsys.readouterr())


def predicted_or_said(capsys, frame, *words):
    """Whether the table could be learnt; then it has finite predictions, else an error of one line."""
    frame.to_csv("table.csv", index=False)
    code, out, err = run(capsys, "train", "table.csv", *TRAIN, *words)
    assert "nan" not in out.lower()
    if code == 2:
        assert [line for line in err.splitlines() if line.startswith("mlpcore: error: ")] == [err.splitlines()[-1]]
        assert any(word in err for word in ("expected", "take ", "replace", "correct"))
        return False
    code, out, err = run(capsys, "predict", "model", "table.csv")
    assert code == 0, err
    columns = pandas.read_csv(pandas.io.common.StringIO(out)).select_dtypes("number")
    assert columns.shape[0] == ROWS or len(frame) < ROWS
    assert np.all(np.isfinite(columns.to_numpy()))
    return True


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("target", ["amounts", pytest.param("labels", marks=pytest.mark.long)])
@pytest.mark.parametrize(
    "column",
    [
        pytest.param(name, marks=() if name in {"with infinity", "one outlier"} else pytest.mark.long)
        for name in COLUMNS
    ],
)
def test_columns(column, target, capsys):
    y = {"amounts": AMOUNTS, "labels": LABELS}[target]
    frame = pandas.DataFrame({"size": SIZE, "town": TOWN, "column": COLUMNS[column], "y": y})
    assert predicted_or_said(capsys, frame) == (column != "with infinity")


@pytest.mark.parametrize(
    "target", [pytest.param(name, marks=() if name == "denormal" else pytest.mark.long) for name in COLUMNS]
)
def test_targets(target, capsys):
    frame = pandas.DataFrame({"size": SIZE, "town": TOWN, "column": NORMAL, "y": COLUMNS[target]})
    refused = {"constant at 1e300", "with infinity", "missing", "missing but one", "each level once"}
    assert predicted_or_said(capsys, frame) == (target not in refused) or target == "each level once"


@pytest.mark.parametrize("shares", [(), ("--validation", 0.6, "--test", 0.3)])
@pytest.mark.parametrize("rows", [1, 2, 3, 5, 8, 13])
@pytest.mark.long
def test_few_rows(rows, shares, capsys):
    for y in (AMOUNTS, LABELS):
        frame = pandas.DataFrame({"size": SIZE, "town": TOWN, "column": NORMAL, "y": y})[:rows]
        predicted_or_said(capsys, frame, *shares)


def test_shares_that_leave_nothing_to_train_with(capsys):
    frame = pandas.DataFrame({"size": SIZE, "column": NORMAL, "y": LABELS})[:5]
    frame.to_csv("table.csv", index=False)
    code, _, err = run(capsys, "train", "table.csv", *TRAIN, "--validation", 0.6, "--test", 0.3)
    assert code == 2 and "of 5 rows none is left to train with; take smaller shares" in err


def test_measures_that_are_not_defined_are_called_so(capsys):
    frame = pandas.DataFrame(
        {"size": SIZE, "column": NORMAL, "y": np.r_[AMOUNTS[:20], np.ones(20)], "day": range(ROWS)}
    )
    frame.to_csv("table.csv", index=False)
    words = ["--time", "day", "--test", 0.2]
    code, out, _ = run(capsys, "train", "table.csv", *TRAIN, *words)
    assert code == 0 and "test r2 not defined, root mean squared error" in out


def test_steps_that_are_not_finite(capsys):
    """The rate is too large: an error that says so, or epochs that are trained again."""
    pandas.DataFrame({"size": SIZE, "column": NORMAL, "y": AMOUNTS}).to_csv("table.csv", index=False)
    words = ["train", "table.csv", *TRAIN, "--learning-rate", "1e38"]
    code, _, err = run(capsys, *words)
    assert code == 2 and "became infinite" in err
    code, _, err = run(capsys, *words, "--on-nonfinite", "restore")
    assert code == 2 and "training went back to the beginning of an epoch 5 times" in err
    code, _, err = run(capsys, *words, "--on-nonfinite", "ignore")
    assert code == 2 and "argument --on-nonfinite: invalid choice: 'ignore'" in err
