"""Predictions on NumPy, as compiled C and as NumPy calls: the numbers of the function, in arrays of their own."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import members
import numpy as np
import pytest
from compiled import WAYS

import mlpcore as mc
from mlpcore.backends import get_backend
from mlpcore.backends.backend import Compilers
from mlpcore.backends.compilation import Compilation
from mlpcore.backends.compiled import functions
from mlpcore.backends.compiled.functions import jit
from mlpcore.namespace import namespace
from mlpcore.random import Stream
from mlpcore.trees import named_leaves

PLAIN = replace(get_backend("numpy"), compile=Compilers(get_backend("numpy").compile.steps))
WIDTH = 4


def assert_close(got: Any, expected: Any) -> None:
    for (_, one), (_, other) in zip(named_leaves(got), named_leaves(expected), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def models(net: Any, loss: Any, way: bool) -> tuple[mc.Model, mc.Model]:
    return mc.Model(net, loss, compile=way, dtype="float64"), mc.Model(net, loss, backend=PLAIN, dtype="float64")


@WAYS
@pytest.mark.parametrize("case", members.LAYERS)
def test_every_layer(case: str, way: bool) -> None:
    net = mc.Sequential(mc.Linear(WIDTH, WIDTH), members.LAYERS[case](WIDTH))
    model, plain = models(net, mc.SquaredError(), way)
    for rows in (1, 7, 3, 16, 1):
        x = Stream(rows).normal((rows, WIDTH))
        assert_close(model.predict(x), plain.predict(x))


@WAYS
@pytest.mark.parametrize("case", members.LOSSES)
def test_every_link(case: str, way: bool) -> None:
    loss = members.LOSSES[case][0]
    model, plain = models(mc.Sequential(mc.Linear(WIDTH, loss.outputs(3))), loss, way)
    for seed in range(3):
        x = 5 * Stream(seed).normal((6, WIDTH))
        assert_close(model.predict(x), plain.predict(x))


@WAYS
def test_results_and_arguments_are_the_callers(way: bool) -> None:
    model = mc.Model(mc.Sequential(mc.Linear(WIDTH, 2)), mc.SquaredError(), compile=way)
    x = Stream(0).normal((3, WIDTH)).astype("float32")
    before = x.copy()
    results = [model.predict(x * factor) for factor in (1, 2, 3, 1)]
    assert not any(np.shares_memory(results[i], results[j]) for i in range(4) for j in range(i))
    np.testing.assert_array_equal(results[0], results[3])
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(model.predict(x), results[0])


@WAYS
def test_new_parameters_are_seen(way: bool) -> None:
    model = mc.Model(mc.Sequential(mc.Linear(WIDTH, 2)), mc.SquaredError(), mc.SGD(0.1), compile=way)
    x = Stream(0).normal((8, WIDTH))
    for _ in range(3):
        model.predict(x)
    snapshot = model.snapshot()
    model.fit(x, x[:, :2], epochs=2, batch_size=8)
    np.testing.assert_allclose(model.predict(x), x @ model.params[0]["weight"] + model.params[0]["bias"], rtol=1e-5)
    model.restore(snapshot)
    np.testing.assert_allclose(model.predict(x), x @ model.params[0]["weight"] + model.params[0]["bias"], rtol=1e-5)


@WAYS
def test_many_rows_are_done_in_blocks(way: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions, "BLOCK", 8)
    net = mc.Sequential(mc.Linear(WIDTH, 5), mc.BatchNorm(5), mc.LayerNorm(5), mc.Linear(5, 3))
    model, plain = models(net, mc.SoftmaxCrossEntropy(), way)
    for rows in (8, 9, 16, 31):
        x = Stream(rows).normal((rows, WIDTH))
        assert_close(model.predict(x), plain.predict(x))


@WAYS
def test_rows_that_depend_on_each_other_are_not_done_in_blocks(way: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions, "BLOCK", 8)

    def centred(weight: Any, x: Any) -> Any:
        xp = namespace(x)
        return (x - xp.mean(x, axis=0, keepdims=True)) @ weight

    compiled = jit(centred, Compilation(way))
    weight = Stream(1).normal((WIDTH, 2))
    for rows in (5, 20, 33):
        x = Stream(rows).normal((rows, WIDTH))
        assert_close(compiled(weight, x), centred(weight, x))


@WAYS
def test_arguments_with_rows_beside_a_vector_without(way: bool) -> None:
    def squares(x: Any, weights: Any, vector: Any) -> tuple[Any, Any]:
        xp = namespace(x)
        error = (x @ vector[:, None])[:, 0] - weights
        return xp.sum(error * error), 2.0 * (x.mT @ error[:, None])[:, 0]

    compiled = jit(squares, Compilation(way), rows=(0, 1))
    for rows in (40, 3):
        x, weights = Stream(1).normal((rows, WIDTH)), Stream(2).uniform((rows,))
        for seed in range(3):
            vector = Stream(seed).normal((WIDTH,))
            assert_close(compiled(x, weights, vector), squares(x, weights, vector))


@WAYS
def test_arrays_that_do_not_lie_packed(way: bool) -> None:
    compiled = jit(lambda weight, x: x @ weight, Compilation(way))
    x, weight = Stream(1).normal((WIDTH, 6)).T, Stream(2).normal((3, WIDTH)).T
    assert_close(compiled(weight, x), x @ weight)
    weight *= 2  # in place: the same object with other numbers
    assert_close(compiled(weight, x), x @ weight)


@WAYS
def test_threads_do_not_share_memory(way: bool) -> None:
    net = mc.Sequential(mc.Linear(64, 256), mc.Tanh(), mc.Linear(256, 3))
    model = mc.Model(net, mc.SoftmaxCrossEntropy(), compile=way)
    rows = [Stream(seed).normal((64, 64)) for seed in range(8)]
    expected = [model.predict(x) for x in rows]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            for got, want in zip(pool.map(model.predict, rows), expected, strict=True):
                np.testing.assert_array_equal(got, want)


@WAYS
def test_little_memory_is_kept(way: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions, "MAX_PROGRAMS", 2)
    compiled = jit(lambda weight, x: x @ weight, Compilation(way))
    for rows in (1, 2, 3, 4, 1, 2):
        compiled(np.eye(3), np.ones((rows, 3)))
    assert len(compiled.idle) <= 2


@WAYS
def test_what_cannot_be_traced_is_called_and_asked_once(way: bool) -> None:
    seen = []

    def looking(fixed: Any, x: Any) -> Any:
        seen.append(type(x))
        return x * 2.0 if float(x[0]) > 0 else x * 3.0

    function = jit(looking, Compilation(way))
    for value in (1.0, -1.0, 1.0, -1.0):
        assert function(np.ones(1), np.full(2, value))[0] == value * (2 if value > 0 else 3)
    assert sum(kind is not np.ndarray for kind in seen) <= 2  # for any number of rows, and for this one
