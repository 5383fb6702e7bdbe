"""Data frames of every library: columns of numbers are numbers, by their declared types, and all others are named."""

import datetime
import decimal
import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fitting import LABELS, ROWS, X, Y, assert_same, classifier, make, state_of
from hypothesis import example, given
from hypothesis import strategies as st
from optional import optional
from refusals import GAPS

import mlpcore as mc

pyarrow = optional("pyarrow")

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")

NET = mc.Linear(3, 2)
TITLES = ["left", "the middle", "right"]
DAY = datetime.date(2024, 2, 29)
TIME = datetime.datetime(2024, 2, 29, 12)
# An Arrow type and a value of it.
NUMBERS = {name: (getattr(pyarrow, name)(), 1) for name in ("int8", "int64", "uint8", "uint32", "float32", "float64")}
NUMBERS |= {"bool": (pyarrow.bool_(), True)}
OTHERS: dict[str, tuple[Any, Any]] = {
    "text": (pyarrow.string(), "1"),
    "long text": (pyarrow.large_string(), "one"),
    "bytes": (pyarrow.binary(), b"1"),
    "date": (pyarrow.date32(), DAY),
    "time": (pyarrow.timestamp("us"), TIME),
    "time of a zone": (pyarrow.timestamp("ms", "UTC"), TIME.replace(tzinfo=datetime.UTC)),
    "time of day": (pyarrow.time64("us"), TIME.time()),
    "duration": (pyarrow.duration("us"), datetime.timedelta(1)),
    "decimal": (pyarrow.decimal128(4, 1), decimal.Decimal("1.5")),
    "list": (pyarrow.list_(pyarrow.float64()), [1.0, 2.0]),
    "record": (pyarrow.struct([("a", pyarrow.int64())]), {"a": 1}),
    "category": (pyarrow.dictionary(pyarrow.int32(), pyarrow.string()), "1"),
}
BY_INTERCHANGE = {*NUMBERS, "text", "long text", "time", "category"}  # the others are not in that protocol


class Stream:
    """A frame of an unknown library, which gives its columns to Arrow only."""

    def __init__(self, table: Any) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.table.__arrow_c_stream__(requested_schema)


class Interchange:
    """A frame of an unknown library, which speaks the interchange protocol only."""

    def __init__(self, table: Any) -> None:
        self.table = table

    def __dataframe__(self, **words: Any) -> Any:
        return self.table.__dataframe__(**words)


def pandas_of(table: Any) -> Any:
    pandas = optional("pandas")
    return table.to_pandas(types_mapper=pandas.ArrowDtype)


LIBRARIES: dict[str, Callable[[Any], Any]] = {
    "pandas": pandas_of,
    "polars": lambda table: optional("polars").from_arrow(table),
    "a table of Arrow": lambda table: table,
    "a batch of Arrow": lambda table: table.combine_chunks().to_batches()[0],
    "Arrow's protocol": Stream,
    "the interchange protocol": Interchange,
}


def table_of(kinds: list[str], x: np.ndarray | None = None, gap: int | None = None) -> Any:
    """A table with columns of these kinds; those of numbers have the numbers of x, or 0 and 1 as booleans."""
    columns = {}
    for i, kind in enumerate(kinds):
        declared, value = (NUMBERS | OTHERS)[kind]
        cells = [value] * ROWS if x is None or kind in OTHERS else x[:, i].tolist()
        cells = [bool(cell) for cell in cells] if kind == "bool" else cells
        cells = [int(cell) for cell in cells] if "int" in kind else cells
        cells = [None if i == gap and row == 3 else cell for row, cell in enumerate(cells)]
        columns[TITLES[i]] = pyarrow.array(cells, type=declared)
    return pyarrow.table(columns)


def columns_of(*kinds: str) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(sorted(kinds)), min_size=3, max_size=3)


def estimators() -> list[Any]:
    """Those of scikit-learn's surface, where scikit-learn is there."""
    if importlib.util.find_spec("sklearn") is None:
        return []
    module = importlib.import_module("mlpcore.sklearn")
    words = {"hidden_layer_sizes": (2,), "max_iter": 1, "random_state": 0}
    return [module.MLPClassifier(**words), module.MLPRegressor(**words)]


@pytest.mark.parametrize("library", LIBRARIES)
@given(kinds=columns_of(*NUMBERS))
@example(kinds=list(NUMBERS)[-3:])
def test_columns_of_numbers_are_those_of_an_array(library: str, kinds: list[str]) -> None:
    whole = np.abs(np.round(X)) * (np.array(kinds) != "bool") + (X > 0) * (np.array(kinds) == "bool")
    frame = LIBRARIES[library](table_of(kinds, whole))
    one, other = make(NET), make(NET)
    one.fit(frame, Y, epochs=1, validation_data=(frame, Y))
    other.fit(whole, Y, epochs=1, validation_data=(whole, Y))
    assert_same(state_of(one), state_of(other))
    np.testing.assert_array_equal(one.predict(frame), other.predict(whole))
    assert one.evaluate(frame, Y) == other.evaluate(whole, Y)
    for estimator, y in zip(estimators(), (LABELS, Y[:, 0]), strict=False):
        expected = estimator.fit(whole, y).predict(whole)
        np.testing.assert_array_equal(estimator.fit(frame, y).predict(frame), expected)
        assert estimator.feature_names_in_.tolist() == TITLES
        turned = LIBRARIES[library](table_of(kinds, whole).select(TITLES[::-1]))
        with pytest.raises(ValueError, match="feature names should match"):
            estimator.predict(turned)


