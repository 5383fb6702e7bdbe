"""Data enter once: what a user gives is read, moved to the backend and looked at once, whoever asks for it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import array_api_strict
import numpy as np
import pytest
from devices import open_place
from fitting import ROWS, X, Y, assert_same, make, state_of, with_extras, with_steps
from optional import optional

import mlpcore as mc
from mlpcore.backends import streaming
from mlpcore.backends.backend import Backend
from mlpcore.backends.copy_queues import PlainCopies
from mlpcore.backends.streaming import streamed

HOST = (1, 0)  # the CPU as DLPack counts it
WEIGHTS = np.linspace(0.5, 1.5, ROWS)
CALLS: dict[str, Callable[[mc.Model, Any, Any, Any], Any]] = {
    "fit": lambda model, x, y, w: model.fit(x, y, sample_weight=w, epochs=2, batch_size=5),
    "validation_data": lambda model, x, y, w: model.fit(X[:5], Y[:5], epochs=2, validation_data=(x, y, w)),
    "evaluate": lambda model, x, y, w: model.evaluate(x, y, sample_weight=w),
    "predict": lambda model, x, y, w: model.predict(x),
}


class Counted:
    """An array of a library that nobody knows, which counts how often it is read; on the host or by DLPack alone."""

    def __init__(self, values: np.ndarray, shared: bool) -> None:
        self.values, self.shape, self.read = values, values.shape, 0
        if shared:
            self.__class__ = CountedShared

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        self.read += 1
        return self.values


class CountedShared(Counted):
    """It lies on the device of the backend."""

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("it does not come to the host by itself")

    def __dlpack__(self, **words: Any) -> Any:
        self.read += 1
        return self.values.__dlpack__(**words)

    def __dlpack_device__(self) -> tuple[int, int]:
        return HOST


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("call", CALLS)
def test_what_a_user_gives_is_read_once(call: str, shared: bool) -> None:
    backend = open_place("torch")
    if shared:
        backend = with_extras(backend, dlpack_device=HOST)
    model = make(backend=backend)
    x, y, weights = Counted(X, shared), Counted(Y, shared), Counted(WEIGHTS, False)
    CALLS[call](model, x, y, weights)
    expected = (1, 0, 0) if call == "predict" else (1, 1, 1)
    assert (x.read, y.read, weights.read) == expected


def counting(backend: Backend, sizes: Counter[tuple[int, ...]]) -> Backend:
    """The backend, which counts what is moved there by shape."""

    def asarray(x: Any, dtype: Any = None) -> Any:
        sizes[tuple(np.shape(x))] += 1
        return backend.asarray(x, dtype=dtype)

    return replace(backend, asarray=asarray)


@pytest.mark.parametrize("call", CALLS)
def test_rows_are_moved_and_looked_at_once(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: Counter[tuple[int, ...]] = Counter()
    seen: Counter[tuple[int, ...]] = Counter()
    isfinite = array_api_strict.isfinite

    def looking(x: Any) -> Any:
        seen[x.shape] += 1
        return isfinite(x)

    model = make(backend=counting(open_place("array_api_strict"), moved), dtype="float32")
    monkeypatch.setattr(array_api_strict, "isfinite", looking)
    moved.clear()
    CALLS[call](model, X, Y, WEIGHTS)
    assert (moved[X.shape], seen[X.shape]) == (1, 1)
    if call != "predict":
        assert (moved[Y.shape], moved[WEIGHTS.shape]) == (1, 1)


def test_estimators_look_at_an_array_of_another_library_once(monkeypatch: pytest.MonkeyPatch) -> None:
    optional("sklearn")
    from mlpcore import sklearn

    seen: Counter[tuple[int, ...]] = Counter()
    isfinite = array_api_strict.isfinite

    def looking(x: Any) -> Any:
        seen[x.shape] += 1
        return isfinite(x)

    monkeypatch.setattr(array_api_strict, "isfinite", looking)
    x = array_api_strict.asarray(X)
    estimator = sklearn.MLPRegressor(hidden_layer_sizes=(4,), max_iter=2, random_state=0, tol=0)
    with pytest.warns(match="Maximum iterations"):
        estimator.fit(x, Y)
    assert seen[X.shape] == 1
    estimator.predict(x)
    assert seen[X.shape] == 2


def without_memory(backend: Backend, moved: Counter[tuple[int, ...]]) -> Backend:
    """The backend as that of a device without free memory for data; ``moved`` are shapes of what goes there."""
    noting = counting(backend, moved)
    queue = PlainCopies(noting.asarray)

    def steps(*step: Any) -> Any:
        return streamed(backend.compile.steps(*step), lambda: queue, backend.xp.concat)

    return with_extras(with_steps(noting, steps), free_memory=lambda: 0)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("place", ["torch", "jax", "array_api_strict"])
def test_an_estimator_trains_on_rows_that_do_not_fit_on_the_device(
    place: str, solver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    optional("sklearn")
    from mlpcore import sklearn

    backend, moved = open_place(place), Counter[tuple[int, ...]]()
    words = {"hidden_layer_sizes": (4,), "solver": solver, "backend": place, "max_iter": 20, "random_state": 0}
    expected = sklearn.MLPRegressor(**words, batch_size=5, tol=1e-3).fit(X, Y)
    monkeypatch.setattr(streaming, "BUFFER_BYTES", 2 * 5 * 8 * (3 + 2 + 1))
    monkeypatch.setattr("mlpcore.sklearn.sparse.BLOCK_BYTES", 7 * 8 * 3)
    monkeypatch.setattr("mlpcore.sklearn.inputs.get_backend", lambda *_: without_memory(backend, moved))
    estimator = sklearn.MLPRegressor(**words, batch_size=5, tol=1e-3).fit(X, Y)
    assert moved and not {X.shape, Y.shape, WEIGHTS.shape} & moved.keys()
    pairs = zip(expected.coefs_ + expected.intercepts_, estimator.coefs_ + estimator.intercepts_, strict=True)
    for wanted, coefficients in pairs:
        if solver == "adam":
            np.testing.assert_array_equal(backend.to_numpy(coefficients), backend.to_numpy(wanted))
        else:  # the sums of the rows' gradients are added up in another order
            np.testing.assert_allclose(backend.to_numpy(coefficients), backend.to_numpy(wanted), rtol=1e-5)


def test_rows_of_a_list_that_do_not_fit_stay_on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "BUFFER_BYTES", 8)
    backend, moved = open_place("array_api_strict"), Counter[tuple[int, ...]]()
    models = [make(backend=place) for place in (backend, without_memory(backend, moved))]
    for model in models:
        model.fit(X.tolist(), Y.tolist(), epochs=2, batch_size=5)
    assert moved and not {X.shape, Y.shape, WEIGHTS.shape} & moved.keys()
    assert_same(state_of(models[1]), state_of(models[0]))
