"""Ugly files, made here, and what must come out of each: names, values in their types, or an error that helps."""

import datetime
import gc
import gzip
import io
import os
import sys
import tempfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optional import optional

from mlpcore.errors import ConfigurationError, DataError
from mlpcore.tabular import file_table, plain_text, read_table, reading
from mlpcore.tabular.dialect import Dialect

polars = optional("polars")


def day(*parts):
    return datetime.datetime(*parts)


# name: (content, the columns that must come out); texts are encoded as UTF-8.
FILES = {
    "plain": ("a,b\n1,x\n2,y\n", {"a": [1, 2], "b": ["x", "y"]}),
    "no line end": ("a,b\n1,x\n2,y", {"a": [1, 2], "b": ["x", "y"]}),
    "Windows": ("a,b\r\n1,x\r\n2,y\r\n", {"a": [1, 2], "b": ["x", "y"]}),
    "old Macintosh": ("a,b\r1,x\r2,y\r", {"a": [1, 2], "b": ["x", "y"]}),
    "mixed line ends": ("a,b\r\n1,x\n2,y\r3,z", {"a": [1, 2, 3], "b": ["x", "y", "z"]}),
    "semicolons": ("a;b\n1;x,y\n2;z\n", {"a": [1, 2], "b": ["x,y", "z"]}),
    "tabs": ("a\tb\n1\tx y\n2\t\n", {"a": [1, 2], "b": ["x y", None]}),
    "bars": ("a|b|c\n1|x|2\n3|y|4\n", {"a": [1, 3], "b": ["x", "y"], "c": [2, 4]}),
    "spaces": ("a b\n1 x\n22  y \n", {"a": [1, 22], "b": ["x", "y"]}),
    "one column": ("a\n1\n\n2\n", {"a": [1, 2]}),
    "one column of sentences": ("a\none two three\nfour\n", {"a": ["one two three", "four"]}),
    "byte order mark": ("\ufeffa,b\n1,x\n", {"a": [1], "b": ["x"]}),
    "byte order mark and quotes": ('\ufeff"a","b"\n1,x\n', {"a": [1], "b": ["x"]}),
    "UTF-16": ("größe,b\n1,漢\n".encode("utf-16"), {"größe": [1], "b": ["漢"]}),
    "UTF-16, big end first": ("\ufeffgröße,b\n1,x\n".encode("utf-16-be"), {"größe": [1], "b": ["x"]}),
    "UTF-16 without a mark": ("a,b\n1,x\n2,é\n".encode("utf-16-le"), {"a": [1, 2], "b": ["x", "é"]}),
    "Latin-1": ("größe,b\n1,é\n".encode("latin-1"), {"größe": [1], "b": ["é"]}),
    "Windows-1252": ("a,b\n1,50 €\n2,3 €\n".encode("cp1252"), {"a": [1, 2], "b": [50, 3]}),
    "a byte that Windows-1252 lacks": (b"a,b\n1,\x81\xe9\n2,z\n", {"a": [1, 2], "b": ["\x81é", "z"]}),
    "gzip": (gzip.compress(b"a,b\n1,x\n", mtime=0), {"a": [1], "b": ["x"]}),
    "gzip of Latin-1": (gzip.compress("a,b\n1,é\n".encode("latin-1"), mtime=0), {"a": [1], "b": ["é"]}),
    "quoted separators": ('a,b\n1,"x, y"\n', {"a": [1], "b": ["x, y"]}),
    "quoted line breaks": ('a,b\n1,"x\n\ny"\n2,z\n', {"a": [1, 2], "b": ["x\n\ny", "z"]}),
    "doubled quotes": ('a,b\n1,"say ""x"""\n2,y\n', {"a": [1, 2], "b": ['say "x"', "y"]}),
    "quotes within cells": ('a,b\n1,5" pipe\n2,6" pipe\n', {"a": [1, 2], "b": ['5" pipe', '6" pipe']}),
    "apostrophes as quotes": ("'a','b'\n1,'x, y'\n2,'z'\n", {"a": [1, 2], "b": ["x, y", "z"]}),
    "apostrophes as letters": ("a,b\n1,it's\n2,isn't\n", {"a": [1, 2], "b": ["it's", "isn't"]}),
    "quoted numbers": ('a,b\n"1","2.5"\n"3","4"\n', {"a": [1, 3], "b": [2.5, 4]}),
    "spaces round cells": (' a , b \n 1 , "x" \n 2 ,  y\n', {"a": [1, 2], "b": ["x", "y"]}),
    "blank lines": ("\n\na,b\n\n1,x\n   \n2,y\n\n", {"a": [1, 2], "b": ["x", "y"]}),
    "comments": ("# made by hand, 2024\n# two\na,b\n1,x\n# end\n", {"a": [1], "b": ["x"]}),
    "one comment": ("# made by hand\na,b\n1,x\n", {"a": [1], "b": ["x"]}),
    "a hash in a quoted cell": ('# note\na,b\n1,"x\n# y"\n', {"a": [1], "b": ["x\n# y"]}),
    "a header with a hash": ("#a,b\n1,x\n2,#y\n", {"#a": [1, 2], "b": ["x", "#y"]}),
    "a hash in the rows": ("a,b\n#1,x\n#2,y\n", {"a": ["#1", "#2"], "b": ["x", "y"]}),
    "Excel's separator line": ("sep=;\na;b\n1;2\n", {"a": [1], "b": [2]}),
    "duplicate names": ("a,a,b,a\n1,2,3,4\n", {"a": [1], "a (2)": [2], "b": [3], "a (3)": [4]}),
    "blank names": (",a,\n1,2,3\n", {"column 1": [1], "a": [2], "column 3": [3]}),
    "a separator after each row": ("a,b\n1,x,\n2,y,\n", {"a": [1, 2], "b": ["x", "y"], "column 3": [None, None]}),
    "R's names of rows": ("a,b\nr1,1,2\nr2,3,4\n", {"column 1": ["r1", "r2"], "a": [1, 3], "b": [2, 4]}),
    "gaps": (
        "a,b,c\n1,x,2024-01-02\nNA,,\n?,n/a,NaN\nnull,NULL,none\nNone,?,?\n",
        {"a": [1, None, None, None, None], "b": ["x", None, None, None, "?"], "c": [day(2024, 1, 2), *[None] * 4]},
    ),
    "nothing but gaps": ("a,b\n,1\nNA,2\n", {"a": [None, None], "b": [1, 2]}),
    "decimal commas": ("a;b\n1,5;2\n-3,25;4\n", {"a": [1.5, -3.25], "b": [2, 4]}),
    "decimal commas and points": ("a;b\n1.234,5;1.234\n0,5;2.345\n", {"a": [1234.5, 0.5], "b": [1234, 2345]}),
    "decimal commas and one column without": ("a;b\n1,5;0.25\n2,5;1.5\n", {"a": [1.5, 2.5], "b": [0.25, 1.5]}),
    "quoted decimal commas": ('a,b\n"1,5",2\n"2,25",3\n', {"a": [1.5, 2.25], "b": [2, 3]}),
    "thousands": ('a,b\n"1,234",1.5\n"12",2\n"1,234,567",3\n', {"a": [1234, 12, 1234567], "b": [1.5, 2, 3]}),
    "thousands and points": ('a\n"1,234.5"\n"-6,000.25"\n', {"a": [1234.5, -6000.25]}),
    "thousands by spaces": ("a;b\n1 234;1\u202f000\n12;2\u00a0000\n", {"a": [1234, 12], "b": [1000, 2000]}),
    "thousands by apostrophes": ("a;b\n1'234.5;1\n7;2\n", {"a": [1234.5, 7], "b": [1, 2]}),
    "currencies": ("a;b\n$1,234.50;3 €\n-$2.00;4 €\n", {"a": [1234.5, -2], "b": [3, 4]}),
    "percents": ("a;b\n5 %;1\n10%;2\n", {"a": [5, 10], "b": [1, 2]}),
    "exponents and signs": ("a,b\n1e3,+1\n-2.5E-2,-0\n.5,7\n5.,8\n", {"a": [1000, -0.025, 0.5, 5], "b": [1, 0, 7, 8]}),
    "leading zeros": ("a,b\n007,0.5\n012,00.7\n", {"a": ["007", "012"], "b": [0.5, 0.7]}),
    "numbers and a text": ("a,b\n1,1\n2,2\nmany,3\n", {"a": ["1", "2", "many"], "b": [1, 2, 3]}),
    "numbers of Python": ("a,b\n2020_01,0x1\n2020_02,0x2\n", {"a": ["2020_01", "2020_02"], "b": ["0x1", "0x2"]}),
    "integers that no float holds": ("a,b\n9007199254740993,1\n12,2\n", {"a": [9007199254740993, 12], "b": [1, 2]}),
    "integers beyond 64 bits": ("a\n99999999999999999999\n1\n", {"a": [1e20, 1]}),
    "ISO dates": ("a\n2024-01-02\n2024-12-31\n", {"a": [day(2024, 1, 2), day(2024, 12, 31)]}),
    "times": ("a\n2024-01-02 03:04\n2024-01-02 23:59\n", {"a": [day(2024, 1, 2, 3, 4), day(2024, 1, 2, 23, 59)]}),
    "times with a T": ("a\n2024-01-02T03:04:05.5\n", {"a": [day(2024, 1, 2, 3, 4, 5, 500000)]}),
    "times of zones": ("a\n2024-01-02T03:04:05+01:00\n", {"a": [day(2024, 1, 2, 2, 4, 5)]}),
    "German dates": ("a;b\n02.01.2024;1,5\n31.12.2024;2\n", {"a": [day(2024, 1, 2), day(2024, 12, 31)], "b": [1.5, 2]}),
    "American dates": ("a\n1/2/2024\n12/31/2024\n", {"a": [day(2024, 1, 2), day(2024, 12, 31)]}),
    "British dates": ("a\n1/2/2024\n31/12/2024\n", {"a": [day(2024, 2, 1), day(2024, 12, 31)]}),
    "American times": ("a\n1/2/2024 3:04 PM\n1/3/2024 12:00 AM\n", {"a": [day(2024, 1, 2, 15, 4), day(2024, 1, 3)]}),
    "names of months": ('a,b\n2-Jan-2024,"Jan 2, 2024"\n', {"a": [day(2024, 1, 2)], "b": [day(2024, 1, 2)]}),
    "days that do not exist": ("a\n2024-02-30\n2024-02-01\n", {"a": ["2024-02-30", "2024-02-01"]}),
    "truth values": ("a,b\ntrue,yes\nfalse,no\n", {"a": ["true", "false"], "b": ["yes", "no"]}),
    "a header like an archive": ("PK,b\n1,2\n", {"PK": [1], "b": [2]}),
    "a numbered header": ("0,1\n7,8\n", {"0": [7], "1": [8]}),
    "zero bytes": ("a,b\nx\0y,1\nz,2\n", {"a": ["x\0y", "z"], "b": [1, 2]}),
    "JSON lines": ('{"a": 1, "b": "x"}\n{"b": null, "a": 2.5}\n{"a": 3}\n', {"a": [1, 2.5, 3], "b": ["x", None, None]}),
    "JSON lines of texts": ('{"a": "7", "b": "2024-01-02"}\n', {"a": ["7"], "b": [day(2024, 1, 2)]}),
}  # fmt: skip


