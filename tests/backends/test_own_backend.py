"""A backend object that no name stands for: the page's example, and arrays of a library that mlpcore does not know."""

import copy
import pickle
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from devices import PAGE, example
from fitting import FIT, X, Y, assert_same, make, state_of, untimed

import mlpcore as mc
from mlpcore.backends import transfer
from mlpcore.backends.backend import Backend, Compilers, DeviceExtras


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> Backend:
    """array-api-strict as a library that mlpcore does not know."""
    monkeypatch.delitem(transfer._KINDS, "array_api_strict")
    monkeypatch.setattr(transfer, "_BY_TYPE", {})
    return replace(mc.get_backend("array_api_strict"), name="unknown")


@pytest.mark.parametrize("way", ["copy", "deepcopy"])
def test_a_copy_stays_on_the_object(way: str) -> None:
    backend = example()
    model = make(backend=backend, compile="auto")
    model.fit(X, Y, epochs=2, **FIT)
    other = getattr(copy, way)(model)
    assert other.backend is backend and other is not model
    assert_same(state_of(other), state_of(model))
    assert untimed(other.fit(X, Y, epochs=2, **FIT)) == untimed(model.fit(X, Y, epochs=2, **FIT))
    assert_same(state_of(other), state_of(model))


def test_a_pickle_keeps_the_name_alone() -> None:
    model = make(backend=example())
    model.fit(X, Y, epochs=2, **FIT)
    loaded = pickle.loads(pickle.dumps(model))
    assert loaded.backend.name == "numpy"
    back = loaded.to(model.backend)
    assert back.backend is model.backend
    assert_same(state_of(back), state_of(model))


def test_any_file_loads_there(tmp_path: Path) -> None:
    model = make(backend=example())
    model.fit(X, Y, epochs=2, **FIT)
    model.save(tmp_path / "model")
    for backend in (model.backend, mc.get_backend("numpy")):
        loaded = mc.load(tmp_path / "model", backend=backend)
        assert loaded.backend is backend
        np.testing.assert_allclose(loaded.predict(X), model.predict(X), rtol=1e-12)


def test_what_a_backend_lacks_is_refused() -> None:
    backend = example()
    with pytest.raises(mc.ConfigurationError, match="mynumpy: precision is 'bfloat16', expected one of 'highest'"):
        make(backend=backend, dtype="float32", precision="bfloat16")
    with pytest.raises(mc.ConfigurationError, match="compile=True: this backend runs each operation at once"):
        make(backend=backend, compile=True)
    with pytest.raises(mc.ConfigurationError, match="the backend that was passed is on 'cpu'"):
        make(backend=backend, device="cuda")


def test_arrays_of_an_unknown_library_come_in_and_go_out(unknown: Backend) -> None:
    model, expected = make(backend=unknown, metrics=["r2"]), make(backend="array_api_strict", metrics=["r2"])
    x, y = unknown.asarray(X), unknown.asarray(Y)
    for one, data in ((model, (x, y)), (expected, (X, Y))):
        one.fit(*data, epochs=2, batch_size=5)
    assert_same(state_of(model), state_of(expected))
    assert model.evaluate(x, y) == expected.evaluate(X, Y)
    prediction = model.predict(x)
    assert unknown.owns(prediction)
    np.testing.assert_array_equal(unknown.to_numpy(prediction), model.predict(X))


def test_its_own_arrays_make_no_way_by_the_host(unknown: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    x = unknown.asarray(X)

    def refuse(x: Any) -> Any:
        raise AssertionError("brought to the host")

    monkeypatch.setattr(transfer, "to_host", refuse)
    moved = transfer.to_backend(x, unknown, "float64")
    assert unknown.owns(moved)
    assert transfer.like(moved, x, unknown) is moved


def test_the_page_names_every_field() -> None:
    page = PAGE.read_text()
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in row.replace("(", "`").split("`")}
    for kind in (Backend, Compilers, DeviceExtras):
        missing = {field.name for field in fields(kind)} - named - {"extras"}
        assert not missing, f"{PAGE.name} lacks {missing} of {kind.__name__}"
