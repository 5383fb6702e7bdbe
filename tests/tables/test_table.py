"""Tables: what is read from CSV and .npz, what is refused and how that is said, and how rows are split."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlpcore.errors import DataError
from mlpcore.tables import read_table, split


def csv_file(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode(encoding))
    return str(path)


@pytest.mark.parametrize(
    "text",
    [
        "a,b,kind\n1,2.5,x\n-3,4e2,y\n",
        "a;b;kind\n1;2.5;x\n-3;4e2;y\n",
        "a\tb\tkind\n1\t2.5\tx\n-3\t4e2\ty",
        '\ufeff"a","b","kind"\r\n"1"," 2.5 ","x"\r\n\r\n-3,4e2, y\r\n',
    ],
)
def test_csv_with_any_delimiter_line_end_and_quotes(tmp_path, text):
    table = read_table(csv_file(tmp_path, text))
    assert (list(table.columns), table.rows, table.named) == (["a", "b", "kind"], 2, True)
    np.testing.assert_array_equal(table.numbers(["b", "a"]), [[2.5, 1.0], [400.0, -3.0]])
    assert list(table.columns["kind"]) == ["x", "y"]


def test_columns_are_found_by_name_before_index(tmp_path):
    table = read_table(csv_file(tmp_path, "1,0,a\n5,6,7\n"))
    assert [table.find(word) for word in ("1", "0", "2", "-1", "a")] == ["1", "0", "a", "a", "a"]
    for word in ("3", "-4", "b", ""):
        with pytest.raises(DataError, match=r"no column .* expected one of '1', '0', 'a', or an index from -3 to 2"):
            table.find(word)


def test_columns_that_are_no_numbers_are_named(tmp_path):
    table = read_table(csv_file(tmp_path, "a,town,b,when\n1,NA,1,2020_01\n2,Rome,?,2020_02\n"))
    said = r"not numbers in column 'town' \(as in 'Rome' in data row 2\), 'when' \(as in '2020_01' in data row 1\)"
    with pytest.raises(DataError, match=said):
        table.numbers(["a", "town", "when"])
    with pytest.raises(DataError, match=r"missing or infinite values in column 'b' \(1 of 2 rows\); fill"):
        table.numbers(["a", "b"])
    np.testing.assert_array_equal(table.numbers(["a"]), [[1.0], [2.0]])


@pytest.mark.parametrize("cell", ["", "NA", "n/a", "NaN", "null", "None", "?", "inf", "-Infinity"])
def test_a_gap_is_a_gap_however_it_is_written(tmp_path, cell):
    table = read_table(csv_file(tmp_path, f"a,b\n1,2\n3,{cell}\n"))
    with pytest.raises(DataError, match=r"in column 'b' \(1 of 2 rows\)"):
        table.numbers(["a", "b"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("a,b\n", "no rows under the header"),
        ("a,b\n1,2\n3\n", "line 3: 1 cells, expected 2"),
        ("a,b\n1,2\n3,4,5\n", "line 3: 3 cells, expected 2 as in the header; cells with ',' in them need quotes"),
        ("a,,b\n1,2,3\n", "column 1 has no name"),
        ("a,b,a\n1,2,3\n", "the header has 'a' more than once"),
        ("5.1,3.5\n4.9,3.0\n", "the first line holds numbers only"),
        ('a,b\n1,"2\n', "no CSV: a quote is opened in line 2 and never closed"),
        ('a,b\n1,"2\n' + 70000 * "x\n", r"no CSV: field larger than field limit \(131072\), in line 2"),
    ],
)
def test_csv_that_cannot_be_read(tmp_path, text, said):
    with pytest.raises(DataError, match=said):
        read_table(csv_file(tmp_path, text))


def test_a_numbered_header_is_a_header(tmp_path):
    assert list(read_table(csv_file(tmp_path, "0,1,2\n7,8,9\n")).columns) == ["0", "1", "2"]


def test_files_that_are_no_tables(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*nothing\.csv"):
        read_table(str(tmp_path / "nothing.csv"))
    with pytest.raises(DataError, match="no text in UTF-8"):
        read_table(csv_file(tmp_path, "größe,b\n1,2\n", "latin-1"))


def npz_file(tmp_path, **arrays):
    path = str(tmp_path / "table.npz")
    np.savez(path, **arrays)
    return path


X = np.arange(6.0).reshape(3, 2)


def test_npz(tmp_path):
    path = npz_file(tmp_path, x=X.astype("float32"), y=np.array(["p", "q", "p"]), z=np.array([[1], [2], [3]]))
    table = read_table(path)
    assert (list(table.columns), table.named) == (["x[0]", "x[1]", "y"], False)
    np.testing.assert_array_equal(table.numbers(["x[0]", "x[1]"]), X)
    assert list(table.columns["y"]) == ["p", "q", "p"]
    assert list(read_table(path, "z").columns["z"]) == [1.0, 2.0, 3.0]
    assert list(read_table(path, "w").columns) == ["x[0]", "x[1]"]


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"y": X}, "there is no array 'x', only 'y'"),
        ({"x": X[0]}, r"x has shape \(2,\), expected \(rows, columns\)"),
        ({"x": X, "y": X}, r"y has shape \(3, 2\), expected \(3,\)"),
        ({"x": X, "y": np.ones(2)}, r"y has shape \(2,\), expected \(3,\)"),
        ({"x": X * 1j}, "x has dtype complex128"),
        ({"x": X.astype(object)}, "no .npz archive of plain arrays: Object arrays cannot be loaded"),
    ],
)
def test_npz_that_cannot_be_used(tmp_path, arrays, said):
    with pytest.raises(DataError, match=said):
        read_table(npz_file(tmp_path, **arrays))


def test_npz_that_is_none_or_damaged(tmp_path):
    whole = (tmp_path / npz_file(tmp_path, x=X)).read_bytes()
    for content in (b"", b"a,b\n1,2\n", whole[:-30], whole[:60] + b"\xff" * 20 + whole[80:]):
        (tmp_path / "bad.npz").write_bytes(content)
        with pytest.raises(DataError, match=r"bad\.npz: no \.npz archive"):
            read_table(str(tmp_path / "bad.npz"))
    with open(tmp_path / "bad.npz", "wb") as file:
        np.save(file, X)
    with pytest.raises(DataError, match=r"no \.npz archive"):
        read_table(str(tmp_path / "bad.npz"))


def test_nothing_in_a_file_is_unpickled(tmp_path):
    class Harm:
        def __reduce__(self):
            return open, (str(tmp_path / "harm"), "w")

    path = npz_file(tmp_path, x=X, y=np.array([Harm(), 1, 2], dtype=object))
    with pytest.raises(DataError, match=r"no \.npz archive of plain arrays"):
        read_table(path)
    assert not (tmp_path / "harm").exists()


@given(st.integers(1, 200), st.floats(0, 0.99), st.integers(0, 99), st.integers(1, 6))
def test_split_is_a_partition_that_keeps_the_shares(rows, share, seed, classes):
    labels = np.random.default_rng(seed).integers(0, classes, rows)
    rest, part = split(rows, share, seed, labels)
    assert sorted([*rest, *part]) == list(range(rows))
    counts, kept = np.bincount(labels), np.bincount(labels[part], minlength=labels.max() + 1)
    assert np.all(kept <= np.ceil(share * counts)) and np.all(kept >= np.minimum(np.floor(share * counts), counts - 1))
    assert np.all(np.bincount(labels[rest], minlength=len(counts))[counts > 0] > 0)
    possible = np.minimum(np.ceil(share * counts), counts - 1)[counts > 0].sum()
    assert len(part) == min(round(share * rows), possible) or abs(len(part) - share * rows) <= 1


def test_the_largest_remainders_are_rounded_up():
    labels = np.repeat([0, 1, 2], [10, 19, 11])
    assert list(np.bincount(labels[split(40, 0.1, 0, labels)[1]])) == [1, 2, 1]


def test_a_row_of_every_class_stays():
    rest, part = split(3, np.nextafter(1.0, 0.0), 0)
    assert (len(rest), len(part)) == (1, 2)


def test_split_without_labels_and_its_seed():
    rest, part = split(1000, 0.25, 3)
    assert (len(rest), len(part)) == (750, 250)
    assert list(part) == sorted(part) and 100 < part.mean() < 900
    np.testing.assert_array_equal(part, split(1000, 0.25, 3)[1])
    assert set(part) != set(split(1000, 0.25, 4)[1])
    assert len(split(10, 0.0, 0)[1]) == 0