def put(tmp_path, content, name="t.csv"):
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def columns_of(table):
    """The columns as lists, whole floats as the integers that they equal."""
    return table.read_as({}).frame.collect().to_dict(as_series=False)


@pytest.mark.parametrize("name", FILES)
def test_what_comes_out(tmp_path, name):
    content, expected = FILES[name]
    found = columns_of(read_table(put(tmp_path, content)))
    assert found == expected and list(found) == list(expected)


@pytest.mark.parametrize("name", ["gaps", "numbers and a text", "British dates", "quoted line breaks", "Latin-1"])
def test_the_parts_of_a_large_text_are_the_whole(tmp_path, name, monkeypatch):
    monkeypatch.setattr(reading, "SPOOL_CELLS", 3)
    monkeypatch.setattr(file_table, "SAMPLE", 1)
    content, expected = FILES[name]
    table = read_table(put(tmp_path, content))
    assert columns_of(table) == expected
    monkeypatch.setattr(type(table), "batch_rows", 1)
    names = table.names[::-1]
    parts = [frame for _, frame in table.batches(names)]
    assert [first for first, _ in table.batches(names)] == list(range(table.rows))
    assert polars.concat(parts).equals(table.frame.select(names).collect())
    last = np.array([table.rows - 1])
    assert table.take(last, names).equals(parts[-1])


