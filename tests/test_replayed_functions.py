"""NumPy's replay of predictions: the bits of the function itself, in arrays of their own, from any thread."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import members
import numpy as np
import pytest

import mlpcore as mc
from mlpcore.backends import get_backend
from mlpcore.backends.replay import functions
from mlpcore.backends.replay.functions import jit
from mlpcore.random import Stream
from mlpcore.trees import named_leaves

PLAIN = replace(get_backend("numpy"), jit=lambda function: function)
WIDTH = 4


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list:
    """The recordings made."""
    made: list = []

    class Noted(functions.Recording):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            made.append(self)

    monkeypatch.setattr(functions, "Recording", Noted)
    return made


def models(net: Any, loss: Any) -> tuple[mc.Model, mc.Model]:
    return mc.Model(net, loss), mc.Model(net, loss, backend=PLAIN)


@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.parametrize("case", members.LAYERS)
def test_every_layer(case: str, rows: int, recorded: list) -> None:
    net = mc.Sequential(mc.Linear(WIDTH, WIDTH), members.LAYERS[case](WIDTH))
    model, plain = models(net, mc.SquaredError())
    for seed in range(4):
        x = Stream(seed).normal((rows, WIDTH))
        np.testing.assert_array_equal(model.predict(x), plain.predict(x))
    assert len(recorded) == 1


@pytest.mark.parametrize("case", members.LOSSES)
def test_every_link(case: str, recorded: list) -> None:
    loss = members.LOSSES[case][0]
    model, plain = models(mc.Sequential(mc.Linear(WIDTH, loss.outputs(3))), loss)
    for seed in range(3):
        x = 5 * Stream(seed).normal((6, WIDTH))
        for (_, got), (_, want) in zip(named_leaves(model.predict(x)), named_leaves(plain.predict(x)), strict=True):
            np.testing.assert_array_equal(got, want)
    assert len(recorded) == 1


def test_results_and_arguments_are_the_callers() -> None:
    model = mc.Model(mc.Sequential(mc.Linear(WIDTH, 2)), mc.SquaredError())
    x = Stream(0).normal((3, WIDTH)).astype("float32")
    before = x.copy()
    results = [model.predict(x * factor) for factor in (1, 2, 3, 1)]
    assert not any(np.shares_memory(results[i], results[j]) for i in range(4) for j in range(i))
    np.testing.assert_array_equal(results[0], results[3])
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(model.predict(x), results[0])


def test_new_parameters_are_seen() -> None:
    model = mc.Model(mc.Sequential(mc.Linear(WIDTH, 2)), mc.SquaredError(), mc.SGD(0.1))
    x = Stream(0).normal((8, WIDTH))
    for _ in range(3):
        model.predict(x)
    snapshot = model.snapshot()
    model.fit(x, x[:, :2], epochs=2, batch_size=8)
    np.testing.assert_allclose(model.predict(x), x @ model.params[0]["weight"] + model.params[0]["bias"], rtol=1e-5)
    model.restore(snapshot)
    np.testing.assert_allclose(model.predict(x), x @ model.params[0]["weight"] + model.params[0]["bias"], rtol=1e-5)


def test_few_programs_are_kept(recorded: list, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions, "SHAPES", 2)
    model = mc.Model(mc.Sequential(mc.Linear(WIDTH, 2)), mc.SquaredError())
    for rows in (1, 1, 2, 2, 3, 3, 1, 1):
        model.predict(np.ones((rows, WIDTH)))
    assert len(recorded) == 4


def test_threads_do_not_share_the_memory_of_a_program() -> None:
    model = mc.Model(mc.Sequential(mc.Linear(64, 256), mc.Tanh(), mc.Linear(256, 3)), mc.SoftmaxCrossEntropy())
    rows = [Stream(seed).normal((64, 64)) for seed in range(8)]
    expected = [model.predict(x) for x in rows]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            for got, want in zip(pool.map(model.predict, rows), expected, strict=True):
                np.testing.assert_array_equal(got, want)


def test_a_function_that_cannot_be_recorded_is_called(recorded: list) -> None:
    function = jit(lambda fixed, x: x * 2.0 if float(x[0]) > 0 else x * 3.0)
    for value in (1.0, -1.0, 1.0, -1.0):
        assert function(np.ones(1), np.full(2, value))[0] == value * (2 if value > 0 else 3)
    assert recorded == []


def test_a_refusal_is_remembered() -> None:
    calls = []

    def function(fixed: Any, x: Any) -> Any:
        calls.append(type(x))
        return np.tanh(x)  # not for arrays that record

    replayed = jit(function)
    for _ in range(6):
        replayed(np.ones(1), np.ones(2))
    assert sum(kind is not np.ndarray for kind in calls) == 1
