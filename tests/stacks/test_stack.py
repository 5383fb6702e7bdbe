"""A member of a stack is the model alone, bit for bit, whatever the others are and do."""

import copy
import signal
import tracemalloc
from typing import Any

import numpy as np
import pytest
from devices import open_place
from fitting import (
    EVERYTHING,
    LABELS,
    NET,
    PLAIN,
    ROWS,
    X,
    Y,
    assert_same,
    classifier,
    make,
    state_of,
    untimed,
    with_extras,
)
from members import LAYERS, LOSSES, OPTIMIZERS
from shortages import same

import mlpcore as mc
from mlpcore import host_memory
from mlpcore.backends import get_backend
from mlpcore.backends.compiled import chunk_calls
from mlpcore.compiler import pool
from mlpcore.gradient_check import draw_targets
from mlpcore.random import Stream
from mlpcore.training.refusal import state_bytes

WAYS = pytest.mark.parametrize("way", [True, False], ids=["C", "NumPy calls"])
FIT: dict[str, Any] = {"epochs": 3, "batch_size": 5}


def alone(models: list[mc.Model], x: Any = X, y: Any = Y, **words: Any) -> tuple[list[mc.Model], list[mc.History]]:
    """Copies of the models, each trained by itself."""
    models = [copy.copy(model) for model in models]
    return models, [model.fit(x, y, **{**FIT, **words}) for model in models]


def check(models: list[mc.Model], x: Any = X, y: Any = Y, **words: Any) -> None:
    """The stack of these models trains them as each is trained alone."""
    expected, histories = alone(models, x, y, **words)
    got = mc.Stack(models).fit(x, y, **{**FIT, **words})
    for model, other in zip(models, expected, strict=True):
        assert_same(state_of(model), state_of(other))
    assert list(map(untimed, got)) == list(map(untimed, histories))


def seeded(count: int, net: Any = PLAIN, loss: Any = None, optimizer: Any = None, **words: Any) -> list[mc.Model]:
    return [make(net, loss, optimizer, **{"seed": seed, **words}) for seed in range(count)]


# --- the law, over all members


@WAYS
@pytest.mark.parametrize("members", [1, 3, 9])  # more than four a core: two halves
def test_a_member_is_the_model_alone(members: int, way: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    check(
        [make(**{**EVERYTHING, "seed": seed}, compile=way) for seed in range(members)], validation_data=(X[:9], Y[:9])
    )


@pytest.mark.parametrize("case", LAYERS)
def test_every_layer(case: str) -> None:
    layer = LAYERS[case](4)
    net = mc.Sequential(mc.Linear(3, 4), layer, mc.Linear(layer.output_width(4) or 4, 2))
    check(seeded(3, net, compile=True), epochs=2)


@pytest.mark.parametrize("case", LOSSES)
def test_every_loss(case: str) -> None:
    loss, kind = LOSSES[case]
    target = draw_targets(Stream(2), ROWS, 3)[kind]
    net = mc.Sequential(mc.Linear(3, 4), mc.Tanh(), mc.Linear(4, loss.outputs(3)))
    check(seeded(3, net, loss, compile=True), y=target, epochs=2)


@pytest.mark.parametrize("case", OPTIMIZERS)
def test_every_optimizer(case: str) -> None:
    check(seeded(3, optimizer=OPTIMIZERS[case], compile=True), epochs=2)


@pytest.mark.parametrize("backend", ["numpy", "array_api_strict", "torch", "jax"])
def test_every_backend(backend: str) -> None:
    """CuPy, where members agree to rounding, is in tests/stacks/test_device_stack.py."""
    check(seeded(3, backend=open_place(backend)))


# --- in what members may differ


def test_every_number_may_differ() -> None:
    def model(i: int) -> mc.Model:
        net = mc.Sequential(mc.Linear(3, 6), mc.Tanh(), mc.Dropout(0.1 + 0.1 * i), mc.Linear(6, 3))
        rate = mc.CosineDecay(0.01 * (i + 1), 20 + i)
        return mc.Model(
            *(
                net,
                mc.SoftmaxCrossEntropy(label_smoothing=0.1 * i),
                mc.AdamW(rate, beta1=0.9 - 0.1 * i, weight_decay=0.1 * i),
            ),
            **{
                "seed": i,
                "l2": 0.1 * i,
                "clip_norm": 1.0 + i,
                "clip_value": 0.2 + i,
                "ema": 0.9 - 0.1 * i,
                "compile": True,
            },
        )

    models = [model(i) for i in range(4)]
    assert len({one.compiled.source for one in models}) == 1
    check(models, y=LABELS)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"net": mc.Sequential(mc.Linear(3, 5), mc.Tanh(), mc.Linear(5, 2))}, r"params\.0\.bias is '\(4,\)'.*\(5,\)"),
        ({"net": mc.Sequential(mc.Linear(3, 4), mc.ReLU(), mc.Linear(4, 2))}, r"'Tanh'.* 'ReLU'"),
        ({"loss": mc.SquaredError()}, "'HalfSquaredError'.* 'SquaredError'"),
        ({"optimizer": mc.SGD(0.1)}, "'Adam'.* 'SGD'"),
        ({"optimizer": mc.Adam(mc.CosineDecay(0.1, 9))}, r"optimizer\.learning_rate"),
        ({"clip_norm": 1.0}, "clip_norm is None in member 0 and 1.0"),
        ({"dtype": "float32"}, "dtype is 'float64' in member 0 and 'float32' in member 1"),
        ({"metrics": ["r2"]}, "metrics"),
        ({"compile": True}, "compile is 'auto' in member 0 and True in member 1"),
    ],
)  # fmt: skip
def test_what_else_differs_is_named(other: dict[str, Any], said: str) -> None:
    models = [make(PLAIN), make(**{"net": PLAIN, **other})]
    with pytest.raises(mc.ConfigurationError, match=said):
        mc.Stack(models)
    groups = mc.Stack.group([*models, make(PLAIN, seed=4)])
    assert [[*group] for group in groups] == [[models[0], groups[0][1]], [models[1]]]