CELLS = st.text(st.sampled_from("a1,;.\t é#'\r-"), max_size=4)


@given(st.lists(st.lists(CELLS, min_size=2, max_size=2), min_size=1, max_size=6), st.sampled_from(["\n", "\r\n"]))
def test_plain_files_are_read_by_polars_as_any_other(tmp_path_factory, rows, end):
    text = end.join(["head,b", *(",".join(cells) for cells in rows)])
    path = put(tmp_path_factory.mktemp("plain"), text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain_text, "BLOCK", 5)
        tables = []
        for large in (0, 1 << 30):
            patch.setattr(plain_text, "LARGE", large)
            try:
                table = read_table(path, separator=",")
                tables.append(table.frame.collect().to_dict(as_series=False))
            except DataError as error:
                tables.append(str(error))
        assert tables[0] == tables[1]


def test_a_plain_file_is_known(tmp_path):
    text = "a,b\n1,x\n2,y\n"
    plain = {text: True, "a,b\n1,x\n2\n": False, "a,b\n1,x\n\n": False, 'a,b\n1,"x"\n': False, "a,b\n1,x\ry\n": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain_text, "LARGE", 0)
        for content, expected in plain.items():
            assert plain_text.is_plain(put(tmp_path, content), "utf-8", Dialect(), 2) == expected


