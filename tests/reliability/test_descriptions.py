"""Descriptions of tables that ask for much: columns without end, nested, shared or missing; refused before polars."""

import struct
from pathlib import Path

import pytest
import thrift
from bounded import refused_within
from optional import optional

from mlpcore.errors import DataError
from mlpcore.tabular import read_table

polars = optional("polars")


def refused(path: Path, content: bytes, said: str) -> None:
    path.write_bytes(content)
    refused_within(path, said)


def parquet(children: list[int], version: int = 1) -> bytes:
    """A Parquet file without rows of these columns, given by the numbers of their parts, depth first."""
    columns = [
        [[1, thrift.I32, 1]] * (not count)
        + [[3, thrift.I32, 1], [4, thrift.BINARY, b"%d" % place]]
        + [[5, thrift.I32, count]] * bool(count)
        for place, count in enumerate(children)
    ]
    items, none = thrift.Items(thrift.STRUCT, columns), thrift.Items(thrift.STRUCT, [])
    fields = [[1, thrift.I32, version], [2, thrift.LIST, items], [3, thrift.I64, 1], [4, thrift.LIST, none]]
    description = thrift.written(fields)
    return b"PAR1" + description + len(description).to_bytes(4, "little") + b"PAR1"


def test_columns_of_parquet(tmp_path: Path) -> None:
    refused(tmp_path / "t", parquet([70_000] + [0] * 70_000), "70,000 columns or more, expected at most 65,536")
    refused(tmp_path / "t", parquet([60_000] + [0] * 60_000), "60,000 columns in .* bytes, expected 100 bytes for each")


@pytest.mark.parametrize("depth", [70, 5_000])
def test_nested_columns_of_parquet(depth: int, tmp_path: Path) -> None:
    """polars 2.1 ends the process at some 2,000 levels."""
    refused(tmp_path / "t", parquet([2, *[1] * depth, 0, 0]), "cannot be read: the description of its columns")


def test_rows_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t").write_bytes(parquet([1, 0]))
    table = read_table(str(tmp_path / "t"))
    with pytest.raises(DataError, match="the file cannot be read"):  # by a panic of polars, or for want of rows
        list(table.batches(table.names))
    polars.DataFrame({"a": [1, 2]}).write_parquet(tmp_path / "t")
    table = read_table(str(tmp_path / "t"))
    monkeypatch.setattr(table, "_rows", 3)
    with pytest.raises(DataError, match="it has fewer than 3 rows"):
        list(table.batches(table.names))


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        *[(kind, days) for kind in (polars.Date, polars.List(polars.Date)) for days in (10**7, (1 << 30) - 1)],
        *[(polars.Datetime("ms"), milliseconds) for milliseconds in (10**15, (1 << 62) - 1)],
        *[(polars.Duration("ms"), milliseconds) for milliseconds in (9 * 10**16, (1 << 62) - 1)],
    ],
)
def test_times_that_python_does_not_have(kind: object, number: int, tmp_path: Path) -> None:
    """For which polars panics, or passes on the error of Python's datetime."""
    values = polars.Series("a", [number], polars.Int32 if number < 1 << 31 else polars.Int64)
    values = values.cast(polars.Date).implode() if kind == polars.List(polars.Date) else values.cast(kind)
    values.to_frame().write_ipc(tmp_path / "t")
    table = read_table(str(tmp_path / "t"))
    for read in (table.batches(["a"]), table.cells("a")):
        with pytest.raises(DataError, match="the file cannot be read"):
            list(read)


@pytest.mark.parametrize("content", [b"PAR1", b"PAR1" + bytes(4) + b"PAR1", b"PAR1\x15\2\x19\xfc\xff\xff\xff\xff\xff"])
def test_no_description(content: bytes, tmp_path: Path) -> None:
    refused(tmp_path / "t", content, "the description of its columns is damaged")
    refused(tmp_path / "t", content + b"\xff\xff\xff\x7fPAR1", "the description of its columns is damaged")
    refused(tmp_path / "t", b"ARROW1\0\0" + content + b"\xff\xff\xff\x7fARROW1", "the description of its columns")
    refused(tmp_path / "t", b"\xff\xff\xff\xff\xff\xff\xff\x7f" + content, "the description of its columns is damaged")


