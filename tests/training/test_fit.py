"""Model.fit: what an epoch does, that fits add up, that chunks leave no trace, and what weights mean."""

from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest
from fitting import (
    EAGER,
    EVERYTHING,
    FIT,
    LABELS,
    NET,
    PLAIN,
    ROWS,
    X,
    Y,
    assert_same,
    classifier,
    differ,
    make,
    state_of,
    untimed,
)
from members import OPTIMIZERS, assert_close

import mlpcore as mc
from mlpcore.random import Stream
from mlpcore.training.batches import batch_mean_weight
from mlpcore.training.orders import shuffled
from mlpcore.training.step import make_step
from mlpcore.trees import named_leaves
from mlpcore.typing import Batch

# --- what an epoch is


@pytest.mark.parametrize("shuffle", [True, False])
def test_an_epoch_is_its_steps_one_after_the_other(shuffle: bool) -> None:
    """Rows in the epoch's order, noise by the number of the step, and the loss column: the mean over the rows.

    BatchNorm is told what a full batch is."""
    weights = 0.5 + Stream(1).uniform((ROWS,))
    model, other = make(**EVERYTHING, backend=EAGER), make(**EVERYTHING, backend=EAGER)
    history = model.fit(X, Y, epochs=2, batch_size=5, shuffle=shuffle, sample_weight=weights)
    state = other.trainer.state
    step = make_step(NET, model.loss, model.optimizer, model.layout, model.rules)
    number = count()
    for epoch in range(2):
        rows = shuffled(3, ROWS)(epoch) if shuffle else np.arange(ROWS)
        assert sorted(rows) == list(range(ROWS))
        total, full = 0.0, batch_mean_weight(weights[rows], 5) * np.asarray([5.0, 4.0])
        assert full[0] == pytest.approx(5 * weights.mean())
        for start in range(0, ROWS, 5):
            at = rows[start : start + 5]
            noise = NET.noise(Stream(3, "noise", step=next(number)), (len(at), 3), "float64")
            state, loss = step(state, Batch(X[at], Y[at], weights[at], noise, full))
            total += float(loss) * weights[at].sum()
        assert history.loss[epoch] == pytest.approx(total / weights.sum(), rel=1e-12)
    for name, leaf in named_leaves(state):
        np.testing.assert_array_equal(leaf, dict(named_leaves(model.trainer.state))[name], err_msg=name)


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
    run = cut.trainer.run
    monkeypatch.setattr(cut.trainer, "run", lambda *args: lengths.append(len(args[2])) or run(*args))
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
    one, other = (dict(named_leaves(model.params)) for model in (weighted, repeated))
    # What a batch tells of the variance is known only up to the number of rows, and weights are no numbers of rows.
    unlike = {name for name in one if name.endswith("running_var")}
    assert_close({name: one[name] for name in one.keys() - unlike}, {name: other[name] for name in one.keys() - unlike})
    if not unlike:
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


@pytest.mark.parametrize("labels", [LABELS > 0, (LABELS > 0)[:, None], (LABELS > 0).astype("float32")])
def test_class_weights_of_yes_and_no(labels: np.ndarray) -> None:
    """One column of zeros and ones is labels too, whatever the loss."""
    yes = LABELS > 0
    cases = [({1: 3.0}, 1 + 2.0 * yes), ({0: 0.5, True: 2}, np.where(yes, 2.0, 0.5))]
    cases.append(("balanced", ROWS / (2 * np.where(yes, yes.sum(), ROWS - yes.sum()))))
    for given, rows in cases:
        for loss in (mc.SigmoidCrossEntropy(), mc.HalfSquaredError()):
            one, other = (make(mc.Linear(3, 1), loss) for _ in range(2))
            one.fit(X, labels, epochs=2, batch_size=5, class_weight=given)
            other.fit(X, labels, epochs=2, batch_size=5, sample_weight=rows)
            assert_same(state_of(one), state_of(other))


def test_class_weights_may_name_a_class_without_a_row() -> None:
    """As in a fold of a table that has such rows."""
    for net, loss, labels in (
        (mc.Linear(3, 3), mc.SoftmaxCrossEntropy(), np.minimum(LABELS, 1)),
        (mc.Linear(3, 1), mc.SigmoidCrossEntropy(), np.zeros(ROWS)),
    ):
        one, other = (make(net, loss) for _ in range(2))
        one.fit(X, labels, epochs=2, class_weight={0: 2.0, 1 + labels.max(): 5.0})
        other.fit(X, labels, epochs=2, class_weight={0: 2.0})
        assert_same(state_of(one), state_of(other))


@pytest.mark.parametrize("labels", [LABELS > 0, (LABELS > 0)[:, None], np.eye(2)[(LABELS > 0).astype(int)]])
def test_class_weights_for_every_form_of_labels(labels: np.ndarray) -> None:
    net = mc.Sequential(mc.Linear(3, 2))
    one, other = (make(net, mc.SoftmaxCrossEntropy()) for _ in range(2))
    one.fit(X, labels, epochs=2, class_weight={True: 3.0})
    other.fit(X, (LABELS > 0).astype(int), epochs=2, class_weight={1: 3.0})
    assert_same(state_of(one), state_of(other))