@pytest.mark.parametrize("library", LIBRARIES)
@given(kinds=columns_of(*NUMBERS, *OTHERS))
@example(kinds=["date", "float64", "duration"])
@example(kinds=["time", "time", "time"])
def test_other_columns_are_named(library: str, kinds: list[str]) -> None:
    if library == "the interchange protocol" and not set(kinds) <= BY_INTERCHANGE:
        return
    frame = LIBRARIES[library](table_of(kinds))
    bad = [title for title, kind in zip(TITLES, kinds, strict=True) if kind in OTHERS]
    if not bad:
        return
    model = make(NET)
    acts: list[Callable[[], Any]] = [
        lambda: model.fit(frame, Y),
        lambda: model.predict(frame),
        lambda: model.evaluate(frame, Y),
        lambda: model.fit(X, Y, validation_data=(frame, Y)),
    ]
    for estimator, y in zip(estimators(), (LABELS, Y[:, 0]), strict=False):
        acts += [
            lambda estimator=estimator, y=y: estimator.fit(frame, y),
            lambda estimator=estimator, y=y: estimator.fit(X, y, validation_data=(frame, y)),
            lambda estimator=estimator, y=y: estimator.fit(X, y).predict(frame),
        ]
    for act in acts:
        with pytest.raises(mc.DataError, match=r"[xX] has columns that are not numbers") as caught:
            act()
        assert [title for title in TITLES if repr(title) in str(caught.value)] == bad


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("kind", NUMBERS)
def test_a_gap_is_a_nan(library: str, kind: str) -> None:
    frame = LIBRARIES[library](table_of(["float64", kind, "int64"], gap=1))
    with pytest.raises(mc.DataError, match=f"^x has NaN or infinity in column 'the middle'; {GAPS}"):
        make(NET).fit(frame, Y)
    for estimator, y in zip(estimators(), (LABELS, Y[:, 0]), strict=False):
        with pytest.raises(ValueError, match="Input X contains NaN"):
            estimator.fit(frame, y)


@pytest.mark.parametrize("library", LIBRARIES)
def test_targets_and_weights(library: str) -> None:
    """A frame of one column is a column; so is one that stands alone."""
    weights = np.linspace(0.5, 2, ROWS)
    columns = {"y": LABELS, "w": weights, "yes": LABELS > 0}
    frame = LIBRARIES[library](pyarrow.table({"y": columns["y"]}))
    alone = {name: _column(library, values) for name, values in columns.items()}
    expected = classifier()
    expected.fit(X, LABELS, sample_weight=weights)
    for y in (frame, alone["y"]):
        model = classifier()
        model.fit(X, y, sample_weight=alone["w"])
        assert_same(state_of(model), state_of(expected))
    for estimator in estimators():
        plain = estimator.fit(X, LABELS > 0, sample_weight=weights).predict(X)
        np.testing.assert_array_equal(estimator.fit(X, alone["yes"], sample_weight=alone["w"]).predict(X), plain)


def _column(library: str, values: np.ndarray) -> Any:
    array = pyarrow.array(values)
    if library == "pandas":
        return pandas_of(pyarrow.table({"y": array}))["y"]
    if library == "polars":
        return LIBRARIES["polars"](array)
    return array if library == "a batch of Arrow" else pyarrow.chunked_array([array[:9], array[9:]])


def test_a_frame_that_is_not_computed_yet() -> None:
    polars = optional("polars")
    lazy = polars.DataFrame({title: X[:, i] for i, title in enumerate(TITLES)}).lazy()
    said = r"{} is a LazyFrame, whose rows are not computed yet; pass {}.collect\(\)$"
    model = make(NET)
    acts: dict[str, list[Callable[[], Any]]] = {
        "x": [
            lambda: model.fit(lazy, Y),
            lambda: model.predict(lazy),
            lambda: model.fit(X, Y, validation_data=(lazy, Y)),
        ],
        "y": [lambda: model.fit(X, lazy)],
        "sample_weight": [lambda: model.fit(X, Y, sample_weight=lazy)],
        "X": [],
    }
    for estimator in estimators():
        acts["X"] += [
            lambda estimator=estimator: estimator.fit(lazy, LABELS),
            lambda estimator=estimator: estimator.fit(X, LABELS).predict(lazy),
        ]
        acts["y"] += [lambda estimator=estimator: estimator.fit(X, lazy)]
        acts["sample_weight"] += [lambda estimator=estimator: estimator.fit(X, LABELS, sample_weight=lazy)]
    for name, calls in acts.items():
        for act in calls:
            with pytest.raises(mc.DataError, match=said.format(name, name)):
                act()


def test_a_frame_that_only_arrow_can_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(f"no {name} here")

    monkeypatch.setattr("mlpcore.training.frames.import_module", missing)
    said = r"^x is of type Stream, which only pyarrow can read \(no pyarrow here\); pip install pyarrow$"
    with pytest.raises(mc.DataError, match=said):
        make(NET).predict(Stream(table_of(["int8"] * 3)))
