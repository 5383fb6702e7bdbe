"""A stack on a CUDA device: its members run as one, and each is the model alone.

Kernels give the same bits, products agree to rounding. The cases "host" run the printed kernels on the CPU.
"""

import copy
import threading
from dataclasses import replace
from typing import Any

import cuda_host
import numpy as np
import pytest
from devices import gpu, open_place
from fitting import EVERYTHING, LABELS, NET, PLAIN, ROWS, X, Y, make, state_of, untimed, with_steps
from members import LAYERS, LOSSES, OPTIMIZERS

import mlpcore as mc
from mlpcore.backends.backend import Backend, Compilers
from mlpcore.backends.compiled import device_groups
from mlpcore.backends.compiled.device_groups import DeviceGroup, DeviceGroups, run_as_one
from mlpcore.backends.compiled.device_steps import device_steps
from mlpcore.backends.copy_queues import PlainCopies
from mlpcore.backends.run import run_eagerly
from mlpcore.backends.streaming import streamed
from mlpcore.gradient_check import draw_targets
from mlpcore.random import Stream
from mlpcore.training.events import Stop

FIT: dict[str, Any] = {"epochs": 3, "batch_size": 5}  # 22 rows: four whole batches, one of two
NEAR = 1e-9


@pytest.fixture(params=[pytest.param("host", marks=cuda_host.needed), gpu("cupy")])
def place(request: pytest.FixtureRequest) -> Backend:
    """A device."""
    return cuda_host.backend() if request.param == "host" else open_place(request.param)


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, tuple[int, ...]]]:
    """The number of members, and the steps and rows, of all chunks that groups run."""
    noted: list[tuple[int, tuple[int, ...]]] = []
    run = DeviceGroup.run

    def noting(group: DeviceGroup, chunks: Any) -> None:
        noted.append((len(chunks), chunks[0].order.shape))
        run(group, chunks)

    monkeypatch.setattr(DeviceGroup, "run", noting)
    return noted


def assert_near(model: mc.Model, other: mc.Model) -> None:
    """The states of both agree to rounding."""
    found, expected = state_of(model), state_of(other)
    assert found.keys() == expected.keys()
    for name, right in expected.items():
        assert found[name].dtype == right.dtype and found[name].shape == right.shape
        scale = max(1.0, float(np.max(np.abs(right), initial=0)))
        np.testing.assert_allclose(found[name], right, rtol=0, atol=NEAR * scale, err_msg=name)


def check(models: list[mc.Model], x: Any = X, y: Any = Y, **words: Any) -> None:
    """The stack of these models trains them as each is trained alone."""
    words = {**FIT, **words}
    expected = [copy.copy(model) for model in models]
    histories = [model.fit(x, y, **words) for model in expected]
    found = mc.Stack(models).fit(x, y, **words)
    for model, other in zip(models, expected, strict=True):
        assert model.compiled.kind == "CUDA", model.compiled
        assert_near(model, other)
    for history, right in zip(found, histories, strict=True):
        assert len(history) == len(right)
        for row, other in zip(untimed(history), untimed(right), strict=True):
            assert row.keys() == other.keys()
            np.testing.assert_allclose([*row.values()], [*other.values()], rtol=NEAR, atol=NEAR)


def seeded(count: int, backend: Backend, net: Any = PLAIN, loss: Any = None, optimizer: Any = None) -> list[mc.Model]:
    return [make(net, loss, optimizer, backend=backend, seed=seed) for seed in range(count)]


# --- the law, over all members


def test_a_member_is_the_model_alone(place: Backend, groups: list) -> None:
    """All rules, BatchNorm, dropout, a ragged last batch; before and after they have trained alone."""
    models = [make(**{**EVERYTHING, "seed": seed}, backend=place) for seed in range(3)]
    check(models, validation_data=(X[:9], Y[:9]))
    assert [members for members, _ in groups] == [1] * 18 + [3] * 6
    expected = [copy.copy(model) for model in models]
    for model, other in zip(models, expected, strict=True):
        model.fit(X, Y, **FIT)
        other.fit(X, Y, **FIT)
        assert_near(model, other)
    check(models)


@pytest.mark.parametrize("case", LAYERS)
@cuda_host.needed
def test_every_layer(case: str) -> None:
    layer = LAYERS[case](4)
    net = mc.Sequential(mc.Linear(3, 4), layer, mc.Linear(layer.output_width(4) or 4, 2))
    check(seeded(3, cuda_host.backend(), net), epochs=2)


