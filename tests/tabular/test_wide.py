"""A text of thousands of columns is read as one of a few, without a frame for all of them."""

import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optional import optional

import mlpcore
from mlpcore.errors import DataError
from mlpcore.tables.table import MAX_COLUMNS
from mlpcore.tabular import TableEncoder, read_table, reading
from mlpcore.tabular.frames import Frame

optional("polars")

ROWS = 12
COLUMNS = {
    "whole": [str(i) for i in range(ROWS)],
    "whole with gaps": [str(i) if i % 3 else "NA" for i in range(ROWS)],
    "larger than a float holds": [str(2**60 + i) for i in range(ROWS)],
    "that with gaps": [str(2**60 + i) if i % 3 else "" for i in range(ROWS)],
    "fractions": [f" {i / 4} " for i in range(ROWS)],
    "fractions late": ["1"] * (ROWS - 1) + ["2.5"],
    "a text late": ["1"] * (ROWS - 1) + ["x"],
    "thousands": [f'"{i},000.5"' for i in range(1, ROWS + 1)],
    "currency": [f"${i}" for i in range(ROWS)],
    "codes": [f"00{i}" for i in range(ROWS)],
    "days": [f"2020-01-{i + 1:02}" for i in range(ROWS)],
    "days with gaps": [f"{i + 1:02}/12/2020" if i else "" for i in range(ROWS)],
    "texts": ["a", "b", "", "none"] * (ROWS // 4),
    "empty": [""] * ROWS,
    "^.*$": ["7"] * ROWS,  # a pattern of names in polars, as the next one
    "*": ["8"] * ROWS,
    "__row__": ["9"] * ROWS,
    "town": ['"Rome, I"'] * ROWS,
}
TEXT = "\n".join([",".join(COLUMNS), *(",".join(row) for row in zip(*COLUMNS.values(), strict=True))]) + "\n"


@pytest.fixture(params=[1 << 19, 120], ids=["one batch", "several batches"])
def tables(request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """The table as a narrow one, and as a wide one."""
    (tmp_path / "t.csv").write_text(TEXT)
    narrow = read_table(str(tmp_path / "t.csv"))
    monkeypatch.setattr(reading, "WIDE", 2)
    monkeypatch.setattr(reading, "SPOOL_CELLS", request.param)
    return narrow, read_table(str(tmp_path / "t.csv"))


def same(one: Any, other: Any) -> None:
    """The columns of two frames have the same kinds and values."""
    one, other = Frame(one), Frame(other)
    assert one.names == other.names
    for name in one.names:
        gaps = np.asarray(one[name].data != one[name].data).any()  # with which "integer" and "number" mean the same
        assert one[name].kind == other[name].kind or (gaps and other[name].kind == "number"), name
        np.testing.assert_array_equal(one[name].data, other[name].data, name)
        np.testing.assert_array_equal(one[name].exact, other[name].exact, name)


def test_as_it_is(tables: tuple[Any, Any]) -> None:
    narrow, wide = tables
    assert type(narrow) is not type(wide) and narrow.names == wide.names and narrow.rows == wide.rows == ROWS
    for name in narrow.names:
        assert list(chain(*narrow.cells(name))) == list(chain(*wide.cells(name))), name
        np.testing.assert_array_equal(narrow.numbers(name), wide.numbers(name), name)
    rows, names = np.array([1, 5, 11]), ["texts", "codes"]
    same(narrow.take(rows, names), wide.take(rows, names))


@pytest.mark.parametrize("kinds", [{}, {"codes": "numeric", "days": "left out", "whole": "categorical"}])
def test_read_as_kinds(kinds: dict[str, str], tables: tuple[Any, Any]) -> None:
    narrow, wide = (table.read_as(kinds) for table in tables)
    assert narrow.notations == wide.notations
    ((_, one),), ((_, other),) = narrow.batches(narrow.names), wide.batches(wide.names)
    same(one, other)
    for name in narrow.names:
        np.testing.assert_array_equal(narrow.numbers(name), wide.numbers(name), name)


def test_with_other_names(tables: tuple[Any, Any]) -> None:
    narrow, wide = (table.renamed({"whole": "w"}).read_as({}) for table in tables)
    assert narrow.names == wide.names and "w" in wide.names and narrow.notations == wide.notations


def test_the_known_notations_come_first(tables: tuple[Any, Any]) -> None:
    known = tables[0].renamed({"thousands": "whole", "whole": "thousands"}).read_as({}).notations
    assert tables[0].read_as({}, known).notations == tables[1].read_as({}, known).notations != known


def test_cells_that_are_no_numbers(tables: tuple[Any, Any]) -> None:
    said = []
    for table in tables:
        with pytest.raises(DataError) as caught:
            table.read_as({"a text late": "numeric"})
        said.append(str(caught.value))
    assert said[0] == said[1] and "'x' in data row 12" in said[0]


@pytest.mark.filterwarnings("ignore:column .* is left out")
def test_the_encoder_takes_it(tables: tuple[Any, Any]) -> None:
    encoded = []
    for table in tables:
        typed, rows = table.read_as({}), np.arange(ROWS)
        encoder = TableEncoder().fit(typed.take(rows, typed.names), rows)
        encoded.append((encoder.names, encoder.transform(typed.take(rows, typed.names)).tolist()))
    assert encoded[0] == encoded[1]


MEASURE = """
import sys, time
from pathlib import Path
import numpy
from mlpcore.tabular import read_table

def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024

def read(path):
    table = read_table(path).read_as({})
    return sum(len(frame) for _, frame in table.batches(table.names)), table.numbers("c1").tolist()

read(sys.argv[1])
Path("/proc/self/clear_refs").write_text("5")
before, begin = peak(), time.process_time()
columns, numbers = read(sys.argv[2])
print(columns, numbers, peak() - before, time.process_time() - begin)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is read from /proc")
@pytest.mark.parametrize("columns", [20_000, pytest.param(MAX_COLUMNS, marks=pytest.mark.long)])
@pytest.mark.parametrize("cell", ["1", "a"])
def test_the_memory_and_time_of_many_columns(cell: str, columns: int, tmp_path: Path) -> None:
    """In a process of its own, which has read a small table before."""
    (tmp_path / "small").write_text("c0,c1\n1,1\n")
    names = [f"c{i}" for i in range(columns)]
    (tmp_path / "wide").write_text("\n".join([",".join(names), ",".join([cell, "1", *[cell] * (columns - 2)]), ""]))
    command = [sys.executable, "-c", MEASURE, tmp_path / "small", tmp_path / "wide"]
    path = str(Path(mlpcore.__file__).parents[1])
    done = subprocess.run(command, env={"PYTHONPATH": path}, capture_output=True, text=True, check=True)
    read, numbers, megabytes, seconds = done.stdout.split()
    assert (int(read), numbers) == (columns, "[1.0]")
    assert float(megabytes) < 64 and float(seconds) < (tmp_path / "wide").stat().st_size / 1000
