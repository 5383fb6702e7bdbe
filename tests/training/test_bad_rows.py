"""Rows that cannot be used: x of fit, predict, evaluate and validation data, and what is said about it."""

from collections.abc import Callable
from typing import Any

import array_api_strict
import numpy as np
import pytest
from fitting import PLAIN, ROWS, X, Y, assert_same, make, state_of
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from optional import optional
from refusals import ADVICE, GAPS, INF, KINDS, NAN, changed, refused

import mlpcore as mc


def frame(values: Any, **columns: Any) -> Any:
    pandas = optional("pandas")
    return pandas.DataFrame(values, **columns)


def sparse(values: np.ndarray) -> Any:
    return optional("scipy.sparse").csr_array(values)


# What is wrong with x; for fit, evaluate, predict and validation data alike.
ROWS_OF_X: dict[str, tuple[Callable[[], Any], str]] = {
    "too few columns": (lambda: X[:, :2], r"^Linear\(3, 4\): x has 2 columns, expected 3$"),
    "too many columns": (lambda: np.c_[X, X], r"^Linear\(3, 4\): x has 6 columns, expected 3$"),
    "one row as a vector": (
        lambda: X[0],
        r"^x has shape \(3,\), expected \(rows, columns\); reshape to \(1, 3\) for one row",
    ),
    "a number": (lambda: 3.0, r"^x has shape \(\), expected \(rows, columns\)$"),
    "three axes": (lambda: X[None], r"^x has shape \(1, 22, 3\), expected \(rows, columns\)$"),
    "no rows": (lambda: X[:0], r"^x has shape \(0, 3\), expected at least one row and one column$"),
    "no columns": (lambda: X[:, :0], r"^x has shape \(22, 0\), expected at least one row and one column$"),
    "an empty list": (list, r"^x has shape \(0,\), expected \(rows, columns\)$"),
    "NaN": (lambda: changed(X, (4, 1), NAN), f"^x has NaN or infinity in column 1; {GAPS}"),
    "infinity": (lambda: changed(X, (4, 2), -INF), f"^x has NaN or infinity in column 2; {GAPS}"),
    "several": (lambda: changed(X, ([1, 2, 3], [2, 0, 2]), NAN), "^x has NaN or infinity in column 0, 2; "),
    "NaN in a data frame": (
        lambda: frame(changed(X, (4, 1), NAN), columns=["age", "height", "weight"]),
        f"^x has NaN or infinity in column 'height'; {GAPS}",
    ),
    "a gap in a list": (lambda: [[1.0, 2.0, None]] * ROWS, f"^x has dtype object, {KINDS}"),
    "masked": (
        lambda: np.ma.MaskedArray(X, mask=X > 1),
        "^x is a masked array, whose hidden entries would count as data",
    ),
    "strings": (lambda: X.astype(str), f"^x has dtype <U32, {KINDS}"),
    "bytes": (lambda: X.astype("S"), rf"^x has dtype \|S32, {KINDS}"),
    "a data frame with texts and dates": (
        lambda: frame({"a": X[:, 0], "b": "x", "c": np.zeros(ROWS, "M8[s]")}),
        rf"^x has columns that are not numbers: 'b' \((str|object)\), 'c' \(datetime64\[s\]\); {ADVICE}",
    ),
    "a data frame of whole numbers with a missing one": (
        lambda: frame(np.arange(3 * ROWS).reshape(ROWS, 3), columns=["a", "b", "c"]).astype("Int64").replace(4, None),
        f"^x has NaN or infinity in column 'b'; {GAPS}",
    ),
    "a data frame with a missing value": (
        lambda: frame(X, columns=["a", "b", "c"]).astype("Float64").mask(lambda table: table == table.iloc[4, 1]),
        f"^x has NaN or infinity in column 'b'; {GAPS}",
    ),
    "objects": (lambda: X.astype(object), f"^x has dtype object, {KINDS}"),
    "complex": (lambda: X.astype(complex), f"^x has dtype complex128, {KINDS}"),
    "dates": (lambda: np.zeros((ROWS, 3), dtype="M8[D]"), rf"^x has dtype datetime64\[D\], {KINDS}"),
    "records": (lambda: np.zeros(ROWS, dtype=[("a", "f8")]), f"^x has dtype .*, {KINDS}"),
    "ragged": (
        lambda: [[1.0, 2.0, 3.0], [1.0, 2.0]],
        "^x is no rectangular array of numbers: setting an array element",
    ),
    "None": (lambda: None, r"^x is of type NoneType, expected a \(dense\) array, a table, or lists of numbers$"),
    "sparse": (lambda: sparse(X), r"^x is of type csr_array, expected a \(dense\) array"),
    "a generator": (lambda: (row for row in X), "^x is of type generator, expected"),
    "a dict": (lambda: {"a": X}, "^x is of type dict, expected"),
    "a text": (lambda: "data.csv", f"^x has dtype <U8, {KINDS}"),
    "a complex array of another library": (
        lambda: array_api_strict.zeros((ROWS, 3), dtype=array_api_strict.complex64),
        f"^x has dtype .*complex64, {KINDS}",
    ),
}

