"""Which rows are held out: the latest, whole groups, those of a file; laws over shares and seeds."""

import warnings

import numpy as np
import pytest
from optional import optional

from mlpcore.cli import main
from mlpcore.cli.splits import split_rows
from mlpcore.errors import DataError, MlpcoreWarning
from mlpcore.loading import load
from mlpcore.tables import Table
from mlpcore.tabular.description import load_description
from mlpcore.tabular.target import Target

RNG = np.random.default_rng(0)
ROWS = 200
DAYS = np.datetime64("2024-01-01") + RNG.integers(0, 60, ROWS)
OWNERS = RNG.choice(["a", "b", "c", "d", "e", "f", "g"], ROWS)
Y = RNG.normal(size=ROWS)
TABLE = Table("t", {"day": DAYS, "owner": OWNERS, "size": np.arange(ROWS) // 3, "y": Y})
TARGET = Target("y")


def checked(shares=(0.1, 0.2), seed=0, y=Y, table=TABLE, **words):
    """The rows by purpose; all of those that have a target once."""
    rows = split_rows(table, TARGET, y, shares, seed, **words)
    np.testing.assert_array_equal(np.sort(np.concatenate(rows[1:])), np.flatnonzero(~np.isnan(y)))
    assert all(np.all(np.diff(part) > 0) for part in rows[1:])
    return rows


@pytest.mark.parametrize("shares", [(0.1, 0.2), (0.3, 0.0), (0.0, 0.4), (0.0, 0.0)])
@pytest.mark.parametrize("words", [{}, {"time": "day"}, {"time": "size"}, {"group": "owner"}])
def test_shares(shares, words):
    rows = checked(shares, **words)
    slack = 0.5 if not words else 30 if "group" in words else 8  # a group, a day
    for part, share in zip(rows[2:], shares, strict=True):
        assert abs(len(part) - share * ROWS) <= slack and (len(part) > 0) == (share > 0)


@pytest.mark.parametrize("column", ["day", "size"])
def test_later_rows_are_held_out(column):
    rows = checked(time=column)
    times = TABLE.columns[column]
    assert times[rows.train].max() < times[rows.validation].min()
    assert times[rows.validation].max() < times[rows.test].min()


def test_rows_without_a_time_are_trained():
    day = DAYS.astype("datetime64[us]")
    day[[3, 50]] = "NaT"
    with pytest.warns(MlpcoreWarning, match="2 of 200 rows have no 'day' and are used to train"):
        rows = checked(table=Table("t", {"day": day}), time="day")
    assert {3, 50} <= set(rows.train.tolist())


@pytest.mark.parametrize("seed", range(5))
def test_groups_stay_together(seed):
    owners = np.where(RNG.random(ROWS) < 0.1, "", OWNERS)
    rows = checked(table=Table("t", {"owner": owners}), group="owner", seed=seed)
    parts = [set(owners[part].tolist()) for part in rows[1:]]
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])


def test_seeds_draw_other_rows():
    for words in ({}, {"group": "owner"}):
        assert len({tuple(checked(seed=seed, **words).test) for seed in range(6)}) > 2


def test_rows_without_a_target():
    with pytest.warns(MlpcoreWarning, match="50 of 200 rows have no 'y' and are left out"):
        checked(y=np.where(np.arange(ROWS) % 4 == 1, np.nan, Y))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"time": "owner"}, "--time names 'owner', a column of texts; expected dates or numbers"),
        ({"time": "same"}, "--time names 'same', which has too few different values"),
        ({"group": "same"}, "--group names 'same', which has too few groups"),
        ({"group": "two"}, "--group names 'two', which has too few groups"),
    ],
)
def test_columns_that_hold_nothing_out(words, said):
    table = Table("t", TABLE.columns | {"same": np.ones(ROWS), "two": np.arange(ROWS) % 2})
    with pytest.raises(DataError, match=said), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        split_rows(table, TARGET, Y, (0.1, 0.1), 0, **words)


def write(path, rows):
    lines = [f"{DAYS[i]},{OWNERS[i]},{RNG.normal():.3f},{'high' if Y[i] > 0 else 'low'}" for i in rows]
    path.write_text("\n".join(["day,owner,size,kind", *lines]))


def test_the_command_holds_rows_out(tmp_path, monkeypatch, capsys):
    optional("polars")
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "t.csv", range(120))
    write(tmp_path / "later.csv", range(150, 200))
    words = ["train", "t.csv", "--target", "kind", "--epochs", "1", "--recipe", "mlp", "--no-baselines"]
    assert main([*words, "--test", "later.csv"]) == 0
    out = capsys.readouterr().out
    assert "108 rows to train, 12 rows to validate, 50 rows to test" in out
    assert main(["predict", "t.safetensors", "later.csv"]) == 0
    score = capsys.readouterr().err.strip()
    assert score.endswith("of 50 rows") and f"test {score}" in out
    assert main([*words, "--group", "owner"]) == 0
    assert "owner" not in load_description("t.safetensors").encoder.kept
    assert main([*words, "--time", "day"]) == 0
    assert "day" in load_description("t.safetensors").encoder.kept
    (tmp_path / "none.csv").write_text("day,owner,size\n2024-01-01,a,1\n")
    assert main([*words, "--test", "none.csv"]) == 2
    assert "none.csv: there is no column 'kind', expected the target there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "layer", "rate"),
    [
        (["--recipe", "mlp", "--learning-rate", "0.5"], "SiLU", "(0.5, 2)"),
        (["--recipe", "realmlp-s", "--learning-rate", "0.5"], "NTKLinear", "(0.5, 2)"),
        (["--recipe", "tabm", "--hidden", "4"], "Members", ""),
        ([], "Parametric", ""),
    ],
)
def test_recipes(words, layer, rate, tmp_path, monkeypatch, capsys):
    optional("polars")
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "t.csv", range(60))
    assert main(["train", "t.csv", "--target", "kind", "--epochs", "2", "--no-baselines", *words]) == 0
    assert f"recipe {words[1] if words else 'realmlp'}: " in capsys.readouterr().out
    model = load("t.safetensors")
    assert layer in repr(model.net) and rate in repr(model.optimizer)


def test_the_time_limit_ends_training(tmp_path, monkeypatch, capsys):
    optional("polars")
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "t.csv", range(60))
    assert main(["train", "t.csv", "--target", "kind", "--time-limit", "0.000001", "--no-baselines"]) == 0
    printed = capsys.readouterr()
    assert "stopped: the time is over" in printed.out and printed.err.count("epoch ") == 1
