"""TableEncoder: what columns are taken for, x of frames of any library, order, gaps, unseen levels, files, warnings."""

import datetime
import decimal
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optional import optional
from table_frames import tables, texts

from mlpcore.errors import ConfigurationError, DataError, MlpcoreWarning, ModelFileError
from mlpcore.tabular import TableEncoder
from mlpcore.tabular.one_hot import one_hot, one_hot_width

DAY = datetime.datetime(2024, 2, 29, 12)
ROWS = 12
NAN = np.nan


def base(**columns):
    """A frame with a column that is always kept."""
    return {"base": np.arange(ROWS) * 0.5, **columns}


def kinds(frame, rows=None, **told):
    encoder = TableEncoder(**told).fit(frame, rows)
    return {column.name: (column.kind, column.reason) for column in encoder.columns}


COLUMNS = {
    "numbers": (np.linspace(0, 1, ROWS), "numeric", "numbers"),
    "gaps": (np.where(np.arange(ROWS) < 3, NAN, np.arange(ROWS)), "numeric", "numbers, 25 % missing"),
    "integers": (np.arange(ROWS) // 2, "numeric", "whole numbers"),
    "truth": (np.arange(ROWS) < 5, "categorical", "2 different truth values"),
    "texts": (texts(*"abcabcabcabc"), "categorical", "3 different texts"),
    "fixed texts": (np.array(list("abcabcabcabc")), "categorical", "3 different texts"),
    "texts with gaps": (texts(None, *"abababababa"), "categorical", "2 different texts, 8.33 % missing"),
    "one text and gaps": (texts(None, *"aaaaaaaaaaa"), "categorical", "1 different texts, 8.33 % missing"),
    "dates": (np.datetime64("2024-01-01") + np.arange(ROWS), "date", "dates"),
    "durations": (np.arange(ROWS).astype("timedelta64[m]"), "numeric", "numbers"),
    "decimals": (texts(*map(decimal.Decimal, range(ROWS))), "numeric", "numbers"),
    "days": (texts(*[DAY.date()] * 5, *[datetime.date(2020, 1, 1)] * 7), "date", "dates"),
    "times of day": (texts(*[datetime.time(1)] * 5, *[datetime.time(2)] * 7), "numeric", "numbers"),
    "mixed": (texts(*[1, "a"] * 6), "categorical", "2 different texts"),
    "constant": (np.ones(ROWS), "left out", "constant: '1'"),
    "constant text": (texts(*["so"] * ROWS), "left out", "constant: 'so'"),
    "missing": (np.full(ROWS, NAN), "left out", "all values are missing"),
    "missing texts": (texts(*[None] * ROWS), "left out", "all values are missing"),
    "identifier": (texts(*map(str, range(ROWS))), "left out", "an identifier: every text is another one"),
}
WARNED = {
    "rows from 0": (np.arange(ROWS), "left out", "the numbers of the rows; types, --types decides otherwise"),
    "rows from 1": (
        np.arange(ROWS, dtype="uint8") + 1,
        "left out",
        "the numbers of the rows; types, --types decides otherwise",
    ),
    "lists": (texts(*[[1]] * ROWS), "left out", "its type object is no number, text or date"),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_what_a_column_is(name):
    column, kind, reason = COLUMNS[name]
    assert kinds(base(a=column))["a"] == (kind, reason)


@pytest.mark.parametrize("name", WARNED)
def test_what_is_left_out_with_a_warning(name):
    column, kind, reason = WARNED[name]
    with pytest.warns(MlpcoreWarning, match=f"column 'a' is left out: {reason}"):
        assert kinds(base(a=column))["a"] == (kind, reason)


def test_row_numbers_are_known_by_the_places_of_the_rows():
    rows = np.array([1, 4, 5, 9, 11, 12])
    half = rows * 0.5
    with pytest.warns(MlpcoreWarning, match="the numbers of the rows"):
        assert kinds({"a": rows + 1, "b": half}, rows)["a"][0] == "left out"
    assert kinds({"a": rows + 2, "b": half}, rows)["a"][0] == "numeric"
    assert kinds({"a": rows + 1.0, "b": half}, rows)["a"][0] == "numeric"  # floats may be measured


def test_few_texts_may_all_differ():
    assert kinds({"a": texts(*"abcdefghi"), "b": np.arange(9) * 0.5})["a"][0] == "categorical"
    assert kinds({"a": texts(*"abcdefghij"), "b": np.arange(10) * 0.5})["a"][0] == "left out"


def test_texts_of_which_none_is_frequent():
    names = texts(*[f"{i // 2}" for i in range(600)])
    assert kinds({"a": names, "b": np.arange(600) * 0.5})["a"] == ("left out", "no text occurs in 3 rows")


def test_arguments_overrule():
    frame = base(a=np.arange(ROWS), b=texts(*"1212121212", None, "2"), c=texts(*["2024-01-02", "2024-02-03T04:05"] * 6))
    told = {"a": "categorical", "b": "numeric", "c": "date"}
    encoder = TableEncoder(told, ignore=["base"]).fit(frame)
    assert {column.name: column.kind for column in encoder.columns} == told | {"base": "left out"}
    waves = [f"c ({wave} of the {cycle})" for cycle in ("month", "week", "day") for wave in ("sine", "cosine")]
    assert encoder.names == ["b", "b is missing", "c", *waves, "a"]
    assert encoder.category_sizes == (ROWS + 1,)
    assert kinds(base(a=np.arange(ROWS) < 5), types={"a": "numeric"})["a"] == ("numeric", "as told")
    truth = TableEncoder({"a": "numeric"}).fit(base(a=np.arange(ROWS) < 5))
    assert truth.transform(base(a=np.array([True, False] * 6)))[:2, 1].tolist() == [pytest.approx(0.9486833), 0]


def test_large_integers_are_different_levels():
    near = np.array([2**53, 2**53 + 1] * 6)
    encoder = TableEncoder({"a": "categorical"}).fit(base(a=near))
    assert encoder.encoders["a"].levels == ("9007199254740992", "9007199254740993")
    assert encoder.transform(base(a=near))[:2, 1].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("frame", "told", "said"),
    [
        (base(), {"types": {"a": "numeric"}}, "types and ignore name the column 'a', expected some of 'base'"),
        (base(), {"ignore": ["a"]}, "name the column 'a'"),
        (base(), {"ignore": ["base"]}, r"no column is left to learn from, expected at least one: 'base' \(as told\)"),
        (
            base(a=np.array([1, np.inf, -np.inf] * 4)),
            {},
            "'a' has infinite numbers in 8 of 12 rows, the first in row 1",
        ),
        (base(a=texts(*"12x456789012")), {"types": {"a": "numeric"}}, "'a' has 'x' in row 2, expected numbers"),
        (base(a=texts(*["1_0", "2"] * 6)), {"types": {"a": "numeric"}}, "'a' has '1_0' in row 0, expected numbers"),
        (base(a=texts(*["today"] * ROWS)), {"types": {"a": "date"}}, "'a' has 'today' in row 0, expected dates"),
        (base(a=np.ones(ROWS)), {"types": {"a": "date"}}, "'a' is of type float64, expected dates"),
        (base(a=COLUMNS["dates"][0]), {"types": {"a": "numeric"}}, "'a' is of type datetime64.D., expected numbers"),
        (base(a=np.ones(3)), {}, "the columns of the frame have different lengths"),
        ({}, {}, "the frame has no rows or no columns"),
        (base(a=np.ones((ROWS, 2))), {}, "a column of the frame has shape"),
        (3, {}, "the frame is of type int, which cannot be read"),
    ],
)
def test_frames_that_cannot_be_used(frame, told, said):
    with pytest.raises(DataError, match=said):
        TableEncoder(**told).fit(frame)


def test_kinds_that_do_not_exist():
    with pytest.raises(ConfigurationError, match="is 'number', expected one of 'numeric'"):
        TableEncoder({"base": "number"}).fit(base())


FRAME = {
    "a": [1.5, None, 3.0, 4.0, 1.0, 2.5],
    "n": [5, 3, 2, 8, 13, 21],
    "t": ["x", "y", None, "x", "é", "y"],
    "b": [True, None, False, True, True, False],
    "d": [DAY, None, DAY.replace(year=2020), DAY, DAY.replace(month=5), DAY],
}


def frames():
    """The same table in the libraries that are there."""
    polars, pandas, pyarrow = optional("polars"), optional("pandas"), optional("pyarrow")
    optional("narwhals")
    return {
        "polars": polars.DataFrame(FRAME),
        "polars categories": polars.DataFrame(FRAME).with_columns(polars.col("t").cast(polars.Categorical)),
        "polars enum": polars.DataFrame(FRAME).with_columns(polars.col("t").cast(polars.Enum(["y", "x", "é"]))),
        "pandas": pandas.DataFrame(FRAME),
        "pandas categories": pandas.DataFrame(FRAME).astype({"t": "category", "b": "boolean", "n": "Int32"}),
        "pandas objects": pandas.DataFrame(
            {name: pandas.Series(column, dtype=object) for name, column in FRAME.items()}
        ),
        "pandas of Arrow": pyarrow.table(FRAME).to_pandas(types_mapper=pandas.ArrowDtype),
        "Arrow": pyarrow.table(FRAME),
        "Arrow dictionaries": pyarrow.table(FRAME | {"t": pyarrow.array(FRAME["t"]).dictionary_encode()}),
        "arrays": {name: texts(*column) for name, column in FRAME.items()},
    }


def test_every_library_gives_the_same_x():
    tables = frames()
    encoder = TableEncoder().fit(tables["polars"])
    assert encoder.numeric_columns == 11 and encoder.category_sizes == (5, 4)
    x = encoder.transform(tables["polars"])
    assert x.dtype == "float32" and x.shape == (6, 13) and np.all(np.isfinite(x))
    for name, table in tables.items():
        assert encoder.transform(table).tobytes() == x.tobytes(), name
        again = TableEncoder().fit(table)
        assert again.to_json()["columns"][0] == encoder.to_json()["columns"][0]
        assert again.transform(table).tobytes() == x.tobytes(), name


def test_frames_that_are_not_computed_or_have_a_name_twice():
    polars, pandas = optional("polars"), optional("pandas")
    with pytest.raises(DataError, match=r"whose rows are not computed yet; pass frame\.collect\(\)"):
        TableEncoder().fit(polars.DataFrame(FRAME).lazy())
    twice = pandas.DataFrame(np.ones((2, 2)), columns=["a", "a"])
    with pytest.raises(DataError, match="'a'"):
        TableEncoder().fit(twice)
    numbered = TableEncoder().fit(pandas.DataFrame(np.eye(3)))
    assert numbered.kept == ("0", "1", "2")


def test_zones_are_read_as_local_times():
    pandas = optional("pandas")
    moments = pandas.date_range("2024-01-01", periods=48, freq="h", tz="Europe/Berlin")
    local = {"d": np.asarray(moments.tz_localize(None), dtype="datetime64[us]")}
    of_zone, of_none = TableEncoder().fit(pandas.DataFrame({"d": moments})), TableEncoder().fit(local)
    assert of_zone.encoders == of_none.encoders


def test_an_array_is_a_frame():
    x = np.random.default_rng(0).normal(size=(20, 3))
    encoder = TableEncoder().fit(x)
    assert encoder.names == ["x[0]", "x[1]", "x[2]"] and encoder.transform(x, "float64").shape == (20, 3)


def test_levels_that_are_new_cause_a_warning():
    frame = base(a=texts(*"ab" * 6), b=texts(*"cd" * 6))
    encoder = TableEncoder().fit(frame)
    encoder.transform(frame)
    encoder.transform(base(a=texts("z", *"ababababab", "a"), b=frame["b"]))  # one of twelve is few
    new = base(a=texts(*"zzab" * 3), b=frame["b"])
    with pytest.warns(MlpcoreWarning, match=r"hardly, are in column 'a' \(50 %\) of the rows"):
        x = encoder.transform(new)
    assert encoder.transform(new, warn=False).tobytes() == x.tobytes() and x[0, 1] == 0


def test_columns_that_are_missing_are_named():
    encoder = TableEncoder().fit(base(a=texts(*"ab" * 6), c=np.ones(ROWS)))
    encoder.transform({"a": texts("a"), "base": np.ones(1)})  # c was constant, and is not needed
    with pytest.raises(DataError, match="the table lacks the column 'base', 'a'; add it: columns are matched by name"):
        encoder.transform({"b": np.ones(3)})
    with pytest.raises(DataError, match="'base' has infinite numbers in 1 of 2 rows, the first in row 11"):
        encoder.transform({"a": texts("a", "a"), "base": np.array([0, np.inf])}, first=10)


def test_a_column_without_values_is_one_of_any_kind():
    encoder = TableEncoder().fit(base(a=texts(*"ab" * 6), d=COLUMNS["dates"][0]))
    x = encoder.transform({"base": texts(None), "a": np.array([NAN]), "d": np.array([NAN])}, warn=False)
    assert x.shape == (1, len(encoder.names)) and x[0, -1] == 0


@given(tables(), st.sampled_from(["objects", "polars", "pandas"]))
@pytest.mark.filterwarnings("ignore::mlpcore.errors.MlpcoreWarning")
def test_every_table_is_encoded_as_finite_numbers_and_the_same_after_a_file(table, library):
    columns, new, told = table
    make = {
        "objects": lambda table: {name: texts(*cells) for name, cells in table.items()},
        "polars": lambda table: optional("polars").DataFrame(table, strict=False),
        "pandas": lambda table: optional("pandas").DataFrame({n: texts(*cells) for n, cells in table.items()}),
    }[library]
    encoder = TableEncoder(told).fit(make(columns))
    stored = json.loads(json.dumps(encoder.to_json(), allow_nan=False))
    again = TableEncoder.from_json(stored)
    assert again.to_json() == stored and again.columns == tuple(c for c in encoder.columns)
    numeric, sizes = encoder.numeric_columns, encoder.category_sizes
    for frame in (make(columns), make(new)):
        for dtype in ("float32", "float64"):
            x = encoder.transform(frame, dtype)
            assert x.dtype == dtype and x.shape == (x.shape[0], len(encoder.names)) and np.all(np.isfinite(x))
            assert again.transform(frame, dtype).tobytes() == x.tobytes()
            indices = x[:, numeric:]
            assert np.all((indices >= 0) & (indices < np.array(sizes, dtype=dtype)) & (indices == np.floor(indices)))
    in_order = {name: new[name] for name in columns}
    assert encoder.transform(make(in_order)).tobytes() == encoder.transform(make(new)).tobytes()


@given(tables())
@pytest.mark.filterwarnings("ignore::mlpcore.errors.MlpcoreWarning")
def test_what_is_not_in_the_training_rows_has_no_influence(table):
    columns, new, told = table
    arrays = {name: texts(*cells) for name, cells in columns.items()}
    encoder = TableEncoder(told).fit(arrays)
    before = encoder.to_json()
    encoder.transform({name: texts(*cells) for name, cells in new.items()})
    assert encoder.to_json() == before == TableEncoder(told).fit(arrays).to_json()
    rows = [encoder.transform({name: column[i : i + 1] for name, column in arrays.items()}) for i in range(2)]
    assert np.vstack(rows).tobytes() == encoder.transform(arrays)[:2].tobytes()  # rows are encoded one by one


@pytest.mark.parametrize("stored", [None, {}, {"columns": []}, {"columns": [None]}, {"columns": [{"name": "a"}]}])
def test_damaged_values_are_refused(stored):
    with pytest.raises(ModelFileError, match="the description of the table is damaged"):
        TableEncoder.from_json(stored)


def test_one_hot():
    x = np.array([[0.5, 0, 2], [1.5, 2, 1], [2.5, 1, 0]], dtype="float32")
    found = one_hot(x, (3, 4))
    assert found.dtype == "float32" and one_hot_width(1, (3, 4)) == 6
    assert found.tolist() == [[0.5, 0, 0, 0, 1, 0], [1.5, 0, 1, 1, 0, 0], [2.5, 1, 0, 0, 0, 0]]
    wide = one_hot(np.array([[100.0], [101.0]]), (150,))
    assert wide.shape == (2, one_hot_width(0, (150,))) == (2, 100) and wide.sum(axis=1).tolist() == [1, 0]
