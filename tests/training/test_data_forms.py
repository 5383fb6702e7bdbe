"""Every form of table, label and number that fit takes gives the same model, and none of them is written to."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fitting import EAGER, LABELS, ROWS, X, Y, assert_same, classifier, make, state_of, untimed
from members import assert_close
from optional import optional

import mlpcore as mc
from mlpcore.random import Stream
from mlpcore.trees import named_leaves


def table(values: np.ndarray) -> Any:
    pandas = optional("pandas")
    return pandas.DataFrame(values)


def mapped(values: np.ndarray, path: Path) -> np.ndarray:
    np.save(path / "x.npy", values)
    return np.load(path / "x.npy", mmap_mode="r")


def unwritten(values: np.ndarray) -> np.ndarray:
    values = values.copy()
    values.flags.writeable = False
    return values


WHOLE = np.round(4 * X)
FORMS: dict[str, Any] = {
    "float32": lambda path: WHOLE.astype("float32"),
    "float16": lambda path: WHOLE.astype("float16"),
    "long double": lambda path: WHOLE.astype(np.longdouble),
    "big endian": lambda path: WHOLE.astype(">f8"),
    "int8": lambda path: WHOLE.astype("int8"),
    "int64": lambda path: WHOLE.astype("int64"),
    "a list": lambda path: WHOLE.tolist(),
    "a list of whole numbers": lambda path: WHOLE.astype(int).tolist(),
    "a field of records": lambda path: np.rec.fromarrays([np.zeros(ROWS), WHOLE], dtype=[("a", "i1"), ("x", "f8", 3)])[
        "x"
    ],
    "a list of rows": lambda path: list(WHOLE),
    "a tuple": lambda path: tuple(map(tuple, WHOLE)),
    "a data frame": lambda path: table(WHOLE),
    "a data frame of mixed columns": lambda path: table(WHOLE).astype({0: "int32", 1: "float32"}),
    "a data frame of its own types": lambda path: table(WHOLE).astype({0: "Int64", 1: "Float32", 2: "Float64"}),
    "Fortran order": lambda path: np.asfortranarray(WHOLE),
    "read-only": lambda path: unwritten(WHOLE),
    "memory-mapped": lambda path: mapped(WHOLE, path),
    "negative strides": lambda path: WHOLE[::-1, ::-1].copy()[::-1, ::-1],
    "every other row of another": lambda path: np.repeat(WHOLE, 2, axis=0)[::2],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_table_gives_the_same_model(form: str, tmp_path: Path) -> None:
    model, expected = make(metrics=["r2"]), make(metrics=["r2"])
    x = FORMS[form](tmp_path)
    history = model.fit(x, Y, epochs=2, batch_size=5, validation_data=(x, Y))
    wanted = expected.fit(WHOLE, Y, epochs=2, batch_size=5, validation_data=(WHOLE, Y))
    assert untimed(history) == untimed(wanted)
    assert_same(state_of(model), state_of(expected))
    prediction = model.predict(x)
    assert type(prediction) is np.ndarray
    np.testing.assert_array_equal(prediction, expected.predict(WHOLE))


def test_booleans_are_zeros_and_ones() -> None:
    one, other = make(), make()
    one.fit(X > 0, Y)
    other.fit((X > 0).astype(float), Y)
    assert_same(state_of(one), state_of(other))


@pytest.mark.parametrize(
    "labels", [LABELS.astype("uint8"), LABELS.astype("int16"), LABELS.tolist(), LABELS[:, None], np.eye(3)[LABELS]]
)
def test_every_form_of_labels_gives_the_same_model(labels: Any) -> None:
    one, other = classifier(), classifier()
    one.fit(X, labels)
    other.fit(X, LABELS)
    assert_same(state_of(one), state_of(other))


def test_labels_of_a_data_frame() -> None:
    whole = table(LABELS[:, None])
    expected = classifier()
    expected.fit(X, LABELS)
    for kind in ("int64", "Int64", "UInt8", "category"):
        for given in (whole[0].astype(kind), whole.astype(kind)):
            model = classifier()
            model.fit(X, given)
            assert_same(state_of(model), state_of(expected))


class OldColumn:
    """A column as data frames before pandas 3 give it: NumPy makes objects of it, asked for numbers it has them."""

    dtype = np.dtype("int64")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return LABELS.astype(object)

    def isna(self) -> np.ndarray:
        return np.zeros(ROWS, dtype=bool)

    def to_numpy(self, dtype: Any = None, na_value: Any = None) -> np.ndarray:
        return LABELS.astype(dtype)


def test_whole_numbers_that_come_as_objects_stay_labels() -> None:
    one, other = classifier(), classifier()
    one.fit(X, OldColumn())
    other.fit(X, LABELS)
    assert_same(state_of(one), state_of(other))


def test_a_column_of_targets_may_be_flat() -> None:
    one, other = make(mc.Linear(3, 1)), make(mc.Linear(3, 1))
    one.fit(X, Y[:, 0])
    other.fit(X, Y[:, :1].astype("float64").tolist())
    assert_same(state_of(one), state_of(other))
    assert one.predict(X).shape == (ROWS, 1)


@pytest.mark.parametrize("backend", ["numpy", EAGER])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nothing_of_the_users_is_written_to(dtype: str, backend: Any) -> None:
    """Also where no copy is made, as the arrays are of the model's own dtype."""
    weights = 0.5 + Stream(1).uniform((ROWS,))
    given = [values.astype(dtype) for values in (X, Y, weights)]
    kept = [values.copy() for values in given]
    params = make(dtype=dtype, seed=5).params
    before = {name: leaf.copy() for name, leaf in named_leaves(params)}
    model = make(dtype=dtype, params=params, ema=0.5, backend=backend)
    for _ in range(2):
        model.fit(*given[:2], sample_weight=given[2], validation_data=tuple(given), epochs=2, batch_size=5)
        model.evaluate(*given[:2], sample_weight=given[2])
        model.predict(given[0])
        model.params = params
    model.fit(*given[:2], epochs=1)
    for values, expected in zip(given, kept, strict=True):
        np.testing.assert_array_equal(values, expected)
    for name, leaf in named_leaves(params):
        np.testing.assert_array_equal(leaf, before[name], err_msg=name)


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_tables_of_few_rows(rows: int) -> None:
    model = make()
    history = model.fit(X[:rows], Y[:rows], epochs=2, batch_size=2, validation_data=(X[:1], Y[:1]))
    assert np.all(np.isfinite(history.loss + history.val_loss)) and model.predict(X[:1]).shape == (1, 2)