@pytest.mark.parametrize(
    ("text", "told", "expected"),
    [
        ("a,b;c\n1,2;3\n", {"separator": ","}, {"a": [1], "b;c": ["2;3"]}),
        ("a;b\n1.234;5\n", {"decimal": ","}, {"a": [1234], "b": [5]}),
        ("a;b\n1,234;5\n", {"decimal": "."}, {"a": [1234], "b": [5]}),
        ("a;b\n1,234;5\n", {"decimal": ","}, {"a": [1.234], "b": [5]}),
        ("a,b\n1,x\n2,-999\n", {"missing": ("-999", "X")}, {"a": [1, 2], "b": [None, None]}),
        ("1,2\n3,4\n", {"header": False}, {"column 1": [1, 3], "column 2": [2, 4]}),
        ("a,b\n1,2\n%3,4\n", {"comment": "%"}, {"a": [1], "b": [2]}),
        ("# a,b\n1,2\n", {"comment": ""}, {"# a": [1], "b": [2]}),
        ("a,b\n'1',\"2\"\n", {"quote": "'"}, {"a": [1], "b": ['"2"']}),
        ("a\né\n", {"encoding": "cp1252"}, {"a": ["Ã©"]}),
    ],
)
def test_what_is_told_overrules(tmp_path, text, told, expected):
    assert columns_of(read_table(put(tmp_path, text), **told)) == expected