def test_what_is_no_stack() -> None:
    model = make(PLAIN)
    for models, said in [
        ([], "there is no model"),
        ([PLAIN], "member 0 is of type Sequential, expected mlpcore.Model"),
        ([model, model], r"member 1 is the same object as another; use copy.copy\(model\)"),
    ]:
        with pytest.raises(mc.ConfigurationError, match=said):
            mc.Stack(models)


def test_a_stack_is_a_sequence_of_its_models() -> None:
    models = seeded(4)
    stack = mc.Stack(iter(models))
    assert len(stack) == 4 and [*stack] == models and stack[1] is models[1] and models[2] in stack
    assert [*stack[1:3]] == models[1:3] and isinstance(stack[1:3], mc.Stack)
    assert (
        repr(stack) == "Stack(4 x Sequential(Linear(3, 4), Tanh(), Linear(4, 2)), HalfSquaredError(), backend='numpy')"
    )


# --- data


@WAYS
def test_weights_of_each_member(way: bool) -> None:
    weights = 0.5 + Stream(1).uniform((3, ROWS))
    models = [make(seed=i, compile=way) for i in range(3)]
    expected = [copy.copy(model) for model in models]
    for model, own in zip(expected, weights, strict=True):
        model.fit(X, Y, sample_weight=own, **FIT)
    mc.Stack(models).fit(X, Y, sample_weight=weights, **FIT)
    for model, other in zip(models, expected, strict=True):
        assert_same(state_of(model), state_of(other))


@WAYS
@pytest.mark.parametrize("shuffle", [True, False])
def test_rows_of_each_member(shuffle: bool, way: bool) -> None:
    """As alone on these rows: order, batches, the ragged last one, and so the number of steps."""
    rows = [np.arange(0, 22, 2), np.array([3, 1, 4, 15, 9, 2, 6, 5, 3, 5, 8, 9]), np.arange(3)]
    models = [make(seed=i, compile=way) for i in range(3)]
    expected = [copy.copy(model) for model in models]
    for model, own in zip(expected, rows, strict=True):
        model.fit(X[own], Y[own], shuffle=shuffle, **FIT)
    mc.Stack(models).fit(X, Y, rows=rows, shuffle=shuffle, **FIT)
    for model, other in zip(models, expected, strict=True):
        assert_same(state_of(model), state_of(other))


def test_x_of_each_member() -> None:
    x = np.stack([X, 2 * X, X - 1])
    models = seeded(3)
    expected = [copy.copy(model) for model in models]
    for model, own in zip(expected, x, strict=True):
        model.fit(own, Y, **FIT)
    mc.Stack(models).fit(x, Y, **FIT)
    for model, other in zip(models, expected, strict=True):
        assert_same(state_of(model), state_of(other))


