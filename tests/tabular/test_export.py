"""ONNX models of tables: onnxruntime takes the columns as they are, and gives what the library gives."""

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_models import run
from optional import optional
from table_frames import CLASSES, RECIPE, SIGNAL, TEST, TRAIN, tables, texts

optional("sklearn")

import mlpcore as mc  # noqa: E402
from mlpcore.model import Model  # noqa: E402
from mlpcore.tabular import TableEncoder, TableModel, TabularClassifier, TabularRegressor  # noqa: E402
from mlpcore.tabular.categories import CategoryEncoder  # noqa: E402
from mlpcore.tabular.dates import rounded  # noqa: E402
from mlpcore.tabular.description import Description  # noqa: E402
from mlpcore.tabular.frames import Frame  # noqa: E402
from mlpcore.tabular.target import Target  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::mlpcore.errors.MlpcoreWarning")
NEAR = {"float32": 2e-6, "float64": 1e-12}


def feed(made: Any, encoder: TableEncoder, frame: Any) -> dict[str, np.ndarray]:
    """The columns of a frame as the inputs of a model: what a user of onnxruntime writes."""
    columns, given = Frame(frame), {}
    for entry in made.graph.input:
        data, one = columns[entry.name].data, encoder.encoders[entry.name]
        if isinstance(one, CategoryEncoder):
            plain = [one.missing if cell is None or cell != cell else str(cell) for cell in data.tolist()]
            given[entry.name] = texts(*plain)[:, None]
        elif data.dtype.kind == "M":
            seconds = (data - np.datetime64(0, "us")) / np.timedelta64(1, "s")
            given[entry.name] = seconds[:, None]
        else:
            given[entry.name] = np.array([np.nan if cell is None else float(cell) for cell in data])[:, None]
    return given


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize(
    ("recipe", "members", "dtype"), [("mlp", 1, "float32"), ("realmlp", 3, "float32"), ("tabm", 1, "float64")]
)
def test_classes(kind: str, recipe: str, members: int, dtype: str) -> None:
    fitted = TabularClassifier(RECIPE[recipe], n_ensemble=members, dtype=dtype, random_state=0).fit(
        TRAIN, CLASSES[kind]
    )
    made = fitted.to_onnx()
    assert [entry.name for entry in made.graph.input] == list(TRAIN)
    assert {(one.domain, one.version) for one in made.opset_import} == {("", 17), ("ai.onnx.ml", 3)}
    for frame in (TRAIN, TEST):
        found, expected = run(made, feed(made, fitted.encoder_, frame)), fitted.predict_proba(frame)
        assert found["probabilities"].dtype == expected.dtype == dtype
        np.testing.assert_allclose(found["probabilities"], expected, rtol=NEAR[dtype], atol=NEAR[dtype])
        assert found["label"].tolist() == fitted.predict(frame).tolist()
        assert kind == "texts" or found["label"].dtype == kind


@pytest.mark.parametrize(
    ("recipe", "members", "dtype"), [("mlp", 3, "float64"), ("realmlp", 1, "float32"), ("tabm", 1, "float32")]
)
@pytest.mark.parametrize("outputs", [1, 2])
def test_amounts(outputs: int, recipe: str, members: int, dtype: str) -> None:
    y = SIGNAL * 80_000 + 250_000
    y = np.column_stack([y, SIGNAL]) if outputs == 2 else y
    fitted = TabularRegressor(RECIPE[recipe], n_ensemble=members, dtype=dtype, random_state=0).fit(TRAIN, y)
    made = fitted.to_onnx()
    for frame in (TRAIN, TEST):
        found, expected = run(made, feed(made, fitted.encoder_, frame))["prediction"], fitted.predict(frame)
        assert found.shape == (len(expected), outputs) and found.dtype == expected.dtype == "float64"
        scale = np.abs(expected).max(axis=0)
        np.testing.assert_allclose(found / scale, expected.reshape(found.shape) / scale, rtol=0, atol=NEAR[dtype])


def identity(encoder: TableEncoder, dtype: str) -> TableModel:
    """A model whose predictions are the encoded columns."""
    net = mc.Scale(len(encoder.names))
    description = Description(encoder, Target(""), one_hot=False)
    return TableModel(description, [Model(net, mc.SquaredError(), dtype=dtype)])


@given(tables(), st.sampled_from(["float32", "float64"]))
@settings(max_examples=40, deadline=None)
def test_every_table_is_encoded_as_by_the_encoder(table: Any, dtype: str) -> None:
    columns, new, told = table
    encoder = TableEncoder(told).fit({name: texts(*cells) for name, cells in columns.items()})
    made = identity(encoder, dtype).to_onnx()
    for cells in (columns, {name: new[name] for name in columns}):
        frame = {name: as_array(cells[name], told[name]) for name in columns}
        expected = encoder.transform(frame, dtype, warn=False)
        near = 1e-6 if dtype == "float32" else 1e-9
        found = run(made, feed(made, encoder, frame))["prediction"]
        np.testing.assert_allclose(found, expected, rtol=near, atol=near)


def as_array(cells: list[Any], kind: str) -> np.ndarray:
    if kind == "categorical":
        return texts(*cells)
    if kind == "date":
        return np.array([np.datetime64("NaT") if cell is None else cell for cell in cells], dtype="datetime64[us]")
    return np.array([np.nan if cell is None else float(cell) for cell in cells])


def test_seconds_are_the_same_microseconds_again() -> None:
    """From 1900 to 2040; others are one off at most."""
    for first, last, far in (("1900", "2040", 0), ("1700", "2240", 1)):
        limits = np.array([first, last], dtype="datetime64[Y]").astype("datetime64[us]").astype(np.int64)
        exact = np.random.default_rng(0).integers(*limits, 10_000)
        assert np.abs(rounded(exact / 1e6) - exact).max() == far


def test_an_empty_text_that_is_a_level() -> None:
    """Then a missing value is written otherwise; both are as in a frame."""
    one = CategoryEncoder.fit(texts(*["", None, "?", "a"] * 3))
    assert one.missing == "??" and CategoryEncoder.fit(texts("a", None)).missing == ""
    assert CategoryEncoder(()).indices() == {"": 0}
    index = {text: one.transform(texts(text))[0] for text in ("", "?", "a", "new")}
    assert {text: one.indices().get(text, 0) for text in index} == index
    assert one.indices()["??"] == one.transform(texts(None))[0] > 0


@pytest.mark.parametrize("name", ["", "label", "probabilities", "\ud800"])
def test_names_that_no_input_can_have(name: str) -> None:
    fitted = TabularClassifier(RECIPE["mlp"], random_state=0).fit({name: SIGNAL, "a": TRAIN["X"]}, CLASSES["bool"])
    with pytest.raises(mc.ConfigurationError, match="cannot have an input of its name"):
        fitted.to_onnx()


def test_a_model_of_one_hot_columns_and_a_scaled_target() -> None:
    """As the first ones for tables were."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        encoder = TableEncoder().fit(TRAIN)
    target = Target("price", (), mc.Standardize([1e6], [1e3]))
    description = Description(encoder, target, one_hot=True)
    width = description.inputs(encoder.transform(TRAIN)).shape[1]
    net = mc.Sequential(mc.Linear(width, 4), mc.ReLU(), mc.Linear(4, 1))
    model = TableModel(description, [Model(net, mc.HalfSquaredError(), seed=3)])
    found = run(model.to_onnx(), feed(model.to_onnx(), encoder, TEST))["prediction"]
    assert found.dtype == "float64"
    np.testing.assert_allclose(found[:, 0], model.predict(TEST), rtol=1e-8)