@pytest.mark.parametrize(
    ("content", "told", "said"),
    [
        ("", {}, "the file is empty"),
        ("a,b\n", {}, "no rows under the header"),
        ("a,b\n1,2\n3\n", {}, "line 3: 1 cells, expected 2"),
        ("a,b\n1,2\n3,4,5\n", {}, "line 3: 3 cells, expected 2 as in the header; cells with ',' in them need quotes"),
        ("5.1,3.5\n4.9,3.0\n", {}, "the first line holds numbers only, .* --no-header"),
        ('a,b\n1,"2\n', {}, "no CSV: a quote is opened in line 2 and never closed"),
        ('a,b\n1,"2\n' + 70000 * "x\n", {}, r"no CSV: field larger than field limit \(131072\), in line 2"),
        (gzip.compress(b"a,b\n1,2\n" * 100, mtime=0)[:-9], {}, "the compressed file is truncated or damaged"),
        (b"\x28\xb5\x2f\xfdnothing", {}, "compressed file is truncated or damaged"),
        (b"PAR1 and no more", {}, "the file cannot be read"),
        (b"ARROW1 and no more", {}, "the file cannot be read"),
        ('{"a": 1}\n{"a": \n', {}, "the file cannot be read"),
        ("a\né\n", {"encoding": "ascii"}, r"no text in ascii \(ordinal not in range\(128\) at byte 2\)"),
        ("a\nb\n", {"encoding": "odd"}, "no text in odd .there is no such encoding"),
        (b"PK\x03\x04 and no more", {}, "no .npz archive"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_read(tmp_path, content, told, said):
    with pytest.raises(DataError, match=f"t.csv.*{said}"):
        columns_of(read_table(put(tmp_path, content), **told))


@pytest.mark.parametrize("told", [{"separator": ",,"}, {"separator": '"'}, {"decimal": ";"}, {"quote": "|"}])
def test_dialects_that_cannot_be(tmp_path, told):
    with pytest.raises(ConfigurationError):
        read_table(put(tmp_path, "a,b\n1,2\n"), **told)


FRAME = {
    "a": [1.5, None, 3.0],
    "b": ["x", None, "007"],
    "c": [day(2024, 1, 2), None, day(2024, 1, 3)],
    "d": [True, False, None],
}


@pytest.mark.parametrize("kind", ["parquet", "ipc", "ipc_stream", "ndjson"])
def test_files_with_types(tmp_path, kind):
    frame = polars.DataFrame(FRAME)
    getattr(frame, f"write_{kind}")(tmp_path / "t")
    found = columns_of(read_table(str(tmp_path / "t")))
    assert found == FRAME  # the text 007 stays one, as does a column of numbers that are declared texts


def test_large_json_lines_become_parquet_first(tmp_path, monkeypatch):
    """In a temporary folder, which goes with the table."""
    monkeypatch.setattr(reading, "SCANNED", 10)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    polars.DataFrame(FRAME).write_ndjson(tmp_path / "t")
    table = read_table(str(tmp_path / "t"))
    assert columns_of(table) == FRAME
    assert os.listdir(tmp_path / "temporary")
    del table
    gc.collect()
    assert not os.listdir(tmp_path / "temporary")


def test_damage_that_is_found_late_is_an_error_of_one_line(tmp_path):
    frame = polars.DataFrame({"a": np.random.default_rng(0).normal(size=1000), "b": ["x", "y"] * 500})
    frame.write_parquet(tmp_path / "t", compression="zstd")
    content = bytearray((tmp_path / "t").read_bytes())
    content[100:4000] = bytes(3900)
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(DataError, match="t: the file cannot be read: "):
        columns = read_table(str(tmp_path / "t"))
        list(columns.batches(["a", "b"]))


def test_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*nothing\.csv"):
        read_table(str(tmp_path / "nothing.csv"))
    with pytest.raises(DataError, match="is a directory, expected a file"):
        read_table(str(tmp_path))


def test_zstd(tmp_path):
    pyarrow = optional("pyarrow")
    text = 'größe,b\n1,"x\ny"\n2,z\n'
    with pyarrow.output_stream(str(tmp_path / "t"), compression="zstd") as stream:
        stream.write(text.encode())
    assert columns_of(read_table(str(tmp_path / "t"))) == {"größe": [1, 2], "b": ["x\ny", "z"]}


def test_the_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("größe;b\n1,5;x\n".encode("latin-1"))))
    table = read_table("-")
    assert columns_of(table) == {"größe": [1.5], "b": ["x"]} and table.source == "the standard input"


def test_temporary_folders_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "SPOOL_CELLS", 1)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    path = put(tmp_path, "a\n1\n2\n")
    table = read_table(path)
    assert len(list(tmp_path.iterdir())) == 2
    typed = table.read_as({})
    del table
    assert len(list(tmp_path.iterdir())) == 2  # which the other table still reads
    del typed
    assert [found.name for found in tmp_path.iterdir()] == ["t.csv"]


def test_cells_that_are_not_of_the_told_kind_are_shown(tmp_path):
    table = read_table(put(tmp_path, "a,b\n1,2024-01-02\nmany,never\n3,later\n"))
    with pytest.raises(
        DataError, match="column 'a' has 1 of 3 cells that are no numbers, such as 'many' in data row 2"
    ):
        table.read_as({"a": "numeric"})
    with pytest.raises(DataError, match="column 'b' has 2 of 3 cells that are no dates, such as 'never' in data row 2"):
        table.read_as({"b": "date"})
    assert table.read_as({"a": "categorical"}).frame.collect()["a"].to_list() == ["1", "many", "3"]


def test_a_known_notation_is_preferred(tmp_path):
    first = read_table(put(tmp_path, "a;b\n1,5;1/2/2024\n2,25;31/12/2024\n")).read_as({})
    later = read_table(put(tmp_path, 'a,b\n"1,234",1/2/2024\n'))
    kinds = {"a": "numeric", "b": "date"}
    assert later.read_as(kinds).frame.collect().row(0) == (1234, day(2024, 1, 2))
    assert later.read_as(kinds, first.notations).frame.collect().row(0) == (1.234, day(2024, 2, 1))
