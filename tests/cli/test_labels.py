"""Labels and amounts of a table: texts stand as they are, and rows are predicted whether or not there are answers."""

import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlpcore.cli import main
from mlpcore.cli.encoding import choose_encoding, load_encoding
from mlpcore.cli.labels import class_numbers, classes_of
from mlpcore.errors import DataError
from mlpcore.files import read_extra, save_model
from mlpcore.loading import load
from mlpcore.tables import Table, read_table
from mlpcore.tables.cells import EMPTY, MISSING

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
    assert set(load_encoding("t.safetensors").classes) == set(labels)
    found, said = predicted(capsys, "t.csv")
    assert set(found) <= set(labels)
    right = sum(label == labels[i % len(labels)] for i, label in enumerate(found))
    assert said == f"accuracy {100 * right / ROWS:.2f} % of {ROWS} rows\n"


LABELS = st.text(st.sampled_from("0123456789.eE+-_ax é"), min_size=1, max_size=5).map(str.strip)


@given(st.lists(LABELS.filter(lambda text: text.lower() not in MISSING), min_size=1, max_size=20))
def test_every_label_is_found_again_and_only_itself(labels):
    column = np.array([*labels, "x"], dtype=object)  # with a text among them, nothing is refused as a fraction
    table = Table("t.csv", {"kind": column})
    classes = classes_of(table, "kind")
    assert len(classes) == len(set(column)) and all(type(label) is str for label in classes)
    assert [classes[i] for i in class_numbers(table, "kind", classes)] == list(column)


def test_whole_numbers_with_leading_zeros_are_no_amounts():
    def guess(*cells):
        return choose_encoding(Table("t.csv", {"a": np.arange(100), "y": np.array(cells * 2, object)}), "y", "auto")

    encoding, why = guess(*(f"{i:03}" for i in range(50)))
    assert encoding.classes[7] == "007" and why == "because the target holds whole numbers with leading zeros"
    assert guess(*map(str, range(50)))[0].classes == ()
    assert guess(*(f"{i / 2:04.1f}" for i in range(50)))[0].classes == ()


def test_numerals_are_in_the_order_of_their_values():
    column = np.array(["10", "9", "none", "-1", "A", "1e1", "2.5", "?"], dtype=object)
    assert classes_of(Table("t.csv", {"k": column}), "k") == ("-1", "2.5", "9", "10", "1e1", "?", "A", "none")


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
    assert load_encoding("t.safetensors").classes == (7, 2**63, 2**63 + 1)
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
    """As files of earlier releases have them, from tables with numerals; and with spaces in the names of columns."""
    write("t.csv", ["1", "2", "3"])
    trained(capsys)
    model, (tensors, values) = load("t.safetensors"), read_extra("t.safetensors")
    words = values["table"] | {"classes": [1, 2, 3], "columns": ["a", " b"], "target": " target"}
    save_model("t.safetensors", model.specification, model.params, extra={"table": words}, extra_tensors=tensors)
    write("new.csv", ["1", "2.0", "003", "2"], 8)
    found, said = predicted(capsys)
    assert set(found) <= {"1", "2", "3"} and said.endswith("% of 8 rows\n")
    assert predicted(capsys, write("new.csv", ["1", "4"], 8))[1].startswith("no score: new.csv: 'target' holds")


@pytest.mark.parametrize(
    ("task", "target", "said"),
    [
        ("classification", [""], "missing labels: 'target' has no label in 10 of 10 rows"),
        ("classification", ["u", "NA"], "missing labels: 'target' has no label in 5 of 10 rows"),
        ("classification", ["u", "?"], "missing labels: 'target' has no label in 5 of 10 rows"),
        ("classification", ["u", "w"], "'target' holds the unknown label 'w'"),
        ("regression", [""], "missing or infinite values in column 'target' (10 of 10 rows)"),
        ("regression", [1, "x"], "not numbers in column 'target' (as in 'x' in data row 2)"),
        ("regression", [1, "1,5"], "'1,5' in data row 2, which looks like a number with a decimal comma: write 1.5)"),
        ("regression", [1, "inf"], "missing or infinite values in column 'target' (5 of 10 rows)"),
    ],
)
@pytest.mark.parametrize("out", [(), ("--out", "made.csv")])
def test_rows_are_predicted_without_answers_to_score_them_with(capsys, folder, task, target, said, out):
    write("t.csv", ["u", "v"] if task == "classification" else np.linspace(0, 1, ROWS))
    trained(capsys)
    write("new.csv", target, 10)
    code, printed, err = run(capsys, "predict", "t.safetensors", "new.csv", *out)
    assert code == 0 and err.startswith("no score: new.csv: ") and said in err and err.count("\n") == 1
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
    assert (code, out) == (2, "") and "3 columns, the model takes 2" in err


