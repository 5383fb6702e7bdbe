"""Labels and amounts of a table: texts stand as they are, and rows are predicted whether or not there are answers."""

import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optional import optional

from mlpcore.cli import main
from mlpcore.errors import DataError
from mlpcore.layers import Linear
from mlpcore.loading import load
from mlpcore.losses import SoftmaxCrossEntropy
from mlpcore.model import Model
from mlpcore.tables import Table
from mlpcore.tabular import read_table
from mlpcore.tabular.cells import EMPTY, MISSING
from mlpcore.tabular.description import load_description
from mlpcore.tabular.target import class_numbers, labels_of, understand_target

optional("polars")
ROWS = 40


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Every test has an empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name, target, rows=ROWS, **columns):
    """A CSV file with the features a and b, and the target, whose values are repeated."""
    columns = {"a": range(rows), "b": [i * 7 % 5 for i in range(rows)], "target": target, **columns}
    with open(name, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([[cells[i % len(cells)] for cells in columns.values()] for i in range(rows)])
    return name


def run(capsys, *words):
    """The exit code, the standard output and the standard error of a command."""
    code = main([str(word) for word in words])
    return (code, *capsys.readouterr())


def trained(capsys, *words, name="t.csv"):
    code, out, err = run(capsys, "train", name, "--target", "target", "--epochs", 1, *words)
    assert code == 0, err
    return out


def predicted(capsys, name="new.csv"):
    """The first column of what is predicted, and what is said of it."""
    code, out, err = run(capsys, "predict", "t.safetensors", name)
    assert code == 0, err
    assert err.count("\n") <= 1
    return [row[0] for row in csv.reader(io.StringIO(out, newline=""))][1:], err


@pytest.mark.parametrize(
    "labels",
    [
        ["007", "7", "07"],
        ["12345678901234567890", "12345678901234567891", "0"],
        ["9007199254740993", "9007199254740992"],
        ["1E2", "100", "1e2"],
        ["1", "1.0", "+1"],
        ["0", "-0", "00"],
        ["1_0", "10"],
        ["yes", "YES", "Yes"],
        ["?", "none", "x"],
        ["é", "e\u0301", "漢字"],
    ],
)
def test_texts_that_differ_are_different_labels(capsys, labels):
    write("t.csv", labels)
    trained(capsys)
    assert set(load_description("t.safetensors").target.labels) == set(labels)
    found, said = predicted(capsys, "t.csv")
    assert set(found) <= set(labels)
    right = sum(label == labels[i % len(labels)] for i, label in enumerate(found))
    assert said == f"accuracy {100 * right / ROWS:.2f} % of {ROWS} rows\n"


LABELS = st.text(st.sampled_from("0123456789.eE+-_ax é"), min_size=1, max_size=5).map(str.strip)


@given(st.lists(LABELS.filter(lambda text: text.lower() not in MISSING), min_size=1, max_size=20))
def test_every_label_is_found_again_and_only_itself(labels):
    column = np.array([*labels, "x"])
    table = Table("t.csv", {"kind": column})
    classes = labels_of(table, "kind", None)
    assert len(classes) == len(set(column)) and all(type(label) is str for label in classes)
    assert [classes[int(i)] for i in class_numbers(table, "kind", classes)] == list(column)


def test_whole_numbers_with_leading_zeros_are_no_amounts():
    def guess(*cells):
        return understand_target(read_table(write("t.csv", cells, 100)), "target")

    target, why = guess(*(f"{i:03}" for i in range(50)))
    assert target.labels[7] == "007" and why == "because the target is text"
    assert guess(*map(str, range(50)))[0].labels == ()
    assert guess(*(f"{i / 2:04.1f}" for i in range(50)))[0].labels == ()


def test_numerals_are_in_the_order_of_their_values():
    column = np.array(["10", "9", "none", "-1", "A", "1e1", "2.5", "?"])
    assert labels_of(Table("t.csv", {"k": column}), "k", None) == ("-1", "2.5", "9", "10", "1e1", "?", "A", "none")


@pytest.mark.parametrize("there", [["1"], ["2", "A"], ["1", "2"]])
def test_a_table_with_some_of_the_labels_is_scored(capsys, there):
    write("t.csv", ["1", "2", "A"])
    write("new.csv", there, 10)
    trained(capsys)
    assert predicted(capsys)[1].endswith("% of 10 rows\n")


@pytest.mark.parametrize("wrong", ["", "1.5", "3", "inf"])
def test_labels_of_an_archive_are_whole_numbers(capsys, folder, wrong):
    x = np.arange(2.0 * ROWS).reshape(ROWS, 2)
    large = np.array([2**63, 2**63 + 1, 7], dtype=np.uint64)[np.arange(ROWS) % 3]
    np.savez("t.npz", x=x, y=large)
    assert run(capsys, "train", "t.npz", "--epochs", 1)[0] == 0
    assert load_description("t.safetensors").target.labels == (7, 2**63, 2**63 + 1)
    assert predicted(capsys, "t.npz")[1].endswith(f"% of {ROWS} rows\n")
    # The same labels as texts, those of a CSV file, are the same labels; others are not.
    texts = [str(label) for label in large.tolist()]
    if wrong:
        texts[3] = wrong
    with open("new.csv", "w") as file:
        file.writelines(["a,b,y\n", *(f"{i},1,{text}\n" for i, text in enumerate(texts))])
    assert predicted(capsys)[1].startswith("no score: " if wrong else "accuracy ")


def test_labels_of_a_csv_file_are_those_of_an_archive(capsys):
    write("t.csv", ["0", "1", "007"])
    trained(capsys)
    x = np.ones((4, 2))
    for y, said in (
        (np.array([0, 1, 0, 1]), "accuracy"),
        (np.array([0.0, 1, 0, 1]), "accuracy"),
        (np.array([False, True, False, True]), "accuracy"),
        (np.array(["0", "1", "007", "0"]), "accuracy"),
        (np.array([0, 7, 0, 0]), "no score"),
        (np.array([0.5, 1, 0, 1]), "no score"),
    ):
        np.savez("new.npz", x=x, target=y)
        assert predicted(capsys, "new.npz")[1].startswith(said), y


def test_a_model_file_with_whole_numbers_as_labels(capsys):
    """As files of earlier days have them, from tables with numerals; and with spaces in the names of columns."""
    write("t.csv", ["1", "2", "3"])
    model = Model(Linear(2, 3), SoftmaxCrossEntropy())
    words = {"named": True, "classes": [1, 2, 3], "columns": ["a", " b"], "target": " target"}
    tensors = {"columns.mean": np.array([3.0, 1.0]), "columns.scale": np.array([2.0, 5.0])}
    model.save("t.safetensors", extra={"table": words}, extra_tensors=tensors)
    write("new.csv", ["1", "2.0", "003", "2"], 8)
    x = (np.array([[i, i * 7 % 5] for i in range(8)]) - tensors["columns.mean"]) / tensors["columns.scale"]
    _, out, _ = run(capsys, "predict", "t.safetensors", "new.csv")
    probabilities = np.array([row.split(",")[1:] for row in out.splitlines()[1:]], dtype="float32")
    np.testing.assert_array_equal(probabilities, model.predict(x))
    found, said = predicted(capsys)
    assert set(found) <= {"1", "2", "3"} and said.endswith("% of 8 rows\n")
    assert predicted(capsys, write("new.csv", ["1", "4"], 8))[1].startswith("no score: new.csv: 'target' holds")
    code, out, err = run(capsys, "predict", "t.safetensors", write("new.csv", ["1"], 8, b=["1", ""]))
    assert (code, out) == (2, "") and "'b' has missing values in 4 of 8 rows, and the model takes none" in err


@pytest.mark.parametrize(
    ("task", "target", "said"),
    [
        ("classification", [""], "no score: new.csv: no row has a 'target'"),
        ("classification", ["u", "NA"], "% of 5 rows"),
        ("classification", ["u", "?"], "% of 5 rows"),
        ("classification", ["u", "w"], "no score: new.csv: 'target' holds the unknown label 'w'"),
        ("regression", [""], "no score: new.csv: no row has a 'target'"),
        ("regression", [1, ""], "over 5 rows"),
        ("regression", [1, "1,5"], "over 10 rows"),
        (
            "regression",
            [1, "x"],
            "no score: new.csv: column 'target' has 5 of 10 cells that are no numbers, such as 'x'",
        ),
        ("regression", [1, "inf"], "no score: new.csv: the target 'target' is infinite in 5 of 10 rows, the first in"),
    ],
)
@pytest.mark.parametrize("out", [(), ("--out", "made.csv")])
def test_rows_are_predicted_without_answers_to_score_them_with(capsys, folder, task, target, said, out):
    write("t.csv", ["u", "v"] if task == "classification" else np.linspace(0, 1, ROWS))
    trained(capsys)
    write("new.csv", target, 10)
    code, printed, err = run(capsys, "predict", "t.safetensors", "new.csv", *out)
    assert code == 0 and said in err and err.count("\n") == 1
    assert len(((folder / "made.csv").read_text() if out else printed).splitlines()) == 11


@pytest.mark.parametrize(
    "y", [np.ones((4, 3)), np.ones(5), np.ones(4) * 1j, np.array([b"u"] * 4), np.array([{}] * 4, dtype=object)]
)
def test_an_archive_is_predicted_whatever_its_answers_are(capsys, y):
    write("t.csv", ["u", "v"])
    trained(capsys)
    np.savez("new.npz", x=np.ones((4, 2)), target=y)
    found, said = predicted(capsys, "new.npz")
    assert len(found) == 4 and said.startswith("no score: new.npz: ")
    np.savez("new.npz", x=np.ones((4, 3)), target=y)  # what is needed is still missed
    code, out, err = run(capsys, "predict", "t.safetensors", "new.npz")
    assert (code, out) == (2, "") and "3 columns, expected 2 like the model" in err


def test_the_model_is_saved_before_it_is_judged(capsys, folder, monkeypatch):
    def fails(*_):
        raise DataError("no judgement")

    monkeypatch.setattr("mlpcore.cli.train._quality", fails)
    code, out, err = run(capsys, "train", write("t.csv", ["u", "v"]), "--target", "target", "--epochs", 1)
    assert code == 2 and "no judgement" in err and "model: t.safetensors" in out
    assert load("t.safetensors")


@pytest.mark.parametrize("gap", sorted(EMPTY))
@pytest.mark.parametrize("others", [["1", "2"], ["u", "v"], ["1.5", "2.5"]])
def test_rows_without_a_target_are_left_out_with_a_note(capsys, gap, others):
    write("t.csv", [*others, gap, *others], 40)
    code, out, err = run(capsys, "train", "t.csv", "--target", "target", "--epochs", 1)
    sizes = "26 rows to train, 3 rows to validate, 3 rows to test"
    assert code == 0 and sizes in out
    assert "mlpcore: warning: 8 of 40 rows have no 'target' and are left out" in err


def test_missing_labels_of_an_archive(capsys):
    np.savez("t.npz", x=np.ones((40, 2)) * np.arange(40)[:, None] / 2, y=np.array([0, 1, np.nan, 1] * 10))
    code, out, err = run(capsys, "train", "t.npz", "--epochs", 1)
    assert (
        code == 0
        and "10 of 40 rows have no 'y'" in err
        and "classes 0, 1; 24 rows to train, 3 rows to validate, 3 rows to test" in out
    )


def test_the_target_may_have_spaces_round_its_name(capsys):
    with open("t.csv", "w") as file:
        file.writelines(["a, b , target\n", *(f"{i}, {i * 7 % 5} , {'uv'[i % 2]}\n" for i in range(ROWS))])
    trained(capsys)
    assert read_table("t.csv").names == ["a", "b", "target"]
    assert load_description("t.safetensors").target.labels == ("u", "v")