@pytest.mark.parametrize("case", LOSSES)
@cuda_host.needed
def test_every_loss(case: str) -> None:
    loss, kind = LOSSES[case]
    net = mc.Sequential(mc.Linear(3, 4), mc.Tanh(), mc.Linear(4, loss.outputs(3)))
    check(seeded(3, cuda_host.backend(), net, loss), y=draw_targets(Stream(2), ROWS, 3)[kind], epochs=2)


@pytest.mark.parametrize("case", OPTIMIZERS)
@cuda_host.needed
def test_every_optimizer(case: str) -> None:
    check(seeded(3, cuda_host.backend(), optimizer=OPTIMIZERS[case]), epochs=2)


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
def test_every_precision(place: Backend, precision: str, groups: list) -> None:
    """With so coarse products, what is rounded to the other side changes more than the last bits."""
    words: dict[str, Any] = {"dtype": "float32", "precision": precision, "backend": place}
    models = [mc.Model(PLAIN, mc.HalfSquaredError(), mc.SGD(0.01), seed=seed, **words) for seed in range(3)]
    expected = [copy.copy(model) for model in models]
    for model in expected:
        model.fit(X, Y, **FIT)
    mc.Stack(models).fit(X, Y, **FIT)
    assert groups[-1][0] == 3
    for model, other in zip(models, expected, strict=True):
        np.testing.assert_allclose(state_of(model)["0"], state_of(other)["0"], rtol=0, atol=1e-3)


def test_every_number_may_differ(place: Backend, groups: list) -> None:
    """Their targets are not the same arrays, as each loss encodes its own."""

    def model(i: int) -> mc.Model:
        net = mc.Sequential(mc.Linear(3, 6), mc.Tanh(), mc.Dropout(0.1 + 0.1 * i), mc.Linear(6, 3))
        loss = mc.SoftmaxCrossEntropy(label_smoothing=0.1 + 0.1 * i)
        rate = mc.CosineDecay(0.01 * (i + 1), 20 + i)
        optimizer = mc.AdamW(rate, beta1=0.9 - 0.1 * i, eps=10.0 ** (-8 + i), weight_decay=0.1 + 0.1 * i)
        rules: dict[str, Any] = {"l2": 0.1 + i, "clip_norm": 1.0 + i, "clip_value": 0.2 + i, "ema": 0.9 - 0.1 * i}
        return mc.Model(net, loss, optimizer, seed=i, dtype="float64", backend=place, **rules)

    models = [model(i) for i in range(4)]
    check(models, y=LABELS)
    assert {members for members, _ in groups} == {1, 4}
    assert len({one.compiled.source for one in models}) == 1


# --- data


def test_weights_of_each_member(place: Backend, groups: list) -> None:
    weights = 0.5 + Stream(1).uniform((3, ROWS))
    models = seeded(3, place, NET)
    expected = [copy.copy(model) for model in models]
    mc.Stack(models).fit(X, Y, sample_weight=weights, **FIT)
    assert {members for members, _ in groups} == {3}
    for model, other, own in zip(models, expected, weights, strict=True):
        other.fit(X, Y, sample_weight=own, **FIT)
        assert_near(model, other)


def test_rows_of_each_member(place: Backend, groups: list) -> None:
    """Members with as many rows run as one: the last batches of two, and the whole ones of three."""
    rows = [np.arange(0, 22, 2), np.arange(13), np.arange(1, 12)]
    models = seeded(3, place)
    expected = [copy.copy(model) for model in models]
    mc.Stack(models).fit(X, Y, rows=rows, **FIT)
    assert sorted(groups) == [(1, (1, 3))] * 3 + [(2, (1, 1))] * 3 + [(3, (2, 5))] * 3
    for model, other, own in zip(models, expected, rows, strict=True):
        other.fit(X[own], Y[own], **FIT)
        assert_near(model, other)


def test_x_of_each_member(place: Backend) -> None:
    x = np.stack([X, 2 * X, X - 1])
    models = seeded(3, place)
    expected = [copy.copy(model) for model in models]
    mc.Stack(models).fit(x, Y, **FIT)
    for model, other, own in zip(models, expected, x, strict=True):
        other.fit(own, Y, **FIT)
        assert_near(model, other)


# --- members that stop