# --- what a configuration may hold


@pytest.mark.parametrize("backend", ["numpy", EAGER])
def test_numbers_of_numpy_serve_as_numbers(backend: Any, tmp_path: Path) -> None:
    """No dtype is widened, and files can hold what was given."""
    words = {"l2": 0.5, "clip_norm": 0.25, "clip_value": 0.125, "ema": 0.5, "seed": 3}
    kinds = {"l2": np.float64, "clip_norm": np.float32, "clip_value": np.float64, "ema": np.float64, "seed": np.int64}
    one = make(
        dtype="float32",
        backend=backend,
        optimizer=mc.SGD(np.float64(0.25), momentum=np.float32(0.5)),
        **{name: kind(words[name]) for name, kind in kinds.items()},
    )
    other = make(dtype="float32", backend=backend, optimizer=mc.SGD(0.25, momentum=0.5), **words)
    one.fit(X, Y, epochs=np.int64(2), batch_size=np.int32(5), shuffle=np.True_, checkpoint=tmp_path / "run")
    other.fit(X, Y, epochs=2, batch_size=5)
    assert_same(state_of(one), state_of(other))
    one.save(tmp_path / "model")
    one.rate_scale = np.float64(0.5)
    other.rate_scale = 0.5
    assert_same(state_of(one), state_of(other))
    one.fit(X, Y)
    other.fit(X, Y)
    assert_same(state_of(one), state_of(other))
    np.testing.assert_array_equal(one.predict(X, batch_size=np.int64(3)), other.predict(X, batch_size=3))
    assert one.specification == other.specification and repr(one.specification) == repr(other.specification)


def test_predictions_do_not_depend_on_the_blocks() -> None:
    model = make()
    model.fit(X, Y)
    whole = model.predict(X)
    for batch_size in (1, 5, ROWS - 1, 10**6):
        assert_close(model.predict(X, batch_size=batch_size), whole, roundings=10)