def test_a_shared_order_is_that_of_the_first() -> None:
    models = [make(NET, seed=seed) for seed in (5, 6)]
    mc.Stack(models).fit(X, Y, shared_order=True, **FIT)
    first = make(NET, seed=5)
    first.fit(X, Y, **FIT)
    assert_same(state_of(models[0]), state_of(first))
    plain = mc.Stack([make(PLAIN, seed=5), make(PLAIN, seed=6, params=make(PLAIN, seed=5).params)])
    plain.fit(X, Y, shared_order=True, **FIT)
    assert_same(state_of(plain[0]), state_of(plain[1]))


@pytest.mark.parametrize("weights", ["balanced", {0: 2.0, 1: 0.5}])
def test_class_weights(weights: Any) -> None:
    check(
        [classifier(seed=seed) for seed in range(3)],
        y=LABELS,
        class_weight=weights,
        sample_weight=1 + np.arange(ROWS) % 3,
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"x": np.zeros((2, ROWS, 3))}, r"x has shape \(2, 22, 3\), expected \(n, columns\) or \(3, n, columns\)"),
        ({"sample_weight": np.ones((2, ROWS))}, r"sample_weight has shape \(2, 22\), expected \(n,\) or \(3, n\)"),
        ({"sample_weight": np.ones((3, 4))}, r"sample_weight has shape \(4,\), expected \(22,\)"),
        ({"rows": [[0, 1]]}, "rows are 1 lists of row numbers, expected 3"),
        ({"rows": [[0], [22], [1]]}, r"rows\[1\] must be a list of one or more row numbers from 0 to 21"),
        ({"rows": [[0], [1], []]}, r"rows\[2\] must be"),
        ({"rows": [[0], [1], [True]]}, r"rows\[2\] must be"),
        ({"rows": [[0], [1], [2]], "shared_order": True}, "shared_order=True is for members that have all rows"),
        ({"epochs": 0}, "epochs is 0"),
    ],
)  # fmt: skip
def test_wrong_arguments_change_nothing(words: dict[str, Any], said: str) -> None:
    models = seeded(3)
    before = list(map(state_of, models))
    with pytest.raises((mc.DataError, mc.ConfigurationError), match=said):
        mc.Stack(models).fit(**{"x": X, "y": Y, **words})
    for model, state in zip(models, before, strict=True):
        assert_same(state_of(model), state)


# --- members that stop


@WAYS
def test_a_member_that_has_stopped_moves_no_more(way: bool) -> None:
    """Early stopping by its own validation loss; the others go on."""
    rates = (1e-3, 3.0, 1e-2, 1.0)
    models = [make(PLAIN, None, mc.Adam(rate), seed=i, compile=way) for i, rate in enumerate(rates)]
    words: dict[str, Any] = {"epochs": 12, "validation_data": (X[:9], Y[:9])}
    expected = [copy.copy(model) for model in models]
    histories = [model.fit(X, Y, batch_size=5, callbacks=[mc.EarlyStopping(patience=2)], **words) for model in expected]
    got = mc.Stack(models).fit(X, Y, batch_size=5, callbacks=[mc.EarlyStopping(patience=2)], **words)
    assert len({len(history) for history in got}) > 1
    assert list(map(untimed, got)) == list(map(untimed, histories))
    for model, other in zip(models, expected, strict=True):
        assert_same(state_of(model), state_of(other))


@WAYS
def test_a_member_that_is_not_finite_harms_no_other(way: bool) -> None:
    def models() -> list[mc.Model]:
        return [make(PLAIN, None, mc.SGD(rate), seed=1, compile=way) for rate in (0.01, 1e200, 0.02)]

    stack, expected = mc.Stack(models()), models()
    with pytest.warns(mc.MlpcoreWarning, match=r"infinite or NaN in members 1; they keep the weights"):
        histories = stack.fit(X, Y, **FIT)
    assert [history.stopped for history in histories] == [None, "not finite", None]
    with pytest.raises(mc.NonFiniteError):
        expected[1].fit(X, Y, **FIT)
    for i in (0, 2):
        expected[i].fit(X, Y, **FIT)
    for model, other in zip(stack, expected, strict=True):
        assert_same(state_of(model), state_of(other))


