"""What `mlpcore predict` writes beside predictions: columns to keep, as in the file; and Parquet, with types."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from optional import optional

from mlpcore.cli import main
from mlpcore.cli.predictions import Predicted, lines

polars = optional("polars")

ROWS = 60
RNG = np.random.default_rng(0)
SIZES = RNG.normal(size=ROWS).round(3)
HEAD = "id,day,size,kind,note,price"
LINES = [
    f'00{i},{i % 28 + 1:02}.03.2024,{SIZES[i]},{"ab"[i % 2]},"{"x, y" if i % 3 else ""}",{2 * SIZES[i]:.3f}'
    for i in range(ROWS)
]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, capsys):
    """The current directory has a table and two models of it."""
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("\n".join([HEAD, *LINES]))
    for target in ("kind", "price"):
        words = ["--target", target, "--epochs", "1", "--recipe", "mlp", "--no-baselines", "--ignore", "note,id"]
        assert main(["train", "t.csv", *words, "-o", f"{target}.model"]) == 0
    capsys.readouterr()
    return tmp_path


def predicted(capsys, *words):
    code = main(["predict", *words])
    out, err = capsys.readouterr()
    assert code == 0, err
    return list(csv.reader(io.StringIO(out)))


@pytest.mark.parametrize("batch_rows", [7, 1000])
@pytest.mark.parametrize("target", ["kind", "price"])
def test_kept_columns_are_as_in_the_file(target, batch_rows, capsys, monkeypatch):
    monkeypatch.setattr("mlpcore.tabular.file_table.FileTable.batch_rows", batch_rows)
    plain = predicted(capsys, f"{target}.model", "t.csv")
    rows = predicted(capsys, f"{target}.model", "t.csv", "--keep", "note,id", "--keep", "1")
    assert rows[0] == ["note", "id", "day", *plain[0]]
    cells = list(csv.reader(LINES))
    for row, cell, alone in zip(rows[1:], cells, plain[1:], strict=True):
        assert row == [cell[4], cell[0], cell[1], *alone]


@pytest.mark.parametrize("batch_rows", [7, 1000])
def test_parquet_has_types(batch_rows, capsys, monkeypatch):
    monkeypatch.setattr("mlpcore.tabular.file_table.FileTable.batch_rows", batch_rows)
    for target in ("kind", "price"):
        plain = predicted(capsys, f"{target}.model", "t.csv")
        assert predicted(capsys, f"{target}.model", "t.csv", "-o", "out.parquet", "--keep", "id,day,size,note") == []
        found = polars.read_parquet("out.parquet")
        assert found.columns == ["id", "day", "size", "note", *plain[0]]
        assert found["id"].to_list() == [f"00{i}" for i in range(ROWS)]  # with leading zeros it is a text
        assert found["day"].to_list()[3].isoformat().startswith("2024-03-04")
        assert found["size"].to_list() == SIZES.tolist()
        for i, name in enumerate(plain[0]):
            assert [
                str(np.float32(x)) if isinstance(x, float) and target == "kind" else str(x) for x in found[name]
            ] == [row[i] for row in plain[1:]]


def test_archives_keep_columns_too(capsys):
    np.savez("t.npz", x=RNG.normal(size=(40, 2)), y=np.arange(40) % 2)
    assert main(["train", "t.npz", "--epochs", "1", "--recipe", "mlp", "--no-baselines"]) == 0
    capsys.readouterr()
    assert predicted(capsys, "t.safetensors", "t.npz", "--keep", "x[1]", "-o", "o.PARQUET") == []
    found = polars.read_parquet("o.PARQUET")
    assert found.columns == ["x[1]", "prediction", "probability_0", "probability_1"]
    assert found["x[1]"].to_list() == np.load("t.npz")["x"][:, 1].tolist()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--keep", "nothing"), "there is no column 'nothing'"),
        (("--keep", "id,id"), "--keep names 'id', 'id', which would be there twice"),
    ],
)
def test_what_cannot_be_kept(words, said, capsys):
    assert main(["predict", "kind.model", "t.csv", *words]) == 2
    printed = capsys.readouterr()
    assert said in printed.err and printed.out == ""
    renamed = Path("t.csv").read_text().replace("note", "probability_a", 1)
    Path("r.csv").write_text(renamed)
    assert main(["predict", "kind.model", "r.csv", "--keep", "probability_a"]) == 2
    assert "rename the column in the data" in capsys.readouterr().err


def test_texts_with_line_breaks_come_back():
    kept = {"note": ["a\rb", "c\nd", 'e"f', None]}
    text = "".join(lines((), [Predicted(kept, np.zeros((4, 1)))]))
    assert list(csv.reader(io.StringIO(text, newline="")))[1:] == [
        [note or "", "0.0"] for note in ("a\rb", "c\nd", 'e"f', None)
    ]