def test_the_model_is_saved_before_it_is_judged(capsys, folder, monkeypatch):
    def fails(*_):
        raise DataError("no judgement")

    monkeypatch.setattr("mlpcore.cli.train._quality", fails)
    code, out, err = run(capsys, "train", write("t.csv", ["u", "v"]), "--target", "target", "--epochs", 1)
    assert code == 2 and "no judgement" in err and "model: t.safetensors" in out
    assert load("t.safetensors")


@pytest.mark.parametrize("gap", sorted(EMPTY))
@pytest.mark.parametrize("others", [["1", "2"], ["u", "v"]])
def test_missing_labels_are_called_so(capsys, gap, others):
    write("t.csv", [*others, gap, *others], 10)
    code, _, err = run(capsys, "train", "t.csv", "--target", "target")
    assert code == 2 and "t.csv: missing labels: 'target' has no label in 2 of 10 rows; drop these rows" in err


def test_missing_labels_of_an_archive(capsys):
    np.savez("t.npz", x=np.ones((4, 2)), y=np.array([0, 1, np.nan, 1]))
    code, _, err = run(capsys, "train", "t.npz")
    assert code == 2 and "missing labels: 'y' has no label in 1 of 4 rows" in err


@pytest.mark.parametrize(
    ("cell", "looks"),
    [
        ("1,5", "a decimal comma: write 1.5"),
        ("-,5", "a decimal comma: write -.5"),
        ("12,25e-3", "a decimal comma: write 12.25e-3"),
        ("1,234", "a thousands separator or a decimal comma: write 1234 or 1.234"),
        ("1,234,567", "a thousands separator: write 1234567"),
        ("+1,234.5", "a thousands separator: write +1234.5"),
        ("1.234.567", "a thousands separator: write 1234567"),
        ("1.234,5", "a thousands separator and a decimal comma: write 1234.5"),
        ("1 234", "a thousands separator: write 1234"),
        ("1\u202f234\u00a0567,8", "a thousands separator and a decimal comma: write 1234567.8"),
        ("1'234.5", "a thousands separator: write 1234.5"),
        ("12.5%", "a percent sign: write 12.5"),
        ("12 %", "a percent sign: write 12"),
        ("12,5 %", "a decimal comma and a percent sign: write 12.5"),
        ("Rome", ""),
        ("%", ""),
        ("NA%", ""),
        ("1,2,3", ""),
        ("2020-01-02", ""),
        ("", ""),
    ],
)
def test_numbers_in_another_notation_are_told(cell, looks):
    table = Table("t.csv", {"price": np.array(["1", "", cell or "x"], dtype=object)})
    where = f"(as in {cell or 'x'!r} in data row 3{looks and f', which looks like a number with {looks}'})"
    with pytest.raises(DataError) as caught:
        table.numbers(["price"])
    said = f"t.csv: not numbers in column 'price' {where}; encode or drop what is not a number"
    assert str(caught.value) == said


@pytest.mark.parametrize("form", ["{},5", "{} %", "1 {:03},0"])
def test_amounts_in_another_notation_are_no_labels(form):
    def table(count):
        cells = [form.format(i) for i in range(count)]
        return Table("t.csv", {"a": np.arange(4 * count), "price": np.array(4 * cells, dtype=object)})

    with pytest.raises(
        DataError, match=r"21 different texts like .*, a number with .*: write .* --task classification"
    ):
        choose_encoding(table(21), "price", "auto")
    assert len(choose_encoding(table(21), "price", "classification")[0].classes) == 21
    assert len(choose_encoding(table(20), "price", "auto")[0].classes) == 20  # few, as with whole numbers


def test_the_target_may_have_spaces_round_its_name(capsys):
    with open("t.csv", "w") as file:
        file.writelines(["a, b , target\n", *(f"{i}, {i * 7 % 5} , {'uv'[i % 2]}\n" for i in range(ROWS))])
    trained(capsys)
    assert list(read_table("t.csv").columns) == ["a", "b", "target"]
    assert load_encoding("t.safetensors").classes == ("u", "v")
