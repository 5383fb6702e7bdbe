"""The form of a CSV file: any delimiter, quotes, spaces and empty lines, and a table of the same cells comes out."""

import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optional import optional

from mlpcore.errors import DataError
from mlpcore.tabular import read_table
from mlpcore.tabular.delimited import name_columns

optional("polars")

DELIMITERS = ",;\t"
TEXT = st.text(st.sampled_from('ab1.,;\t"\n é漢'), max_size=6).map(str.strip)
SPACES = st.sampled_from(["", " ", "  "])


@st.composite
def tables(draw):
    """The delimiter, the names and the rows of a table."""
    names = draw(
        st.lists(TEXT.filter(lambda text: text and not text[0].isdigit()), min_size=2, max_size=4, unique=True)
    )
    rows = draw(st.lists(st.tuples(*[TEXT] * len(names)), min_size=1, max_size=5))
    return draw(st.sampled_from(DELIMITERS)), names, rows


@st.composite
def written(draw, table):
    """The table as a text: quotes where they must be and elsewhere at will, spaces round cells, empty lines."""
    delimiter, *lines = table
    blank = st.lists(st.sampled_from(["", " ", "   "]), max_size=2)
    text = []
    for cells in (lines[0], *lines[1]):
        text += draw(blank)
        said = []
        for cell in cells:
            quoted = set(cell) & set(f'{DELIMITERS}"\n') or draw(st.booleans())
            shown = '"{}"'.format(cell.replace('"', '""')) if quoted else cell
            said.append(draw(SPACES) + shown + draw(SPACES))
        text.append(delimiter.join(said))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    return draw(st.sampled_from(["", "\ufeff"])) + end.join([*text, *draw(blank)])


@given(tables().flatmap(lambda table: st.tuples(st.just(table), written(table))))
def test_what_is_written_is_read(tmp_path_factory, case):
    (_, names, rows), text = case
    path = tmp_path_factory.mktemp("written") / "t.csv"
    path.write_bytes(text.encode())
    table = read_table(str(path))
    assert table.names == names
    assert table.frame.collect().rows() == rows


def cells_of(tmp_path, text, **told):
    (tmp_path / "t.csv").write_bytes(text.encode())
    table = read_table(str(tmp_path / "t.csv"), **told)
    return [table.names, *map(list, table.frame.collect().rows())]


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ('"size; cm";"a;b;c"\n1;2\n', [["size; cm", "a;b;c"], ["1", "2"]]),  # what is quoted does not count
        ('"p,q,r,s";t\n"1,2,3,4";u\n', [["p,q,r,s", "t"], ["1,2,3,4", "u"]]),
        ('t,"p;q;r;s"\nu,"1;2;3;4"\n', [["t", "p;q;r;s"], ["u", "1;2;3;4"]]),
        ("length, cm;kind\n1,5;u\n2,5;v\n", [["length, cm", "kind"], ["1,5", "u"], ["2,5", "v"]]),
        ("a b, c d, e f;kind\n1;u\n", [["a b, c d, e f", "kind"], ["1", "u"]]),  # the rows tell, not the header alone
        ('a,b\n"x" ,"y"  \n', [["a", "b"], ["x", "y"]]),
        ('a,b\n1,5" pipe\n2,6" pipe\n', [["a", "b"], ["1", '5" pipe'], ["2", '6" pipe']]),
        ('a\tb\n\t\n   \n"" \t ""\n', [["a", "b"], ["", ""], ["", ""]]),  # a line of tabs is a row
        ('a\n1\n\n  \n""\n2', [["a"], ["1"], [""], ["2"]]),  # a quoted cell is a row, even of one column
        ('a,b\n"x\n\n  \ny",1\n', [["a", "b"], ["x\n\n  \ny", "1"]]),
        (" a , b \n1,2\n", [["a", "b"], ["1", "2"]]),
    ],
)
def test_forms_that_are_read(tmp_path, text, cells):
    assert cells_of(tmp_path, text) == cells


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\n \n1,2\n3\n", "line 4: 1 cells, expected 2"),
        ("\n\na,b\n\n1,2\n\n3\n", "line 7: 1 cells, expected 2"),
        ("\n  \n", "the file is empty"),
        ("\na,b\n \n", "no rows under the header"),
        ("# note\n#\na,b\n# more\n1,2\n3\n", "line 6: 1 cells, expected 2"),
        ("sep=;\na;b\n1;2\n3\n", "line 4: 1 cells, expected 2"),
        ('a,b\n1,2\n\n3,"4\n5,6\n', "a quote is opened in line 4 and never closed"),
    ],
)
def test_lines_are_counted_as_in_the_file(tmp_path, text, said):
    with pytest.raises(DataError, match=said):
        cells_of(tmp_path, text)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_read_once(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=("a;b\n1;2\n",))
    writer.start()
    table = read_table(str(path))
    writer.join()
    assert table.frame.collect().to_dict(as_series=False) == {"a": ["1"], "b": ["2"]}


@pytest.mark.parametrize(
    ("names", "distinct"),
    [
        (["a", "a", "b", "a"], ["a", "a (2)", "b", "a (3)"]),
        (["", "a", ""], ["column 1", "a", "column 3"]),
        (["a (2)", "a", "a"], ["a (2)", "a", "a (3)"]),
        (["a", "a", "a (2)"], ["a", "a (3)", "a (2)"]),
        (["column 2", ""], ["column 2", "column 2 (2)"]),
    ],
)
def test_names_become_distinct(names, distinct):
    assert name_columns(names) == distinct


@given(st.lists(st.sampled_from(["", "a", "a (2)", "a (3)", "column 1", "column 2"]), max_size=7))
def test_names_are_always_distinct_and_those_that_are_stay(names):
    made = name_columns(names)
    assert len(set(made)) == len(names) and (len(set(names)) < len(names) or "" in names or made == names)
