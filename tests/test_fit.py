"""Model.fit: what an epoch does, that fits add up, what weights and validation data mean, and what it takes as data."""

from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fitting import LABELS, NET, PLAIN, ROWS, X, Y, assert_same, classifier, differ, make, state_of, untimed
from members import OPTIMIZERS, assert_close

import mlpcore as mc
from mlpcore.random import Stream
from mlpcore.training.loop import shuffled
from mlpcore.training.step import make_step
from mlpcore.trees import named_leaves
from mlpcore.typing import Batch

EVERYTHING: dict[str, Any] = {"l2": 0.01, "clip_norm": 0.5, "clip_value": 0.2, "ema": 0.9, "seed": 3}
FIT: dict[str, Any] = {"batch_size": 5, "validation_data": (X[:9], Y[:9])}  # 22 rows: four whole batches, one of two


# --- what an epoch is


@pytest.mark.parametrize("shuffle", [True, False])
def test_an_epoch_is_its_steps_one_after_the_other(shuffle: bool) -> None:
    """Rows in the epoch's order, noise by the number of the step, and the loss column: the mean over the rows."""
    weights = 0.5 + Stream(1).uniform((ROWS,))
    model, other = make(**EVERYTHING), make(**EVERYTHING)
    history = model.fit(X, Y, epochs=2, batch_size=5, shuffle=shuffle, sample_weight=weights)
    state = other._trainer.state
    step = make_step(NET, model.loss, model.optimizer, model.layout, model.rules)
    number = count()
    for epoch in range(2):
        rows = shuffled(3, ROWS)(epoch) if shuffle else np.arange(ROWS)
        assert sorted(rows) == list(range(ROWS))
        total = 0.0
        for start in range(0, ROWS, 5):
            at = rows[start : start + 5]
            noise = NET.noise(Stream(3, "noise", step=next(number)), (len(at), 3), "float64")
            state, loss = step(state, Batch(X[at], Y[at], weights[at], noise))
            total += float(loss) * weights[at].sum()
        assert history.loss[epoch] == pytest.approx(total / weights.sum(), rel=1e-12)
    for name, leaf in named_leaves(state):
        np.testing.assert_array_equal(leaf, dict(named_leaves(model._trainer.state))[name], err_msg=name)