def arrow(levels: list[int], text: int = 1) -> bytes:
    """The begin of an Arrow stream, whose columns at each level are so many times the same one; with a name."""
    data = bytearray(4)

    def table(*parts: bool) -> int:
        """A table with places for these parts; where it begins."""
        count = sum(parts)
        places = [4 + 4 * sum(parts[:i]) if part else 0 for i, part in enumerate(parts)]
        head = struct.pack(f"<HH{len(parts)}H", 4 + 2 * len(parts), 4 + 4 * count, *places)
        data.extend(head)
        data.extend(struct.pack("<i", len(head)) + bytes(4 * count))
        return len(data) - 4 - 4 * count

    def point(place: int) -> None:
        """Let the offset at this place point to what follows."""
        struct.pack_into("<I", data, place, len(data) - place)

    root = table(False, False, True)
    struct.pack_into("<I", data, 0, root)
    schema = table(False, True)
    struct.pack_into("<I", data, root + 4, schema - root - 4)
    holder = schema + 4  # the offset of the next vector of columns
    for level, count in enumerate(levels):
        point(holder)
        data.extend(struct.pack("<I", count))
        vector = len(data)
        data.extend(bytes(4 * count))
        last = level == len(levels) - 1
        column = table(True, False, False, False, False, not last)
        for place in range(vector, vector + 4 * count, 4):
            struct.pack_into("<I", data, place, column - place)
        point(column + 4)
        data.extend(struct.pack("<I", text) + b"n" * text)
        holder = column + 8
    return b"\xff\xff\xff\xff" + len(data).to_bytes(4, "little") + bytes(data)


def test_columns_of_arrow_that_are_one(tmp_path: Path) -> None:
    refused(tmp_path / "t", arrow([70_000]), "16,385 columns in .* bytes, expected 100 bytes for each")
    refused(tmp_path / "t", arrow([70_000], 8 << 20), "the description of its columns is damaged")


@pytest.mark.parametrize("levels", [[2] * 60, [1] * 100, [1] * 5_000])
def test_nested_columns_of_arrow(levels: list[int], tmp_path: Path) -> None:
    """Two to the power of sixty columns, or columns of many levels."""
    refused(tmp_path / "t", arrow(levels), "the description of its columns is damaged")


@pytest.mark.parametrize("kind", ["file", "stream", "parquet"])
def test_what_polars_writes_is_read(kind: str, tmp_path: Path) -> None:
    nested = polars.Series([[{"x": [1], "y": "a"}], []])
    frame = polars.DataFrame({"a": [1, 2], "b": ["x", None], "nested": nested})
    write = {"file": frame.write_ipc, "stream": frame.write_ipc_stream, "parquet": frame.write_parquet}[kind]
    write(tmp_path / "t")
    table = read_table(str(tmp_path / "t"))
    ((_, same),) = table.batches(table.names)
    assert same.equals(frame)


def test_fields_of_json_lines(tmp_path: Path) -> None:
    many = ",".join(f'"c{i}":1' for i in range(17_000))
    refused(tmp_path / "t", f"{{{many}}}\n".encode(), "more than 16,384 columns")
    refused(tmp_path / "t", f'{{"a":{{{many}}}}}\n'.encode(), "more than 16,384 columns")
    lines = [f'{{"a":{{"b{i}":{{"c":[{{"d":1}}]}}}}}}\n' for i in range(4_200)]
    refused(tmp_path / "t", "".join(lines).encode(), "more than 16,384 columns")
    few = ",".join(f'"c{i}":1' for i in range(300))
    refused(tmp_path / "t", (f"{{{few}}}\n" + '{"a":1}\n' * 100_000).encode(), "few of the 301 columns each")


@pytest.mark.parametrize("begin, end", ["[]", ('{"a":', "}")])
@pytest.mark.parametrize("depth", [40, 500, 100_000])
def test_deep_json_lines(begin: str, end: str, depth: int, tmp_path: Path) -> None:
    """polars takes 10 s for a line of 500 levels."""
    text = '{"a":1}\n{"a":' + begin * depth + "1" + end * depth + "}\n"
    refused(tmp_path / "t", text.encode(), "line 2 is no JSON object of at most 32 levels")


def test_numbers_and_doubled_names_in_json_lines(tmp_path: Path) -> None:
    """An integer beyond 128 bits is an error; of a name that is there twice the first value is taken."""
    refused(tmp_path / "t", b'{"a":1}\n{"a":' + b"9" * 5_000 + b"}\n", "the file cannot be read")
    (tmp_path / "t").write_text('{"a":1,"b":2,"a":3}\n{"a":4,"b":1e-999}\n')
    table = read_table(str(tmp_path / "t"))
    assert table.names == ["a", "b"] and table.numbers("a").tolist() == [1, 4] and table.numbers("b").tolist() == [2, 0]


def test_an_archive_and_other_files_that_hold_much_more_than_their_bytes(tmp_path: Path) -> None:
    polars.select(a=polars.repeat(1, 20_000_000, dtype=polars.Int8)).write_parquet(tmp_path / "p")
    refused(tmp_path / "p", (tmp_path / "p").read_bytes(), "20,000,000 rows of 1 columns in .* bytes.* a trap")
