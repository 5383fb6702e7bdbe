"""Tables, targets and weights that a cast would make numbers of: the estimators refuse them, and say what they hold."""

import datetime
import decimal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from optional import optional

sklearn = optional("sklearn")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from refusals import ADVICE  # noqa: E402

import mlpcore as mc  # noqa: E402
from mlpcore.sklearn import MLPClassifier, MLPRegressor  # noqa: E402

RNG = np.random.default_rng(0)
X = np.round(4 * RNG.normal(size=(24, 2)))
LABELS = (X[:, 0] > 0).astype(int)
Y = X[:, 0] + 0.5 * X[:, 1]
DAYS = np.datetime64("2024-01-01") + np.arange(48).reshape(24, 2)
WORDS: dict[str, Any] = {"hidden_layer_sizes": (3,), "random_state": 0, "max_iter": 2}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def classifier() -> MLPClassifier:
    return MLPClassifier(**WORDS)


def regressor() -> MLPRegressor:
    return MLPRegressor(**WORDS)


# What a float can be made of, and is no number; by its dtype, or as entries of an object array.
ARRAYS: dict[str, np.ndarray] = {
    **{f"dates in {unit}": DAYS.astype(f"M8[{unit}]") for unit in ("D", "s", "ns")},
    **{f"durations in {unit}": (DAYS - DAYS[0, 0]).astype(f"m8[{unit}]") for unit in ("D", "s", "ns")},
    "texts": X.astype(int).astype(str),
    "bytes": X.astype(int).astype("S"),
    "records": np.zeros((24, 2), dtype=[("a", "f8")]),
    "void": np.zeros((24, 2), dtype="V8"),
}
ENTRIES: dict[str, Any] = {
    "text": "1",
    "bytes": b"1",
    "decimal": decimal.Decimal("1.5"),
    "date": datetime.date(2024, 1, 1),
    "moment": datetime.datetime(2024, 1, 1),
    "time of day": datetime.time(12),
    "duration": datetime.timedelta(1),
    "datetime64": np.datetime64("2024-01-01", "ns"),
    "timedelta64": np.timedelta64(1, "ns"),
}
CALLS: dict[str, Callable[[Any], Any]] = {
    "fit": lambda x: classifier().fit(x, LABELS),
    "partial_fit": lambda x: classifier().partial_fit(x, LABELS, classes=[0, 1]),
    "predict": lambda x: classifier().fit(X, LABELS).predict(x),
    "transform": lambda x: classifier().fit(X, LABELS).transform(x),
    "score": lambda x: regressor().fit(X, Y).score(x, Y),
    "validation_data": lambda x: regressor().fit(X, Y, validation_data=(x, Y)),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_that_are_no_numbers(kind: str, call: str) -> None:
    for x in (ARRAYS[kind], list(ARRAYS[kind])):
        with pytest.raises(mc.DataError, match=f"^X has dtype .*, expected numbers; {ADVICE}"):
            CALLS[call](x)


@pytest.mark.parametrize("call", CALLS)
@given(entry=st.sampled_from(sorted(ENTRIES)), row=st.integers(0, 23), column=st.integers(0, 1))
def test_objects_that_are_no_numbers(call: str, entry: str, row: int, column: int) -> None:
    x = X.astype(object)
    CALLS[call](x)
    x[row, column] = ENTRIES[entry]
    kind = type(ENTRIES[entry]).__name__
    with pytest.raises(mc.DataError, match=rf"^X has .* \({kind}\) in row {row}, expected numbers; {ADVICE}"):
        CALLS[call](x)
    with pytest.raises(mc.DataError, match=rf"^X has .*, expected numbers; {ADVICE}"):
        CALLS[call](x.tolist())


@pytest.mark.parametrize("entry", ENTRIES)
def test_objects_in_a_frame_name_their_column(entry: str) -> None:
    pandas = optional("pandas")
    frame = pandas.DataFrame({"count": pandas.Series(X[:, 0].tolist(), dtype=object), "size": X[:, 1]})
    np.testing.assert_array_equal(
        classifier().fit(frame, LABELS).predict(frame), classifier().fit(X, LABELS).predict(X)
    )
    for bad in (ENTRIES[entry], [1.0], {"a": 1}, pandas.NA):
        frame["count"] = pandas.Series([*X[:23, 0].tolist(), bad], dtype=object)
        with pytest.raises(mc.DataError, match=r"^X has .* in row 23 of column 'count', expected numbers"):
            classifier().fit(frame, LABELS)


@pytest.mark.parametrize("kind", ARRAYS)
def test_targets_that_are_no_numbers(kind: str) -> None:
    y = ARRAYS[kind][:, 0]
    for act in (lambda: regressor().fit(X, y), lambda: regressor().fit(X, Y, validation_data=(X, y))):
        with pytest.raises(mc.DataError, match=f"^y has dtype .*, expected numbers; {ADVICE}"):
            act()
    with pytest.raises(mc.DataError, match=r"^sample_weight has dtype .*, expected numbers"):
        regressor().fit(X, Y, sample_weight=y)


@pytest.mark.parametrize("entry", ENTRIES)
def test_objects_among_targets_and_weights(entry: str) -> None:
    y = np.abs(X[:, 0]).astype(object)
    np.testing.assert_array_equal(regressor().fit(X, y).predict(X), regressor().fit(X, np.abs(X[:, 0])).predict(X))
    regressor().fit(X, Y, sample_weight=y)
    y[4] = ENTRIES[entry]
    with pytest.raises(mc.DataError, match=rf"^y has .* \({type(y[4]).__name__}\) in row 4, expected numbers"):
        regressor().fit(X, y)
    with pytest.raises(mc.DataError, match=r"^sample_weight has .* in row 4, expected numbers"):
        regressor().fit(X, Y, sample_weight=y)


def test_masked_entries_are_refused() -> None:
    masked = np.ma.MaskedArray(X, mask=X > 5)
    with pytest.raises(mc.DataError, match=r"^X has masked entries, which would count as data"):
        classifier().fit(masked, LABELS)
    with pytest.raises(mc.DataError, match=r"^X has masked entries"):
        classifier().fit(X, LABELS).predict(masked)
    for y in (np.ma.MaskedArray(LABELS, mask=LABELS == 0), np.ma.MaskedArray(Y, mask=Y > 3)):
        with pytest.raises(mc.DataError, match=r"^y has masked entries"):
            regressor().fit(X, y)
        with pytest.raises(mc.DataError, match=r"^sample_weight has masked entries"):
            regressor().fit(X, Y, sample_weight=np.ma.MaskedArray(np.ones(24), mask=y.mask))
    with pytest.raises(mc.DataError, match=r"^y has masked labels"):
        classifier().fit(X, np.ma.MaskedArray(LABELS, mask=LABELS == 0))
    whole = np.ma.MaskedArray(X)
    np.testing.assert_array_equal(
        classifier().fit(whole, LABELS).predict(whole), classifier().fit(X, LABELS).predict(X)
    )


def test_a_missing_number_is_named_by_its_row() -> None:
    pandas = optional("pandas")
    for gap in (None, np.nan, pandas.NA, pandas.NaT):
        y = Y.astype(object)
        y[7] = gap
        for target in (y, y.tolist(), y[:, None], pandas.Series(y), np.where(np.arange(24) == 7, np.nan, Y)):
            with pytest.raises(mc.DataError, match=r"^y has a missing label in row 7 \(.*\); drop the rows without"):
                regressor().fit(X, target)