CALLS: dict[str, Callable[[mc.Model, Any], Any]] = {
    "fit": lambda model, x: model.fit(x, Y),
    "predict": lambda model, x: model.predict(x),
    "evaluate": lambda model, x: model.evaluate(x, Y),
    "validation_data": lambda model, x: model.fit(X, Y, validation_data=(x, Y)),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("case", ROWS_OF_X)
def test_rows_that_cannot_be_used(case: str, call: str) -> None:
    build, said = ROWS_OF_X[case]
    model = make(PLAIN, metrics=["r2"], ema=0.5)
    x = build()
    if call == "validation_data":
        said = "^validation_data: " + said.removeprefix("^")
    refused(model, lambda: CALLS[call](model, x), mc.DataError, said)
    assert len(model.fit(X, Y, epochs=1, validation_data=(X, Y))) == 1


def test_numbers_that_the_dtype_cannot_hold() -> None:
    """Finite as they come, infinite as float32: the cure is another one than for gaps."""
    big = changed(X, (3, 1), 1e300)
    said = (
        r"^x has numbers too large for float32 in column 1; scale them \(mc.Standardize\) or make the model with dtype"
    )
    for call in CALLS:
        model = make(PLAIN, dtype="float32")
        where = said.replace("^", "^validation_data: ") if call == "validation_data" else said
        refused(model, lambda model=model, call=call: CALLS[call](model, big), mc.DataError, where)
    assert make(PLAIN).predict(big).shape == (ROWS, 2)
    refused(
        make(PLAIN, dtype="float32"),
        lambda: make(PLAIN, dtype="float32").fit(changed(big, (3, 0), NAN), Y),
        mc.DataError,
        "NaN or infinity in column 0, 1",
    )


def test_gaps_are_found_in_every_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlpcore.training.ingest.CHECKED_NUMBERS", 6)  # two rows
    for row in range(ROWS):
        model = make(PLAIN, dtype="float32")
        refused(model, lambda m=model, r=row: m.predict(changed(X, (r, 1), NAN)), mc.DataError, "NaN .* column 1;")
        refused(
            model, lambda m=model, r=row: m.predict(changed(X, (r, 2), 1e99)), mc.DataError, "too large .* column 2;"
        )
    assert make(PLAIN).predict(X).shape == (ROWS, 2)
    # Each block speaks of its own numbers only.
    both = changed(changed(X, (0, 1), 1e99), (9, 2), NAN)
    refused(
        make(PLAIN, dtype="float32"), lambda: make(PLAIN, dtype="float32").predict(both), mc.DataError, "large.* 1;"
    )


@given(at=hnp.arrays(bool, (ROWS, 3)), value=st.sampled_from([NAN, INF, -INF]))
def test_every_bad_column_is_named(at: np.ndarray, value: float) -> None:
    model, x = make(PLAIN), np.where(at, value, X)
    columns = np.flatnonzero(at.any(axis=0))
    if not columns.size:
        model.predict(x)
        return
    refused(model, lambda: model.predict(x), mc.DataError, f"in column {', '.join(map(str, columns))};")


def test_a_long_list_of_columns_is_cut() -> None:
    model = make(mc.Linear(40, 2))
    text = refused(model, lambda: model.predict(np.full((2, 40), NAN)), mc.DataError, "column 0, 1, 2")
    assert "column 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...;" in text


def test_bad_rows_in_the_middle_of_a_models_life_change_nothing_in_it() -> None:
    """Trained, refused in many ways, trained on: like one that was never asked."""
    model, other = make(PLAIN, ema=0.5), make(PLAIN, ema=0.5)
    model.fit(X, Y, epochs=2)
    for build, _ in ROWS_OF_X.values():
        bad = build()
        for act in CALLS.values():
            with pytest.raises(mc.DataError):
                act(model, bad)
    model.fit(X, Y, epochs=2)
    other.fit(X, Y, epochs=4)
    assert_same(state_of(model), state_of(other))
