"""Targets with gaps: what is NaN takes no part in fit, evaluation and metrics, and what is there counts as it is."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fitting import (
    EVERYTHING,
    GAPPED,
    LABELS,
    PLAIN,
    ROWS,
    SKIP,
    THERE,
    X,
    Y,
    assert_same,
    make,
    state_of,
    untimed,
)
from libraries import MAKERS, OPTIONAL
from members import ENTRIES, LOSSES, assert_close
from optional import optional
from refusals import NAN, refused

import mlpcore as mc
from mlpcore.gradient_check import draw_targets
from mlpcore.random import Stream
from mlpcore.training.missing import without_gaps

FIT: dict[str, Any] = {"epochs": 3, "batch_size": 5}


# --- what a gap is


@pytest.mark.parametrize("case", ENTRIES)
def test_a_gap_is_an_entry_of_weight_zero_whatever_stands_there(case: str) -> None:
    loss, kind = LOSSES[case]
    net = mc.Sequential(mc.Linear(3, 4), mc.BatchNorm(4), mc.Tanh(), mc.Linear(4, loss.outputs(2)))
    y, other = (draw_targets(Stream(seed), ROWS, 2)[kind] for seed in (1, 2))
    one, two = make(net, loss), make(net, loss)
    weights = 0.5 + Stream(3).uniform(Y.shape)
    history = one.fit(X, np.where(THERE, y, NAN), sample_weight=weights, **SKIP, **FIT)
    expected = two.fit(X, np.where(THERE, y, other), sample_weight=weights * THERE, **FIT)
    assert_same(state_of(one), state_of(two))
    assert untimed(history) == untimed(expected)


def test_a_linear_model_by_hand() -> None:
    """Ten steps of gradient descent on all rows, and the loss before each: sum(w e^2 / 2) / (sum(w) / c), with l2."""
    model = make(mc.Linear(3, 2), optimizer=mc.SGD(0.1), l2=0.5)
    weight, bias = np.array(model.params["weight"]), np.array(model.params["bias"])
    losses, total = [], THERE.sum() / 2
    for _ in range(10):
        error = np.zeros_like(Y)
        error[THERE] = (X @ weight + bias)[THERE] - Y[THERE]
        losses.append((np.sum(error**2) / 2 + 0.25 * np.sum(weight**2)) / total)
        slopes = (X.T @ error + 0.5 * weight) / total, error.sum(axis=0) / total
        weight, bias = weight - 0.1 * slopes[0], bias - 0.1 * slopes[1]
    history = model.fit(X, GAPPED, epochs=10, batch_size=ROWS, **SKIP)
    assert history.loss == pytest.approx(losses, rel=1e-12)
    assert_close(model.params, {"weight": weight, "bias": bias})


@pytest.mark.parametrize("column", [0, 1])
def test_a_column_of_a_linear_model_is_trained_on_the_rows_it_has(column: int) -> None:
    """With the rate that makes up for the total weight, which is that of all columns."""
    rows = np.flatnonzero(THERE[:, column])
    both = make(mc.Linear(3, 2), optimizer=mc.SGD(0.1))
    alone = make(mc.Linear(3, 1), optimizer=mc.SGD(0.1 * rows.size / (THERE.sum() / 2)))
    alone.params = {name: leaf[..., column : column + 1] for name, leaf in both.params.items()}
    both.fit(X, GAPPED, epochs=20, batch_size=ROWS, **SKIP)
    alone.fit(X[rows], Y[rows, column], epochs=20, batch_size=ROWS)
    assert_close({name: leaf[..., column : column + 1] for name, leaf in both.params.items()}, alone.params)


def test_weights_that_are_the_same_along_each_row_are_those_of_the_rows() -> None:
    """Bit by bit, and so are gaps that leave whole rows out."""
    weights = 0.1 + Stream(1).uniform((ROWS,)) * THERE[:, 0]
    cases: list[tuple[Any, Any, Any]] = [
        (weights, Y, np.repeat(weights[:, None], 2, axis=1)),
        (weights * THERE[:, 0], np.where(THERE[:, :1], Y, NAN), weights),
        (THERE[:, 0], np.where(THERE[:, :1], Y, NAN), None),
        (None, Y, None),
    ]
    for of_rows, y, given in cases:
        one, two = make(**EVERYTHING), make(**EVERYTHING)
        history = one.fit(X, y, sample_weight=given, validation_data=(X, y, given), **SKIP, **FIT)
        expected = two.fit(X, Y, sample_weight=of_rows, validation_data=(X, Y, of_rows), **FIT)
        assert_same(state_of(one), state_of(two))
        assert untimed(history) == untimed(expected)


def test_one_column_of_flags_with_gaps() -> None:
    """Weights of classes too: what is missing is of no class."""
    flags = np.where(THERE[:, 0], (LABELS > 0).astype(float), NAN)
    weights, net, loss = 0.5 + Stream(1).uniform((ROWS,)), mc.Linear(3, 1), mc.SigmoidCrossEntropy()
    for class_weight in ({1: 3.0}, "balanced", None):
        one, two = make(net, loss, metrics=["accuracy", "balanced_accuracy"]), make(net, loss)
        one.fit(X, flags, sample_weight=weights[:, None], class_weight=class_weight, **SKIP, **FIT)
        there = weights * THERE[:, 0]
        two.fit(X, (LABELS > 0)[:, None], sample_weight=there, class_weight=class_weight, **FIT)
        assert_same(state_of(one), state_of(two))
    rows = THERE[:, 0]
    expected = one.evaluate(X[rows], flags[rows], sample_weight=weights[rows])
    assert one.evaluate(X, flags, sample_weight=weights, **SKIP) == pytest.approx(expected)


# --- what is measured


def test_evaluation_looks_at_what_is_there() -> None:
    model = make(PLAIN, mc.SquaredError(), metrics=["mean_squared_error", "mean_absolute_error", "r2"])
    history = model.fit(X, Y, validation_data=(X, GAPPED), epochs=1, **SKIP)
    errors = np.where(THERE, model.predict(X) - GAPPED, NAN)
    spread = np.nansum((GAPPED - np.nanmean(GAPPED, axis=0)) ** 2, axis=0)
    expected = {
        "loss": 2 * np.nanmean(errors**2),
        "mean_squared_error": np.nanmean(errors**2),
        "mean_absolute_error": np.nanmean(np.abs(errors)),
        "r2": np.mean(1 - np.nansum(errors**2, axis=0) / spread),
    }
    got = model.evaluate(X, GAPPED, **SKIP)
    assert got == pytest.approx(expected, rel=1e-12)
    assert history.rows[0]["val_r2"] == got["r2"] and history.rows[0]["val_loss"] == got["loss"]


def test_a_metric_that_takes_no_weights_would_count_the_gaps() -> None:
    def largest(target: Any, prediction: Any) -> Any:
        return np.max(np.abs(target - prediction))

    model = make(PLAIN, metrics=[largest])
    model.fit(X, GAPPED, epochs=1, **SKIP)  # where it is not asked
    said = "missing_targets is 'skip', but the metric largest takes no weights"
    for act in (
        lambda: model.fit(X, GAPPED, validation_data=(X, Y), **SKIP),
        lambda: model.evaluate(X, GAPPED, **SKIP),
    ):
        refused(model, act, mc.ConfigurationError, said)

    def weight(target: Any, prediction: Any, weights: Any) -> Any:
        return weights.sum()

    assert make(PLAIN, metrics=[weight]).evaluate(X, GAPPED, **SKIP)["weight"] == THERE.sum()


# --- what is read, and what is kept


@pytest.mark.parametrize("name", MAKERS)
def test_what_stands_in_the_place_of_a_gap(name: str) -> None:
    """The largest of the column, or of all columns where it has none."""
    if name in OPTIONAL:
        optional(name)
    library = MAKERS[name]()
    y = np.asarray([[1.0, NAN, NAN], [NAN, NAN, -2.0], [3.0, NAN, -5.0]])
    with library.scope("float64"):
        filled, observed = without_gaps(library.asarray(y))
        flat, column = without_gaps(library.asarray(y[:, 0]))
        whole, none = without_gaps(library.asarray(y[2:, :1]))
    np.testing.assert_array_equal(library.to_numpy(filled), [[1, 3, -2], [3, 3, -2], [3, 3, -5]])
    np.testing.assert_array_equal(library.to_numpy(observed), ~np.isnan(y))
    np.testing.assert_array_equal(library.to_numpy(flat), [1, 3, 3])
    np.testing.assert_array_equal(library.to_numpy(column), [[True], [False], [True]])
    assert none is None and library.to_numpy(whole).tolist() == [[3.0]]


def test_gaps_of_lists_and_frames() -> None:
    pandas = optional("pandas")
    expected = make(PLAIN)
    expected.fit(X, GAPPED, **SKIP, **FIT)
    frame = pandas.DataFrame(GAPPED)
    for y in (GAPPED.tolist(), frame, frame.convert_dtypes(), np.ma.MaskedArray(Y, mask=~THERE).filled(NAN)):
        model = make(PLAIN)
        model.fit(X, y, **SKIP, **FIT)
        assert_same(state_of(model), state_of(expected))


def test_a_fit_on_gaps_is_resumed_on_the_same_gaps_only(tmp_path: Path) -> None:
    path, whole = tmp_path / "fit", make(**EVERYTHING)
    whole.fit(X, GAPPED, epochs=4, batch_size=5, **SKIP)
    make(**EVERYTHING).fit(X, GAPPED, epochs=2, batch_size=5, checkpoint=path, **SKIP)
    model = make(**EVERYTHING)
    others = np.where(THERE[::-1], Y, NAN)
    with pytest.raises(mc.ModelFileError, match="was written by another fit: sample_weight is 'float64"):
        copy.copy(model).fit(X, others, epochs=4, batch_size=5, resume=path, **SKIP)
    model.fit(X, GAPPED, epochs=4, batch_size=5, resume=path, **SKIP)
    assert_same(state_of(model), state_of(whole))
