"""Two devices in one process: each model works on its own, whichever is current, with the bits of the first device."""

import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from devices import open_place
from fitting import EVERYTHING, FIT, LABELS, NET, X, Y, assert_same, make, state_of, untimed, with_extras

import mlpcore as mc
from mlpcore.backends import streaming
from mlpcore.sklearn import MLPClassifier
from mlpcore.trees import leaves

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")]
SECOND = ("cuda:1", 1, "Device")  # how the second device can be named


@pytest.fixture(scope="module")
def cupy() -> Any:
    backend = open_place("cupy")
    import cupy

    if (count := cupy.cuda.runtime.getDeviceCount()) < 2:
        pytest.skip(f"{backend.device} is the only one of {count} devices: nothing of two devices is shown by this run")
    return cupy


@pytest.fixture(autouse=True)
def first_is_current(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The first device stays the current one, whatever the library does on the second. Rows stream in small pieces."""
    monkeypatch.setattr(streaming, "BUFFER_BYTES", 2 * 5 * 8 * (3 + 2 + 1))
    with cupy.cuda.Device(0):
        yield
        assert cupy.cuda.Device().id == 0


def model(device: Any, **words: Any) -> mc.Model:
    return make(NET, backend="cupy", device=device, **EVERYTHING | words)


def fit(model: mc.Model) -> Any:
    return untimed(model.fit(X, Y, epochs=2, **FIT))


def streamed(device: Any) -> mc.Model:
    return make(NET, backend=with_extras(mc.get_backend("cupy", device), free_memory=lambda: 0), **EVERYTHING)


MODELS: dict[str, Callable[[Any], mc.Model]] = {
    "fit": model,
    "captured": lambda device: model(device, compile=True),
    "eager": lambda device: model(device, compile=False),
    "streamed": streamed,
}


def places(model: mc.Model) -> set[int]:
    """The devices of all arrays of a model's state."""
    return {leaf.device.id for leaf in leaves(model.trainer.state)}


@pytest.mark.parametrize("current", [0, 1])
@pytest.mark.parametrize("name", MODELS)
def test_a_fit_on_either_device_has_the_same_bits(name: str, current: int, cupy: Any) -> None:
    models = [MODELS[name](device) for device in (0, 1)]
    with cupy.cuda.Device(current):
        assert fit(models[0]) == fit(models[1])
        np.testing.assert_array_equal(models[1].predict(X), models[0].predict(X))
        assert models[1].evaluate(X, Y) == models[0].evaluate(X, Y)
        assert cupy.cuda.Device().id == current
    assert_same(state_of(models[1]), state_of(models[0]))
    assert [places(one) for one in models] == [{0}, {1}]


@pytest.mark.parametrize("given", SECOND)
def test_the_second_device_by_any_name(given: Any, cupy: Any) -> None:
    one = model(cupy.cuda.Device(1) if given == "Device" else given)
    assert one.backend.device == "cuda:1" and places(one) == {1}
    with pytest.raises(mc.BackendUnavailable, match="no device 'cuda:2'; expected one of 'cuda:0', 'cuda:1'"):
        model("cuda:2")


def test_without_a_name_it_is_the_current_one(cupy: Any) -> None:
    with cupy.cuda.Device(1):
        one = model(None)
    assert one.backend.device == "cuda:1"
    fit(one)
    assert places(one) == {1}


@pytest.mark.parametrize("name", MODELS)
def test_epochs_in_turn_have_the_bits_of_a_model_alone(name: str) -> None:
    alone, first, second = (MODELS[name](device) for device in (0, 0, 1))
    expected = [untimed(alone.fit(X, Y, epochs=1, **FIT)) for _ in range(3)]
    for row in expected:
        for one in (first, second):
            assert untimed(one.fit(X, Y, epochs=1, **FIT)) == row
    for one in (first, second):
        assert_same(state_of(one), state_of(alone))


@pytest.mark.parametrize("name", MODELS)
def test_both_at_once_in_two_threads(name: str) -> None:
    begin, expected = Barrier(2), MODELS[name](0)
    history = fit(expected)

    def work(device: int) -> tuple[mc.Model, Any]:
        begin.wait()
        one = MODELS[name](device)
        return one, fit(one)

    with ThreadPoolExecutor(2) as threads:
        for one, own in threads.map(work, (0, 1)):
            assert own == history
            assert_same(state_of(one), state_of(expected))


def test_a_stack_on_the_second_device() -> None:
    def stack(device: int) -> tuple[list[mc.Model], Any]:
        models = [model(device, seed=seed) for seed in range(2)]
        return models, [untimed(one) for one in mc.Stack(models).fit(X, Y, epochs=2, **FIT)]

    (first, history), (second, own) = stack(0), stack(1)
    assert own == history
    for one, other in zip(second, first, strict=True):
        assert_same(state_of(one), state_of(other))
        assert places(one) == {1}


def test_members_on_two_devices_are_refused() -> None:
    with pytest.raises(mc.ConfigurationError, match=r"cuda:0.*cuda:1"):
        mc.Stack([model(0), model(1)]).fit(X, Y, epochs=1)


@pytest.mark.parametrize("what", ["x", "y", "validation", "predict", "evaluate", "gradient", "stack"])
def test_an_array_of_the_other_device_is_named_with_the_way_to_move_it(what: str, cupy: Any) -> None:
    one, x, y = model(1), cupy.asarray(X), cupy.asarray(Y)
    before = state_of(one)
    calls: dict[str, Callable[[], Any]] = {
        "x": lambda: one.fit(x, Y, epochs=1),
        "y": lambda: one.fit(X, y, epochs=1),
        "validation": lambda: one.fit(X, Y, epochs=1, validation_data=(x, y)),
        "predict": lambda: one.predict(x),
        "evaluate": lambda: one.evaluate(X, y),
        "gradient": lambda: one.input_gradient(x, 0),
        "stack": lambda: mc.Stack([one]).fit(x, y, epochs=1),
    }
    with pytest.raises(mc.DataError, match=r"cuda:0, expected cuda:1.*cupy\.cuda\.Device\(1\)"):
        calls[what]()
    assert_same(state_of(one), before)
    with cupy.cuda.Device(1):
        moved = cupy.asarray(x)
    result = one.predict(moved)
    assert result.device.id == 1
    np.testing.assert_array_equal(cupy.asnumpy(result), one.predict(X))


def test_weights_may_lie_on_either_as_the_host_reads_them(cupy: Any) -> None:
    models = [model(1) for _ in range(2)]
    weights = np.linspace(0, 1, len(X))
    histories = [
        untimed(one.fit(X, Y, epochs=1, sample_weight=given))
        for one, given in zip(models, (weights, cupy.asarray(weights)), strict=True)
    ]
    assert histories[0] == histories[1]


@pytest.mark.parametrize("devices", [(0, 1), (1, 0)])
def test_a_model_goes_from_one_to_the_other(devices: tuple[int, int], tmp_path: Path) -> None:
    source, target = devices
    one = model(source)
    fit(one)
    one.save(tmp_path / "model")
    loaded = mc.load(tmp_path / "model", "cupy", target)
    np.testing.assert_array_equal(loaded.predict(X), one.predict(X))
    moved, again = one.to("cupy", target), pickle.loads(pickle.dumps(one))
    assert [places(other) for other in (loaded, moved, again)] == [{target}, {target}, {source}]
    histories = [fit(other) for other in (one, moved, again)]
    assert histories[0] == histories[1] == histories[2]
    for other in (moved, again):
        assert_same(state_of(other), state_of(one))


def test_a_checkpoint_of_one_is_resumed_on_the_other(tmp_path: Path) -> None:
    expected = model(0)
    expected.fit(X, Y, epochs=4, **FIT)
    model(0).fit(X, Y, epochs=2, checkpoint=tmp_path / "run", **FIT)
    one = model(1)
    one.fit(X, Y, epochs=4, resume=tmp_path / "run", **FIT)
    assert_same(state_of(one), state_of(expected))
    assert places(one) == {1}


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_an_estimator_on_the_second_device(solver: str) -> None:
    words: dict[str, Any] = {"backend": "cupy", "max_iter": 3, "random_state": 0, "solver": solver}
    first, second = (MLPClassifier(device=device, **words).fit(X, LABELS) for device in (0, "cuda:1"))
    np.testing.assert_array_equal(second.predict_proba(X), first.predict_proba(X))
    assert second.coefs_[0].device.id == 1


def test_too_little_memory_on_one_leaves_the_other_alone(cupy: Any) -> None:
    """The pool of the second device is limited to what it holds; that of the first is not."""
    first, second, expected = model(0), model(1), model(0)
    history, before, pool = fit(expected), state_of(second), cupy.get_default_memory_pool()
    with cupy.cuda.Device(1):
        pool.free_all_blocks()
        limit, used = pool.get_limit(), pool.used_bytes()
        if not used:
            pytest.skip("CuPy's pool, whose limit stands for a small device, is turned off")
        pool.set_limit(size=used)
    try:
        with pytest.raises(mc.OutOfMemoryError, match="on cuda:1"):
            second.fit(
                np.tile(X, (1000, 1)), np.tile(Y, (1000, 1)), batch_size=22_000
            )  # more than its blocks have free
        assert_same(state_of(second), before)
        assert fit(first) == history
    finally:
        with cupy.cuda.Device(1):
            pool.set_limit(size=limit)
    assert fit(second) == history
    for one in (first, second):
        assert_same(state_of(one), state_of(expected))