def test_a_member_that_has_stopped_moves_no_more(place: Backend, groups: list) -> None:
    """The others go on without it, and keep nothing of its memory or it of theirs."""
    rates = (1e-3, 3.0, 1e-2, 1.0)
    models = [make(PLAIN, None, mc.Adam(rate), seed=i, backend=place) for i, rate in enumerate(rates)]
    words: dict[str, Any] = {"epochs": 12, "batch_size": 5, "validation_data": (X[:9], Y[:9])}
    expected = [copy.copy(model) for model in models]
    found = mc.Stack(models).fit(X, Y, callbacks=[mc.EarlyStopping(patience=2)], **words)
    assert len({len(history) for history in found}) > 1
    members = [members for members, _ in groups]
    assert members[0] == 4 and members == sorted(members, reverse=True) and len(set(members)) > 1
    for model, other, history in zip(models, expected, found, strict=True):
        right = other.fit(X, Y, callbacks=[mc.EarlyStopping(patience=2)], **words)
        assert len(history) == len(right)
        assert_near(model, other)


@pytest.mark.parametrize(("rate", "said"), [(1e200, "the loss"), (1.7e308, "the weights")])
def test_a_member_that_is_not_finite_harms_no_other(place: Backend, rate: float, said: str) -> None:
    """Its loss, which leaves the state as it was, or its weights, which is found after the chunk."""

    def models() -> list[mc.Model]:
        return [make(PLAIN, None, mc.SGD(own), seed=1, backend=place) for own in (1e-4, rate, 2e-4)]

    stack, expected, y = mc.Stack(models()), models(), 100 * Y
    with pytest.warns(mc.MlpcoreWarning, match=r"infinite or NaN in members 1; they keep the weights"):
        histories = stack.fit(X, y, **FIT)
    assert [history.stopped for history in histories] == [None, "not finite", None]
    with pytest.raises(mc.NonFiniteError, match=said):
        expected[1].fit(X, y, **FIT)
    for i in (0, 2):
        expected[i].fit(X, y, **FIT)
        assert_near(stack[i], expected[i])
    assert stack[1].trainer.progress == expected[1].trainer.progress
    if said == "the loss":
        assert_near(stack[1], expected[1])


def test_rates_that_callbacks_change(place: Backend) -> None:
    """Each member its own; the history has the rates, which are read with the results of a chunk."""

    class Halves:
        def on_epoch_end(self, report: Any) -> None:
            if report.epoch == 1 + report.model.seed % 2:
                report.model.rate_scale = 0.5
                assert report.model.learning_rate == 0.5 * report.values["learning_rate"]

    models = seeded(3, place, optimizer=mc.Adam(mc.CosineDecay(0.01, 40)))
    expected = [copy.copy(model) for model in models]
    found = mc.Stack(models).fit(X, Y, callbacks=[Halves()], **FIT)
    for model, other, history in zip(models, expected, found, strict=True):
        right = other.fit(X, Y, callbacks=[Halves()], **FIT)
        np.testing.assert_allclose(history.learning_rate, right.learning_rate, rtol=1e-12)
        assert_near(model, other)
    assert found[0].learning_rate != found[1].learning_rate


@cuda_host.needed
def test_data_that_stay_on_the_host(groups: list) -> None:
    """Where the device is too small for them, members run one after the other."""
    device = cuda_host.backend()

    def steps(*arguments: Any) -> Any:
        return streamed(device.compile.steps(*arguments), lambda: PlainCopies(np.asarray), np.concatenate)

    models, expected = seeded(3, with_steps(device, steps)), seeded(3, device)
    mc.Stack(models).fit(X, Y, **FIT)
    assert {members for members, _ in groups} == {1}
    for model, other in zip(models, expected, strict=True):
        other.fit(X, Y, **FIT)
        assert_near(model, other)


@cuda_host.needed
def test_calls_are_done_in_the_thread_of_the_caller() -> None:
    """The current device and stream of CuPy are those of a thread."""
    threads: set[int] = set()

    class Noting:
        def on_epoch_end(self, report: Any) -> None:
            threads.add(threading.get_ident())

    run = DeviceGroup.run
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DeviceGroup, "run", lambda *given: (threads.add(threading.get_ident()), run(*given))[1])
        patch.setattr("os.cpu_count", lambda: 1)  # enough members for two halves
        mc.Stack(seeded(9, cuda_host.backend())).fit(X, Y, callbacks=[Noting()], **FIT)
    assert threads == {threading.get_ident()}


