"""Tables of arrays: what is read from .npz, what is refused and how that is said, and how rows are split."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlpcore.errors import DataError
from mlpcore.tables import Table, read_archive, split


def npz_file(tmp_path, **arrays):
    path = str(tmp_path / "table.npz")
    np.savez(path, **arrays)
    return path


X = np.arange(6.0).reshape(3, 2)


def test_npz(tmp_path):
    path = npz_file(tmp_path, x=X.astype("float32"), y=np.array(["p", "q", "p"]), z=np.array([[1], [2], [3]]))
    table = read_archive(path, "y")
    assert (list(table.columns), table.named) == (["x[0]", "x[1]", "y"], False)
    np.testing.assert_array_equal(np.column_stack([table.numbers("x[0]"), table.numbers("x[1]")]), X)
    assert table.numbers("y") is None and list(table.cells("y")) == [["p", "q", "p"]]
    assert list(table.columns["y"]) == ["p", "q", "p"]
    assert list(read_archive(path, "z").columns["z"]) == [1.0, 2.0, 3.0]
    assert list(read_archive(path, "w").columns) == ["x[0]", "x[1]"]


def test_columns_are_found_by_name_before_index():
    table = Table("t", {"1": X[:, 0], "0": X[:, 1], "a": X[:, 0]})
    assert [table.find(word) for word in ("1", "0", "2", "-1", "a")] == ["1", "0", "a", "a", "a"]
    for word in ("3", "-4", "b", ""):
        with pytest.raises(DataError, match=r"no column .* expected one of '1', '0', 'a', or an index from -3 to 2"):
            table.find(word)


def test_batches_are_the_table_and_rows_are_taken_in_order(monkeypatch):
    monkeypatch.setattr(Table, "batch_rows", 2)
    table = Table("t", {"a": np.arange(5), "b": np.arange(5) * 2.0})
    batches = list(table.batches(["b", "a"]))
    assert [(first, len(frame["a"])) for first, frame in batches] == [(0, 2), (2, 2), (4, 1)]
    np.testing.assert_array_equal(np.concatenate([frame["b"] for _, frame in batches]), table.columns["b"])
    assert table.take(np.array([1, 4]), ["a"])["a"].tolist() == [1, 4]
    assert table.renamed({"a": "c"}).names == ["c", "b"]


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
        read_archive(npz_file(tmp_path, **arrays), "y")


def test_a_column_of_x_is_no_target(tmp_path):
    with pytest.raises(DataError, match="'x\\[1\\]' is a column of x, expected the name of another array"):
        read_archive(npz_file(tmp_path, x=X), "x[1]")


def test_npz_that_is_none_or_damaged(tmp_path):
    whole = (tmp_path / npz_file(tmp_path, x=X)).read_bytes()
    for content in (b"", b"a,b\n1,2\n", whole[:-30], whole[:60] + b"\xff" * 20 + whole[80:]):
        (tmp_path / "bad.npz").write_bytes(content)
        with pytest.raises(DataError, match=r"bad\.npz: no \.npz archive"):
            read_archive(str(tmp_path / "bad.npz"), "y")
    with open(tmp_path / "bad.npz", "wb") as file:
        np.save(file, X)
    with pytest.raises(DataError, match=r"no \.npz archive"):
        read_archive(str(tmp_path / "bad.npz"), "y")


def test_nothing_in_a_file_is_unpickled(tmp_path):
    class Harm:
        def __reduce__(self):
            return open, (str(tmp_path / "harm"), "w")

    path = npz_file(tmp_path, x=X, y=np.array([Harm(), 1, 2], dtype=object))
    with pytest.raises(DataError, match=r"no \.npz archive of plain arrays"):
        read_archive(path, "y")
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
