"""The command line with real tables: texts, dates and gaps, any file, what is printed, and arguments that overrule."""

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from optional import optional

import mlpcore
from mlpcore.cli import main
from mlpcore.tabular.description import load_description

polars = optional("polars")

RNG = np.random.default_rng(0)
ROWS = 120
SIZES = RNG.normal(100, 20, ROWS).round(1)
TOWNS = RNG.choice(["Köln", "Bonn", ""], ROWS)
DAYS = np.datetime64("2023-01-01") + RNG.integers(0, 700, ROWS)
PRICES = (10 * SIZES + np.select([TOWNS == "Köln", TOWNS == "Bonn"], [500, 0], 250)).round(2)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Every test has a current directory with one ugly table."""
    monkeypatch.chdir(tmp_path)
    lines = ["# from the land registry", "id;größe;town;sold;empty;code;price"]
    for i in range(ROWS):
        day = str(DAYS[i].item().strftime("%d.%m.%Y"))
        size = "" if i % 10 == 3 else f"{SIZES[i]}".replace(".", ",")
        lines.append(
            f"{i + 1};{size};{TOWNS[i]};{day};;00{i % 7};{PRICES[i]}".replace(
                f"{PRICES[i]}", f"{PRICES[i]}".replace(".", ",")
            )
        )
    Path("houses.csv").write_text("\n".join(lines), encoding="latin-1")
    return tmp_path


def run(capsys, *words):
    """The exit code, the standard output and the standard error of a command."""
    code = main([str(word) for word in words])
    return (code, *capsys.readouterr())


def trained(capsys, *words, data="houses.csv", target="price", epochs=1):
    code, out, err = run(capsys, "train", data, "--target", target, "--epochs", epochs, "--learning-rate", 0.01, *words)
    assert code == 0, err
    return out, err


def predictions(out):
    return np.array([float(row[0]) for row in list(csv.reader(io.StringIO(out)))[1:]])


def test_what_is_understood_is_printed_and_learnt(capsys):
    out, err = trained(capsys, epochs=100)
    lines = [line.split(maxsplit=2) for line in out.splitlines()[2:8]]
    assert out.splitlines()[1].split() == ["column", "taken", "as", "because"]
    assert [line[:2] for line in lines[:4]] == [
        ["größe", "numeric"],
        ["town", "categorical"],
        ["sold", "date"],
        ["code", "categorical"],
    ]
    assert lines[0][2] == "numbers, 9.38 % missing, decimal commas" and lines[2][2] == "dates, %d.%m.%Y"
    assert [line[0] for line in lines[4:]] == ["id", "empty"]
    assert "mlpcore: warning: column 'id' is left out: the numbers of the rows" in err
    code, made, said = run(capsys, "predict", "houses.safetensors", "houses.csv")
    known = np.arange(ROWS) % 10 != 3
    assert code == 0 and np.std(predictions(made)[known] - PRICES[known]) < 0.2 * PRICES.std()
    assert f"over {ROWS} rows, in the units of 'price'" in said


def test_predictions_follow_the_columns_not_their_order(capsys):
    trained(capsys)
    before = run(capsys, "predict", "houses.safetensors", "houses.csv")[1]
    table = polars.DataFrame(
        {
            "other": RNG.normal(size=ROWS),
            "sold": DAYS,
            "town": [t or None for t in TOWNS],
            "größe": SIZES,
            "code": [f"00{i % 7}" for i in range(ROWS)],
        }
    ).with_columns(polars.when(polars.int_range(ROWS) % 10 != 3).then("größe"))
    for kind in ("parquet", "ipc", "ndjson", "csv"):
        getattr(table, f"write_{kind}")(f"new.{kind}")
        code, made, said = run(capsys, "predict", "houses.safetensors", f"new.{kind}")
        assert code == 0 and said == ""
        np.testing.assert_allclose(predictions(made), predictions(before), rtol=1e-6, err_msg=kind)


def test_batches_give_what_the_whole_gives(capsys, monkeypatch):
    trained(capsys)
    whole = run(capsys, "predict", "houses.safetensors", "houses.csv")
    monkeypatch.setattr("mlpcore.tabular.file_table.FileTable.batch_rows", 7)
    monkeypatch.setattr("mlpcore.cli.parts.MAPPED", 0)
    parts = run(capsys, "predict", "houses.safetensors", "houses.csv")
    np.testing.assert_allclose(predictions(parts[1]), predictions(whole[1]), rtol=1e-6)
    assert parts[0] == 0 and parts[2][:30] == whole[2][:30]
    trained(capsys, "--out", "parts.model")
    assert Path("parts.model").read_bytes() == Path("houses.safetensors").read_bytes()


def test_arguments_overrule_what_is_guessed(capsys):
    trained(capsys, "--types", "code=numeric,id=categorical", "--types", "sold=categorical", "--ignore", "empty,1")
    kinds = {column.name: column.kind for column in load_description("houses.safetensors").encoder.columns}
    assert kinds.pop("town") == kinds.pop("sold") == kinds.pop("id") == "categorical"
    assert kinds == {"größe": "left out", "empty": "left out", "code": "numeric"}
    Path("odd.csv").write_text("a|b,x|kind\n1.234|2|u\n5|6|v\n" * 1 + "1|2|u\n3|4|v\n" * 9)
    trained(
        capsys,
        "--separator",
        "|",
        "--decimal",
        ",",
        "--missing",
        "5,6",
        "--ignore",
        "b,x",
        data="odd.csv",
        target="kind",
    )
    description = load_description("odd.safetensors")
    assert description.encoder.kept == ("a",) and description.notations["a"].form == "decimal commas"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--types", "code=number"),
            "--types is 'code=number', expected NAME=KIND,... with a KIND of numeric, categorical, date",
        ),
        (("--types", "cod=numeric"), "there is no column 'cod'"),
        (("--ignore", "cod"), "there is no column 'cod'"),
        (("--types", "price=numeric"), "--group names the target 'price'"),
        (("--types", "town=numeric"), "column 'town' has"),
        (("--types", "town=date"), "cells that are no dates, such as"),
        (("--separator", "xx"), "separator is 'xx', expected one character"),
        (("--separator", ","), "expected"),
        (("--encoding", "ascii"), "no text in ascii"),
        (("--encoding", "none such"), "there is no such encoding"),
        (("--ignore", "id,größe,town,sold,empty,code"), "no column is left to learn from"),
    ],
)
def test_arguments_that_cannot_be(capsys, folder, words, said):
    code, _, err = run(capsys, "train", "houses.csv", "--target", "price", *words)
    assert code == 2 and said in err.splitlines()[-1]
    assert [file.name for file in folder.iterdir()] == ["houses.csv"]


def test_rows_of_another_kind_are_refused(capsys):
    trained(capsys)
    text = Path("houses.csv").read_text(encoding="latin-1")
    Path("bad.csv").write_text(text.replace(";Bonn;", ";Bonn;", 1).replace("\n2;", "\n2;many ", 1))
    code, out, err = run(capsys, "predict", "houses.safetensors", "bad.csv")
    assert (code, out) == (2, "") and "column 'größe' has 1 of 120 cells that are no numbers, such as 'many" in err
    Path("inf.csv").write_text(text.replace("\n2;", "\n2;inf;x;01.01.2024;;001;5\n0;", 1))
    code, out, err = run(capsys, "predict", "houses.safetensors", "inf.csv")
    assert (code, out) == (2, "") and "column 'größe' has infinite numbers in 1 of 121 rows, the first in row 1" in err


def test_levels_that_are_new_are_told_once(capsys, monkeypatch):
    trained(capsys)
    monkeypatch.setattr("mlpcore.tabular.file_table.FileTable.batch_rows", 40)
    text = Path("houses.csv").read_text(encoding="latin-1")
    Path("new.csv").write_text(text.replace(";Bonn;", ";Ulm;"))
    code, _, err = run(capsys, "predict", "houses.safetensors", "new.csv")
    assert code == 0 and err.count("levels that training has not seen, or hardly, are in column 'town'") == 1


def command(*words, stdin=None, **env):
    path = {"PYTHONPATH": str(Path(mlpcore.__file__).parents[1])}
    words = [sys.executable, "-m", "mlpcore", *words]
    return subprocess.run(words, input=stdin, capture_output=True, env=os.environ | path | env)


def lines(head, form, *labels, end="\n"):
    rows = (form.format(i / 2, i * 7 % 5, labels[i % 2]) for i in range(40))
    return end.join([*head, *rows, ""])


UGLY = {
    "blank first line": lines(["", "a;b;kind"], "{};{};{}", "u", "v").encode(),
    "UTF-16 from Excel": lines(["a\tb\tkind"], "{}\t{}\t{}", "ü", "v", end="\r\n").encode("utf-16"),
    "quotes after spaces": lines(['"a", "b", "kind"'], '{}, {}, "{}"', "low, dark", "high").encode(),
    "a header twice": lines(["b,b,kind,"], "{},{},{},", "u", "v").encode(),
}


@pytest.mark.parametrize("name", UGLY)
def test_ugly_files_from_the_standard_input(name):
    done = command("train", "-", "--target", "kind", "--epochs", "1", stdin=UGLY[name], PYTHONIOENCODING="utf-8")
    assert done.returncode == 0, done.stderr
    assert b"model: stdin.safetensors" in done.stdout and b"2 columns, classes" in done.stdout
    done = command("predict", "stdin.safetensors", "-", stdin=UGLY[name], PYTHONIOENCODING="utf-8")
    assert done.returncode == 0 and done.stderr.endswith(b"% of 40 rows\n".replace(b"\n", os.linesep.encode()))
    assert len(done.stdout.splitlines()) == 41


def test_without_polars_arrays_are_read_and_other_files_named(folder):
    np.savez("t.npz", x=SIZES[:, None] * [1, 2], y=PRICES)
    (folder / "polars.py").write_text("raise ImportError('not here')")
    (folder / "narwhals.py").write_text("raise ImportError('not here')")
    path = os.pathsep.join([str(folder), str(Path(mlpcore.__file__).parents[1])])
    done = command("train", "t.npz", "--epochs", "1", PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    done = command("predict", "t.safetensors", "t.npz", PYTHONPATH=path)
    assert done.returncode == 0 and len(done.stdout.splitlines()) == ROWS + 1
    done = command("train", "houses.csv", "--target", "price", PYTHONPATH=path)
    assert done.returncode == 2 and b"cannot be imported (not here); pip install 'mlpcore[tables]'" in done.stderr