@cuda_host.needed
def test_states_are_not_copied_from_chunk_to_chunk_nor_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[int] = []
    stacked = device_groups._stacked
    monkeypatch.setattr(device_groups, "_stacked", lambda arrays: (copied.append(len(arrays)), stacked(arrays))[1])

    class Halves:
        def on_epoch_end(self, report: Any) -> None:
            if report.epoch == 2:
                report.model.rate_scale = 0.5

    models = seeded(3, cuda_host.backend())
    mc.Stack(models).fit(X, Y, callbacks=lambda model: [Halves()] if model is models[1] else [], **FIT)
    leaves = len([name for name in state_of(models[0]) if name not in ("epoch", "step")])
    assert copied == [3] * (leaves + 1)  # once, of six chunks, and what a callback has changed
    vectors = [model.trainer.state.params for model in models]
    assert all(vector.base is None or vector.base.size == vector.size for vector in vectors)


@cuda_host.needed
def test_an_error_of_a_launch_ends_all_after_whole_steps() -> None:
    device, launched = cuda_host.device(), []

    def kernel(code: str, name: str, shared: int) -> Any:
        run = device.kernel(code, name, shared)

        def launch(*arguments: Any) -> None:
            launched.append(name)
            if launched.count(name) == 3 and name == launched[0]:  # the first kernel of the third step
                raise RuntimeError("the device failed")
            run(*arguments)

        return launch

    broken = replace(device, kernel=kernel)
    numpy = mc.get_backend("numpy")
    steps = device_steps(run_eagerly(numpy.xp, numpy.asarray), broken)
    backend = replace(numpy, compile=Compilers(steps, side_by_side=run_as_one(broken)))
    models, expected = seeded(3, backend), seeded(3, backend)
    with pytest.raises(RuntimeError, match="the device failed"):
        mc.Stack(models).fit(X, Y, shuffle=False, **FIT)
    for model, other in zip(models, expected, strict=True):
        assert model.trainer.progress.step == 2
        other.fit(X[:10], Y[:10], epochs=1, batch_size=5, shuffle=False)
        np.testing.assert_allclose(state_of(model)["0"], state_of(other)["0"], rtol=0, atol=NEAR)


# --- launches


def test_launches_do_not_grow_with_the_members() -> None:
    """Nor the other work of a chunk; `test_device_counts` counts the same on CuPy."""
    found = [_operations(members) for members in (1, 2, 5, 40)]
    assert found[1] == found[2] == found[3]
    assert found[0]["kernel"] == found[1]["kernel"] and found[0]["product"] == found[1]["product"] > 0


def _operations(members: int) -> dict[str, int]:
    """What an epoch asks of a device, besides the first, which compiles."""
    counts = dict.fromkeys(("kernel", "product", "copy", "clear", "put", "empty", "read"), 0)
    device = cuda_host.device()

    def counting(name: str, function: Any) -> Any:
        def counted(*arguments: Any) -> Any:
            counts[name] += 1
            return function(*arguments)

        return counted

    def prepared(*arguments: Any) -> Any:
        return counting("product", device.product(*arguments))

    functions = {name: counting(name, getattr(device, name)) for name in ("copy", "clear", "put", "empty", "read")}
    kernel = {"kernel": lambda code, name, shared: counting("kernel", lambda *_: None)}
    place = replace(device, **functions, **kernel, product=prepared)
    numpy = mc.get_backend("numpy")
    steps = device_steps(run_eagerly(numpy.xp, numpy.asarray), place)
    backend = replace(numpy, compile=Compilers(steps, side_by_side=run_as_one(place)))

    class Reset:
        def on_epoch_end(self, report: Any) -> None:
            if report.epoch == 1:
                counts.update(dict.fromkeys(counts, 0))

    models = seeded(members, backend, NET)
    mc.Stack(models).fit(X, Y, callbacks=lambda model: [Reset()] if model is models[-1] else [], **FIT)
    return counts


@cuda_host.needed
def test_as_many_members_as_a_launch_takes(monkeypatch: pytest.MonkeyPatch, groups: list) -> None:
    monkeypatch.setattr(device_groups, "MOST", 2)
    check(seeded(5, cuda_host.backend()), epochs=1)
    assert [members for members, _ in groups[10:]] == [2, 2, 1] * 2


@cuda_host.needed
def test_groups_of_members_that_have_stopped_are_dropped() -> None:
    class Stops:
        def on_epoch_end(self, report: Any) -> Stop:
            return Stop("enough")

    kept: list[int] = []
    run = DeviceGroups.run_together

    def noting(groups: DeviceGroups, calls: Any) -> Any:
        result = run(groups, calls)
        kept.append(len(groups.groups))
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DeviceGroups, "run_together", noting)
        models = seeded(4, cuda_host.backend())
        mc.Stack(models).fit(X, Y, callbacks=lambda model: [Stops()] if model is models[1] else [], **FIT)
    assert set(kept) == {1}
