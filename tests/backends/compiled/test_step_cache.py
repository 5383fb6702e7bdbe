"""Traced steps that are kept in the process: found again by equal configurations, and by no others."""

import threading
from dataclasses import dataclass

import numpy as np
import pytest

import mlpcore as mc
from mlpcore.backends.compiled import functions, steps
from mlpcore.backends.compiled.step_cache import CACHE_SIZE, Unknown, _cache, cached_trace, configuration_key
from mlpcore.trees import leaves

X = np.random.default_rng(0).normal(size=(24, 3)).astype(np.float32)
Y = np.arange(24) % 2
NET = mc.Sequential(mc.Linear(3, 4), mc.Tanh(), mc.Linear(4, 2))


@pytest.fixture
def traces(monkeypatch):
    """A list that grows by one for everything that is traced."""
    made = []

    class Counted(steps.TracedFunction):
        def __init__(self, *arguments, **words):
            made.append(arguments)
            super().__init__(*arguments, **words)

    for module in (steps, functions):
        monkeypatch.setattr(module, "TracedFunction", Counted)
    _cache.clear()
    yield made
    _cache.clear()


def trained(net=NET, optimizer=None, x=X, seed=0, compile=True, **words):
    """The flat parameters after a few steps of a new model."""
    optimizer = mc.Adam(0.01) if optimizer is None else optimizer
    model = mc.Model(net, mc.SoftmaxCrossEntropy(), optimizer, seed=seed, compile=compile, **words)
    model.fit(x, Y, epochs=2, batch_size=10)
    return np.concatenate([leaf.reshape(-1) for leaf in leaves(model.params)])


@pytest.mark.parametrize("compile", [True, False])
def test_equal_configurations_are_traced_once_and_train_alike(traces, compile):
    first = trained(compile=compile)
    count = len(traces)
    same = mc.Sequential(mc.Linear(3, 4), mc.Tanh(), mc.Linear(4, 2))
    np.testing.assert_array_equal(trained(same, mc.Adam(0.01), compile=compile), first)
    assert len(traces) == count > 0
    assert not np.array_equal(trained(seed=1, compile=compile), first)  # the seed is no part of a step without noise
    assert len(traces) == count


OTHERS = {
    "net": {"net": mc.Sequential(mc.Linear(3, 4), mc.ReLU(), mc.Linear(4, 2))},
    "number": {"optimizer": mc.Adam(0.02)},
    "schedule": {"optimizer": mc.Adam(mc.CosineDecay(0.01, 20))},
    "optimizer": {"optimizer": mc.SGD(0.01)},
    "dtype": {"dtype": "float64", "x": X.astype(np.float64)},
    "rule": {"clip_norm": 0.01},
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_configurations_train_as_if_nothing_were_kept(traces, name):
    alone = trained(**OTHERS[name])
    _cache.clear()
    plain = trained()
    np.testing.assert_array_equal(trained(**OTHERS[name]), alone)
    assert not np.array_equal(plain, alone)


def test_dropout_draws_by_its_own_seed(traces):
    net = mc.Sequential(mc.Linear(3, 4), mc.Dropout(0.5), mc.Linear(4, 2))
    seeds = [trained(net, seed=seed) for seed in (0, 1)]
    _cache.clear()
    np.testing.assert_array_equal(trained(net, seed=1), seeds[1])


@dataclass(frozen=True)
class Scaled(mc.Tanh):
    """A user's layer, which reads what stands outside of it."""

    def forward(self, params, x, training=None):
        y, cache = super().forward(params, x, training)
        return y * FACTOR, cache


class OwnLoss(mc.SquaredError):
    """A user's loss, which does so too."""

    def predict(self, z):
        return FACTOR * z


FACTOR = 1.0
LARGER = mc.Sequential(mc.Linear(3, 5), mc.Tanh(), mc.Linear(5, 2))


def test_a_users_layer_is_traced_for_every_model(traces, monkeypatch):
    net = mc.Sequential(mc.Linear(3, 4), Scaled(), mc.Linear(4, 2))
    before = trained(net)
    monkeypatch.setitem(globals(), "FACTOR", 3.0)
    assert not np.array_equal(trained(net), before)


def test_predictions_of_equal_configurations_are_traced_once(traces):
    one, other, larger = (mc.Model(net, mc.SoftmaxCrossEntropy(), seed=1, compile=True) for net in (NET, NET, LARGER))
    expected = one.predict(X), larger.predict(X)
    count = len(traces)
    np.testing.assert_array_equal(other.predict(X), expected[0])
    assert len(traces) == count > 0
    assert expected[1].shape == expected[0].shape and not np.array_equal(expected[0], expected[1])


def test_a_users_loss_is_traced_for_the_predictions_of_every_model(traces, monkeypatch):
    models = [mc.Model(NET, OwnLoss(), compile=True) for _ in range(2)]
    before = models[0].predict(X)
    monkeypatch.setitem(globals(), "FACTOR", 3.0)
    np.testing.assert_array_equal(models[1].predict(X), 3 * before)


@pytest.mark.parametrize("one, other", [(0.0, -0.0), (1, 1.0), (1, True), ((1,), (1.0,)), ({"a": 1}, {"b": 1})])
def test_what_compares_equal_may_still_be_another_configuration(one, other):
    assert configuration_key(one) == configuration_key(one) != configuration_key(other)


@pytest.mark.parametrize("value", [np.zeros(2), len, lambda x: x, Scaled(), object()])
def test_arrays_functions_and_foreign_classes_have_no_key(value):
    with pytest.raises(Unknown):
        configuration_key((mc.ReLU(), value))


def test_only_so_many_are_kept(traces):
    for number in range(CACHE_SIZE + 5):
        cached_trace(number, lambda number=number: number)
    assert list(_cache) == list(range(5, CACHE_SIZE + 5))
    cached_trace(5, lambda: pytest.fail("still kept"))
    cached_trace("another", lambda: "another")
    assert next(iter(_cache)) == 7  # 5 was used after 6


def test_threads_that_share_a_traced_step_get_the_same_bits(traces):
    alone = trained()
    _cache.clear()
    results = []
    threads = [threading.Thread(target=lambda: results.append(trained())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4 and all(np.array_equal(one, alone) for one in results)