def test_an_error_of_a_callback_ends_all_at_whole_steps() -> None:
    class Fails:
        def on_epoch_end(self, report: Any) -> None:
            if report.epoch == 2:
                raise OSError("disk full")

    models = [make(NET, seed=i, compile=True) for i in range(9)]
    with pytest.raises(OSError, match="disk full"):
        mc.Stack(models).fit(X, Y, callbacks=lambda model: [Fails()] if model is models[4] else [], **FIT)
    for model in models:
        steps = model.trainer.progress.step
        other = make(NET, seed=model.seed, compile=True)
        other.fit(X, Y, epochs=steps // 5, batch_size=5)
        if steps % 5 == 0:
            assert_same(state_of(model), state_of(other), but=("epoch",))
        model.fit(X, Y, epochs=1, batch_size=5)  # it can go on
    assert models[4].trainer.progress.epoch == 3


def test_ctrl_c_ends_all_members(ctrl_c: None) -> None:
    class Press:
        def on_epoch_end(self, report: Any) -> None:
            if report.epoch == 2:
                signal.raise_signal(signal.SIGINT)

    models = seeded(3)
    with pytest.warns(mc.TrainingInterrupted, match="every member stands at its last whole step"):
        histories = mc.Stack(models).fit(
            X, Y, epochs=50, batch_size=5, callbacks=lambda model: [Press()] if model is models[1] else []
        )
    assert all(history.stopped == "interrupted" and len(history) <= 3 for history in histories)


# --- many calls, threads, memory


def test_looks_at_the_clock_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk_calls, "SECONDS", 0.0)
    check([make(NET, seed=i, compile=True) for i in range(5)])


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_bits_do_not_depend_on_threads(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPCORE_NUM_THREADS", str(threads))
    check([make(NET, seed=i, compile=True) for i in range(4)])


def test_chunks_run_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPCORE_NUM_THREADS", "2")
    monkeypatch.setattr(chunk_calls, "SECONDS", 1e9)  # on a busy machine a call may be cut short
    jobs: list[int] = []
    run = pool.run_jobs
    monkeypatch.setattr(pool, "run_jobs", lambda table, until: (jobs.append(len(table)), run(table, until)))
    mc.Stack([make(PLAIN, seed=i, compile=True) for i in range(4)]).fit(X, Y, **FIT)
    assert jobs == [4] * 6  # the whole batches of an epoch, then the ragged one


def test_memory_is_checked_before(monkeypatch: pytest.MonkeyPatch) -> None:
    models = seeded(3)
    before = [state_of(model) for model in models]
    states, batch = sum(state_bytes(model.trainer.state) for model in models), 5 * (3 + 2 + 1) * 8
    monkeypatch.setattr(host_memory, "SMALL", 0)
    monkeypatch.setattr(host_memory, "host_memory", lambda: states + batch - 1)
    with pytest.raises(mc.OutOfMemoryError, match=r"what training writes of 3 models .*a batch of 5 rows .*stacks"):
        mc.Stack(models).fit(X, Y, batch_size=5)
    assert all(map(same, before, [state_of(model) for model in models]))
    monkeypatch.setattr(host_memory, "host_memory", lambda: states + batch)
    mc.Stack(models).fit(X, Y, batch_size=5, epochs=1)
    on_device = [
        make(PLAIN, seed=i, backend=with_extras(get_backend("numpy"), free_memory=lambda: 2 * states // 3))
        for i in range(3)
    ]
    with pytest.raises(mc.OutOfMemoryError, match=r"copies the states of 3 members.* for 2 members.*several stacks"):
        mc.Stack(on_device).fit(X, Y, batch_size=5)
    mc.Stack(on_device[:2]).fit(X, Y, batch_size=5, epochs=1)


# --- predictions, checkpoints, files


def test_rows_in_a_file_are_read_where_they_lie(tmp_path: Any) -> None:
    """A table that is larger than memory is no array of the stack; it trains as one in memory, bit for bit."""
    random = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", random.normal(size=(200_000, 20)).astype(np.float32))
    x, y = np.load(tmp_path / "x.npy", mmap_mode="r"), random.normal(size=(200_000, 1)).astype(np.float32)
    net = mc.Sequential(mc.Linear(20, 4), mc.Tanh(), mc.Linear(4, 1))
    words: dict[str, Any] = {"epochs": 1, "batch_size": 2000, "rows": [np.arange(100_000), np.arange(50_000, 200_000)]}
    tracemalloc.start()
    try:
        stack = mc.Stack(seeded(2, net, dtype="float32"))
        stack.fit(x, y, **words)
        assert tracemalloc.get_traced_memory()[1] < x.nbytes
    finally:
        tracemalloc.stop()
    in_memory = mc.Stack(seeded(2, net, dtype="float32"))
    in_memory.fit(np.array(x), y, **words)
    for one, other in zip(stack, in_memory, strict=True):
        assert_same(state_of(one), state_of(other))


def test_predictions_and_evaluation_are_those_of_the_members() -> None:
    models = [classifier(seed=seed, metrics=["accuracy"]) for seed in range(3)]
    stack = mc.Stack(models)
    prediction = stack.predict(X)
    assert prediction.shape == (3, ROWS, 3)
    for i, model in enumerate(models):
        np.testing.assert_array_equal(prediction[i], model.predict(X))
    values = stack.evaluate(X, LABELS)
    assert values.keys() == {"loss", "accuracy"}
    assert values["accuracy"].tolist() == [model.evaluate(X, LABELS)["accuracy"] for model in models]
    pairs = mc.Stack(seeded(2, mc.Sequential(mc.Linear(3, 4)), mc.GaussianNLL())).predict(X)
    assert isinstance(pairs, tuple) and [part.shape for part in pairs] == [(2, ROWS, 2)] * 2


@WAYS
def test_a_killed_stack_is_resumed(way: bool, tmp_path: Any) -> None:
    """Members may have come differently far; each goes on from its own file."""

    class Killed(Exception):
        pass

    class Kill:
        def on_epoch_end(self, report: Any) -> None:
            if report.epoch == 3:
                raise Killed

    def models() -> list[mc.Model]:
        return [make(**{**EVERYTHING, "seed": seed}, compile=way) for seed in range(5)]

    folder, words = tmp_path / "stack", {"epochs": 5, "batch_size": 5}
    killed = models()
    with pytest.raises(Killed):
        mc.Stack(killed).fit(
            X, Y, checkpoint=folder, callbacks=lambda model: [Kill()] if model is killed[2] else [], **words
        )
    got, expected = mc.Stack(models()), mc.Stack(models())
    histories, whole = got.fit(X, Y, checkpoint=folder, resume=folder, **words), expected.fit(X, Y, **words)
    for model, other in zip(got, expected, strict=True):
        assert_same(state_of(model), state_of(other))
    assert list(map(untimed, histories)) == list(map(untimed, whole))


def test_a_stack_is_saved_in_one_file(tmp_path: Any) -> None:
    stack = mc.Stack(seeded(3, NET))
    stack.fit(X, Y, **FIT)
    stack.save(tmp_path / "stack.safetensors")
    loaded = mc.Stack.load(tmp_path / "stack.safetensors")
    np.testing.assert_array_equal(loaded.predict(X), stack.predict(X))
    assert [model.specification for model in loaded] == [model.specification for model in stack]
    with pytest.raises(mc.ModelFileError, match=r"is a stack; read it with mlpcore\.Stack\.load; expected a model"):
        mc.load(tmp_path / "stack.safetensors")
    with pytest.raises(mc.ModelFileError, match=r"is a stack; .* expected an ensemble"):
        mc.Ensemble.load(tmp_path / "stack.safetensors")


def test_copies_of_callbacks_are_each_members_own() -> None:
    stopping = mc.EarlyStopping(patience=1)
    before = copy.deepcopy(vars(stopping))
    mc.Stack(seeded(2)).fit(X, Y, validation_data=(X, Y), callbacks=[stopping], **FIT)
    assert vars(stopping) == before


@WAYS
def test_targets_with_gaps(way: bool) -> None:
    """Gaps are those of all members; weights of entries may be each member's own."""
    y = np.where(Stream(4).uniform(Y.shape) < 0.3, np.nan, Y)
    check([make(seed=i, compile=way) for i in range(3)], y=y, missing_targets="skip")
    weights = 0.5 + Stream(1).uniform((3, ROWS, 2))
    models = [make(seed=i, compile=way) for i in range(3)]
    expected = [copy.copy(model) for model in models]
    for model, own in zip(expected, weights, strict=True):
        model.fit(X, Y, sample_weight=own, **FIT)
    mc.Stack(models).fit(X, Y, sample_weight=weights, **FIT)
    for model, other in zip(models, expected, strict=True):
        assert_same(state_of(model), state_of(other))
    with pytest.raises(mc.ConfigurationError, match=r"Stack.fit: missing_targets is 'some'"):
        mc.Stack(models).fit(X, Y, missing_targets="some")