def test_every_epoch_has_another_order_and_every_seed_too() -> None:
    orders = {tuple(shuffled(seed, ROWS)(epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9 and tuple(range(ROWS)) not in orders


SCHEDULED = {
    **OPTIMIZERS,
    "Adam with a schedule": mc.Adam(mc.WarmUp(mc.CosineDecay(0.05, 30), 10)),
    "SGD, Nesterov with one cycle": mc.SGD(mc.OneCycle(0.1, 50), momentum=0.9, nesterov=True),
}


@pytest.mark.parametrize("case", SCHEDULED)
def test_four_epochs_and_six_are_ten(case: str) -> None:
    words = EVERYTHING | {"optimizer": replace(SCHEDULED[case], weight_decay=0.1), "dtype": "float32"}
    whole, parts = make(**words), make(**words)
    history = whole.fit(X, Y, epochs=10, **FIT)
    first, second = parts.fit(X, Y, epochs=4, **FIT), parts.fit(X, Y, epochs=6, **FIT)
    assert_same(state_of(parts), state_of(whole))
    assert untimed(first) + untimed(second) == untimed(history)
    np.testing.assert_array_equal(parts.predict(X), whole.predict(X))
    assert state_of(whole)["step"] == 50 and state_of(whole)["epoch"] == 10


def test_looking_between_two_fits_changes_nothing() -> None:
    whole, parts = make(**EVERYTHING), make(**EVERYTHING)
    whole.fit(X, Y, epochs=3, **FIT)
    for _ in range(3):
        parts.fit(X, Y, epochs=1, **FIT)
        parts.predict(X)
        parts.evaluate(X, Y)
        parts.summary()
        parts.snapshot()
        for _, leaf in named_leaves(parts.params):
            leaf[...] = 7.0
    assert_same(state_of(parts), state_of(whole))


def test_a_seed_decides_everything() -> None:
    models = [make(**(EVERYTHING | {"seed": seed})) for seed in (3, 3, 4)]
    first = [state_of(model) for model in models]
    histories = [model.fit(X, Y, epochs=2, **FIT) for model in models]
    last = [state_of(model) for model in models]
    assert_same(last[0], last[1])
    assert untimed(histories[0]) == untimed(histories[1])
    assert differ(first[0], first[2]) and differ(last[0], last[2])


def test_the_seed_decides_order_and_masks_where_the_weights_are_given() -> None:
    params = make(seed=3).params
    for net, batch_size in ((PLAIN, 5), (mc.Sequential(mc.Dropout(), *PLAIN.layers), 50)):
        params = make(net).params
        models = [make(net, params=params, seed=seed) for seed in (3, 3, 4)]
        for model in models:
            model.fit(X, Y, epochs=1, batch_size=batch_size)
        one, same, other = map(state_of, models)
        assert_same(one, same)
        assert differ(one, other)


def test_a_batch_larger_than_the_table_is_the_table() -> None:
    one, other = make(), make()
    one.fit(X, Y, epochs=2, batch_size=10**9)
    other.fit(X, Y, epochs=2, batch_size=ROWS)
    assert_same(state_of(one), state_of(other))
    assert state_of(one)["step"] == 2


@pytest.mark.parametrize("longest", [1, 2, 3, 4])
def test_chunks_leave_no_trace(longest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of one step, of a few, of all whole batches of the epoch; those of 3 are made even, 2 and 2."""
    weights = 0.5 + Stream(1).uniform((ROWS,))
    whole, cut = make(**EVERYTHING), make(**EVERYTHING)
    history = whole.fit(X, Y, epochs=3, sample_weight=weights, **FIT)
    monkeypatch.setattr("mlpcore.training.loop.CHUNK_WORK", longest * 3 * 5 * cut.layout.size)
    lengths = []
    run = cut._trainer.run
    monkeypatch.setattr(cut._trainer, "run", lambda *args: lengths.append(len(args[2])) or run(*args))
    again = cut.fit(X, Y, epochs=3, sample_weight=weights, **FIT)
    assert lengths == 3 * {1: [1] * 5, 2: [2, 2, 1], 3: [2, 2, 1], 4: [4, 1]}[longest]
    assert_same(state_of(cut), state_of(whole))
    assert untimed(again) == untimed(history)


# --- weights


@pytest.mark.parametrize("net", [PLAIN, mc.Sequential(mc.Linear(3, 4, bias=False), mc.BatchNorm(4), *PLAIN.layers[1:])])
def test_a_row_of_weight_two_is_a_row_that_stands_twice_and_one_of_zero_is_not_there(net: Any) -> None:
    weights = np.ones(ROWS)
    weights[[2, 5]], weights[[0, 7]] = 2, 0
    rows = np.repeat(np.arange(ROWS), weights.astype(int))
    weighted, repeated = make(net), make(net)
    first = weighted.fit(X, Y, epochs=5, batch_size=ROWS, sample_weight=weights)
    second = repeated.fit(X[rows], Y[rows], epochs=5, batch_size=ROWS, shuffle=False)
    np.testing.assert_allclose(first.loss, second.loss, rtol=1e-12)
    assert_close(weighted.predict(X), repeated.predict(X))
    assert weighted.evaluate(X, Y, sample_weight=weights) == pytest.approx(repeated.evaluate(X[rows], Y[rows]))


def test_batches_of_weight_zero_are_left_out() -> None:
    """Their number counts for the noise, not for the schedule; the loss is that of the others."""
    weights = np.ones(ROWS)
    weights[5:15] = 0  # two whole batches
    model = make(PLAIN, optimizer=mc.Adam(mc.StepDecay(0.1, 1, 0.5)))
    other = make(PLAIN, optimizer=mc.Adam(mc.StepDecay(0.1, 1, 0.5)))
    history = model.fit(X, Y, epochs=1, batch_size=5, shuffle=False, sample_weight=weights)
    rows = np.r_[0:5, 15:22]
    expected = other.fit(X[rows], Y[rows], epochs=1, batch_size=5, shuffle=False)
    assert_same(state_of(model), state_of(other), but=("step",))
    assert history.loss == pytest.approx(expected.loss, rel=1e-14) and model.learning_rate == other.learning_rate
    assert state_of(model)["step"] == 5 and state_of(other)["step"] == 3


@pytest.mark.parametrize("scale", [1e-30, 7.0, 1e30])
def test_only_the_ratio_of_weights_matters(scale: float) -> None:
    one, other = make(PLAIN), make(PLAIN)
    one.fit(X, Y, epochs=3, batch_size=5)
    other.fit(X, Y, epochs=3, batch_size=5, sample_weight=np.full(ROWS, scale))
    assert_close(other.predict(X), one.predict(X))


def test_class_weights_are_row_weights() -> None:
    counts = np.bincount(LABELS)
    assert len(counts) == 3 and counts.min() > 0
    cases: list[tuple[Any, np.ndarray]] = [
        ({0: 2.0, 2: 0.5}, np.array([2.0, 1.0, 0.5])[LABELS]),
        ({1: 0}, np.array([1.0, 0.0, 1.0])[LABELS]),
        ({np.int64(1): np.float32(0.25)}, np.array([1.0, 0.25, 1.0])[LABELS]),
        ("balanced", (ROWS / (3 * counts))[LABELS]),
    ]
    for given, rows in cases:
        one, other = classifier(), classifier()
        one.fit(X, LABELS, epochs=2, batch_size=5, class_weight=given)
        other.fit(X, LABELS, epochs=2, batch_size=5, sample_weight=rows)
        assert_same(state_of(one), state_of(other))


def test_class_weights_multiply_row_weights() -> None:
    """Balanced counts are weighted ones, so that every class weighs the same in the end."""
    weights = 0.5 + Stream(1).uniform((ROWS,))
    sums = np.bincount(LABELS, weights=weights)
    for given, factors in (({1: 3.0}, np.array([1.0, 3.0, 1.0])), ("balanced", weights.sum() / (3 * sums))):
        one, other = classifier(), classifier()
        one.fit(X, LABELS, epochs=2, batch_size=5, class_weight=given, sample_weight=weights)
        other.fit(X, LABELS, epochs=2, batch_size=5, sample_weight=weights * factors[LABELS])
        assert_same(state_of(one), state_of(other))


@pytest.mark.parametrize("labels", [LABELS > 0, (LABELS > 0)[:, None], np.eye(2)[(LABELS > 0).astype(int)]])
def test_class_weights_for_every_form_of_labels(labels: np.ndarray) -> None:
    net = mc.Sequential(mc.Linear(3, 2))
    one, other = (make(net, mc.SoftmaxCrossEntropy()) for _ in range(2))
    one.fit(X, labels, epochs=2, class_weight={True: 3.0})
    other.fit(X, (LABELS > 0).astype(int), epochs=2, class_weight={1: 3.0})
    assert_same(state_of(one), state_of(other))


# --- validation, metrics, history


def largest_error(target: Any, prediction: Any) -> float:
    """A user's metric that gives a Python number."""
    return float(np.max(np.abs(np.asarray(target) - np.asarray(prediction))))


def weighted_bias(target: Any, prediction: Any, weights: Any) -> Any:
    return np.sum(weights[:, None] * (prediction - target)) / np.sum(weights)


def test_validation_is_evaluation_after_every_epoch() -> None:
    metrics = ["mean_squared_error", "r2", largest_error, weighted_bias]
    weights = 0.5 + Stream(1).uniform((9,))
    seen: list[dict] = []

    class Watch:
        def on_epoch_end(self, report: mc.Report) -> None:
            seen.append(report.model.evaluate(X[:9], Y[:9], sample_weight=weights))

    for data in ((X[:9], Y[:9], weights), [X[:9].tolist(), Y[:9].tolist(), weights.tolist()]):
        seen.clear()
        model = make(metrics=metrics, ema=0.8)
        history = model.fit(X, Y, epochs=3, validation_data=data, callbacks=[Watch()])
        for name in ("loss", "mean_squared_error", "r2", "largest_error", "weighted_bias"):
            assert history[f"val_{name}"] == [row[name] for row in seen]
        prediction = model.predict(X[:9])
        assert seen[-1]["loss"] == pytest.approx(
            0.5 * ((prediction - Y[:9]) ** 2).sum(axis=1) @ weights / weights.sum(), rel=1e-12
        )
        assert seen[-1]["largest_error"] == np.abs(prediction - Y[:9]).max()
        assert seen[-1]["weighted_bias"] == pytest.approx(
            ((prediction - Y[:9]).sum(axis=1) @ weights) / weights.sum(), rel=1e-12
        )


def test_without_weights_every_row_of_the_validation_data_counts_the_same() -> None:
    histories = [
        make().fit(X, Y, epochs=2, validation_data=data)
        for data in ((X[:9], Y[:9]), (X[:9], Y[:9], np.ones(9)), (X[:9], Y[:9], None))
    ]
    assert untimed(histories[0]) == untimed(histories[1]) == untimed(histories[2])


def test_validation_does_not_touch_training() -> None:
    one, other = make(**EVERYTHING, metrics=["r2"]), make(**EVERYTHING)
    one.fit(X, Y, epochs=3, **FIT)
    other.fit(X, Y, epochs=3, batch_size=5)
    assert_same(state_of(one), state_of(other))


@pytest.mark.parametrize(
    "backend", ["array_api_strict", *(pytest.param(n, marks=pytest.mark.oracle) for n in ("torch", "jax"))]
)
def test_a_metric_of_the_user_may_give_a_python_number_on_every_backend(backend: str) -> None:
    try:
        model = make(backend=backend, metrics=[largest_error])
    except mc.BackendUnavailable as error:
        pytest.skip(str(error))
    expected = make(metrics=[largest_error])
    assert model.evaluate(X, Y) == pytest.approx(expected.evaluate(X, Y), rel=1e-9)


def test_evaluation_knows_no_penalty_and_no_noise() -> None:
    one, other = make(l2=10.0), make()
    assert one.evaluate(X, Y) == other.evaluate(X, Y)
    assert one.fit(X, Y, epochs=1).loss[0] > other.fit(X, Y, epochs=1).loss[0]


def test_the_history_of_a_fit() -> None:
    optimizer = mc.SGD(mc.StepDecay(0.1, 1, 0.5))
    history = make(optimizer=optimizer, metrics=["r2"]).fit(X, Y, epochs=3, **FIT)
    assert history.columns == ("loss", "learning_rate", "rows_per_second", "val_loss", "val_r2")
    assert len(history) == 3 and history.stopped is None
    for name in ("loss", "learning_rate", "rows_per_second", "val_loss"):
        assert getattr(history, name) == history[name] and len(history[name]) == 3
        assert all(type(value) is float for value in history[name])
    # Five steps in an epoch: the rate of the next step.
    assert history.learning_rate == pytest.approx([0.1 * 0.5**5, 0.1 * 0.5**10, 0.1 * 0.5**15])
    assert all(0 < speed < 1e9 for speed in history.rows_per_second)
    assert repr(history).startswith("History(3 epochs; last: loss=") and f"val_r2={history['val_r2'][2]:.6g})" in repr(
        history
    )
    with pytest.raises(KeyError, match="'acc'; there are loss, learning_rate, rows_per_second, val_loss, val_r2"):
        history["acc"]


def test_a_history_without_validation_or_without_epochs() -> None:
    history = make().fit(X, Y, epochs=1)
    assert history.val_loss == [] and len(history.loss) == 1
    empty = mc.History()
    assert empty.loss == [] and len(empty) == 0 and repr(empty) == "History(0 epochs; last: empty)"


def test_the_loss_falls() -> None:
    history = classifier(metrics=["accuracy"], optimizer=mc.Adam(0.05)).fit(
        X, LABELS, epochs=60, validation_data=(X, LABELS)
    )
    assert history.loss[-1] < 0.2 * history.loss[0] and history["val_accuracy"][-1] == 1


# --- the average


def test_where_an_average_is_kept_it_is_what_speaks(tmp_path: Path) -> None:
    model = make(ema=0.9, optimizer=mc.SGD(0.1))
    history = model.fit(X, Y, epochs=3, batch_size=5, validation_data=(X, Y))
    state = model._trainer.state
    assert np.any(state.average != state.params)
    still = make(params=model.layout.view(state.average, state.statistics))
    moving = make(params=model.layout.view(state.params, state.statistics))
    np.testing.assert_array_equal(model.predict(X), still.predict(X))
    assert np.all(model.predict(X) != moving.predict(X))
    assert model.evaluate(X, Y) == still.evaluate(X, Y) == {"loss": history.val_loss[-1]}
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(mc.load(tmp_path / "model").predict(X), still.predict(X))
    for (name, leaf), (_, expected) in zip(named_leaves(model.params), named_leaves(still.params), strict=True):
        np.testing.assert_array_equal(leaf, expected, err_msg=name)


def test_training_does_not_see_the_average() -> None:
    """Except through it nobody looks: parameters and losses are those without one."""
    one, other = make(ema=0.9), make()
    assert one.fit(X, Y, epochs=3).loss == other.fit(X, Y, epochs=3).loss
    np.testing.assert_array_equal(one._trainer.state.params, other._trainer.state.params)


# --- what may be passed as data


def table(values: np.ndarray) -> Any:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
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


def test_a_column_of_targets_may_be_flat() -> None:
    one, other = make(mc.Linear(3, 1)), make(mc.Linear(3, 1))
    one.fit(X, Y[:, 0])
    other.fit(X, Y[:, :1].astype("float64").tolist())
    assert_same(state_of(one), state_of(other))
    assert one.predict(X).shape == (ROWS, 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nothing_of_the_users_is_written_to(dtype: str) -> None:
    """Also where no copy is made, as the arrays are of the model's own dtype."""
    weights = 0.5 + Stream(1).uniform((ROWS,))
    given = [values.astype(dtype) for values in (X, Y, weights)]
    kept = [values.copy() for values in given]
    params = make(dtype=dtype, seed=5).params
    before = {name: leaf.copy() for name, leaf in named_leaves(params)}
    model = make(dtype=dtype, params=params, ema=0.5)
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


def test_numbers_of_numpy_serve_as_numbers() -> None:
    words = {"l2": 0.5, "clip_norm": 0.25, "clip_value": 0.125, "ema": 0.5, "seed": 3}
    kinds = {"l2": np.float64, "clip_norm": np.float32, "clip_value": np.float64, "ema": np.float64, "seed": np.int64}
    one = make(
        dtype="float32",
        optimizer=mc.SGD(np.float64(0.25), momentum=np.float32(0.5)),
        **{name: kind(words[name]) for name, kind in kinds.items()},
    )
    other = make(dtype="float32", optimizer=mc.SGD(0.25, momentum=0.5), **words)
    one.fit(X, Y, epochs=np.int64(2), batch_size=np.int32(5), shuffle=np.True_)
    other.fit(X, Y, epochs=2, batch_size=5)
    assert_same(state_of(one), state_of(other))
    one.rate_scale = np.float64(0.5)
    other.rate_scale = 0.5
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
