"""Targets with gaps: what is NaN takes no part in fit, evaluation and metrics, and what is there counts as it is."""

import copy
from pathlib import Path
from typing import Any

import cuda_host
import numpy as np
import pytest
from compiled import needs_compiler
from devices import open_place
from fitting import (
    EAGER,
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
    with_steps,
)
from libraries import MAKERS, OPTIONAL
from members import ENTRIES, LOSSES, assert_close
from optional import optional
from refusals import INF, NAN, changed, refused

import mlpcore as mc
from mlpcore.backends import streaming
from mlpcore.backends.backend import Backend
from mlpcore.backends.copy_queues import PlainCopies
from mlpcore.gradient_check import draw_targets
from mlpcore.random import Stream
from mlpcore.training.missing import without_gaps

THERE = Stream(8, "there").uniform(Y.shape) > 0.3
GAPPED = np.where(THERE, Y, NAN)
SKIP: dict[str, Any] = {"missing_targets": "skip"}
FIT: dict[str, Any] = {"epochs": 3, "batch_size": 5}
assert THERE.any(axis=1).sum() < ROWS and (THERE.sum(axis=1) == 1).any()  # some rows have no target, some have one


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


# --- everywhere


def streaming_backend(monkeypatch: pytest.MonkeyPatch) -> Backend:
    """A device without free memory: the rows of two steps at a time come from the host."""
    monkeypatch.setattr(streaming, "BUFFER_BYTES", 2 * 5 * 8 * (3 + 2 + 2))
    backend = open_place("torch")
    queue = PlainCopies(backend.asarray)

    def steps(*step: Any) -> Any:
        return streaming.streamed(backend.compile.steps(*step), lambda: queue, backend.xp.concat)

    return with_extras(with_steps(backend, steps), free_memory=lambda: 0)


OTHERS = ("torch", "jax", "array_api_strict")
PLACES = [pytest.param("C", marks=needs_compiler), "NumPy calls", pytest.param("CUDA", marks=cuda_host.needed)]


@pytest.mark.parametrize("net", [PLAIN, NET], ids=["plain", "BatchNorm, Dropout"])
@pytest.mark.parametrize("place", [*PLACES, *OTHERS, "streamed"])
def test_every_backend_trains_as_eager_numpy_does(net: Any, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words: dict[str, Any] = {"compile": place == "C"}
    if place == "streamed":
        words = {"backend": streaming_backend(monkeypatch)}
    elif place == "CUDA":
        words = {"backend": cuda_host.backend()}
    elif place in OTHERS:
        words = {"backend": open_place(place)}
    model, other = make(net, **EVERYTHING, **words), make(net, **EVERYTHING, backend=EAGER)
    got = model.fit(X, GAPPED, validation_data=(X, GAPPED), **SKIP, **FIT)
    expected = other.fit(X, GAPPED, validation_data=(X, GAPPED), **SKIP, **FIT)
    assert place not in ("C", "NumPy calls", "CUDA") or model.compiled.kind == place
    assert got.loss == pytest.approx(expected.loss, rel=1e-9)
    assert got.val_loss == pytest.approx(expected.val_loss, rel=1e-9)
    assert_close(model.predict(X), other.predict(X), 10_000)


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


# --- what is refused


@pytest.mark.parametrize("call", ["fit", "evaluate", "validation_data"])
@pytest.mark.parametrize(
    ("y", "weights", "said"),
    [
        (np.full_like(Y, NAN), None, r"^y has shape \(22, 2\) and every entry is NaN, expected at least one target$"),
        (changed(GAPPED, (3, 1), INF), None, r"^HalfSquaredError\(\): y holds NaN or infinity in column 1, .* rows$"),
        (GAPPED, np.where(THERE, 0.0, 1.0), "^sample_weight, left out where y is NaN, makes every row's weight zero"),
        (GAPPED[:, :1], None, r"^HalfSquaredError\(\): y has shape \(22, 1\), expected \(n, 2\)"),
        (GAPPED[:, :, None], None, r"y has shape \(22, 2, 1\), expected \(n, 2\)"),
        (GAPPED, np.ones((ROWS, 3)), r"^sample_weight has shape \(22, 3\), expected \(22,\) .* or \(22, 2\)"),
    ],
)
def test_gaps_that_cannot_be_skipped(y: Any, weights: Any, said: str, call: str) -> None:
    model = make(PLAIN)
    acts = {
        "fit": lambda: model.fit(X, y, sample_weight=weights, **SKIP),
        "evaluate": lambda: model.evaluate(X, y, sample_weight=weights, **SKIP),
        "validation_data": lambda: model.fit(X, Y, validation_data=(X, y, weights), **SKIP),
    }
    refused(model, acts[call], mc.DataError, said.replace("^", "^validation_data: ") if call[0] == "v" else said)


class OfRows:
    """A user's loss, which knows no weights of entries."""

    def __getattr__(self, name: str) -> Any:
        return getattr(mc.HalfSquaredError(), name) if name != "entry_weights" else getattr(object, name)


@pytest.mark.parametrize("model", [classifier(), make(PLAIN, OfRows())], ids=["labels", "own"])
def test_losses_of_whole_rows_refuse(model: mc.Model) -> None:
    y = LABELS if model.loss == mc.SoftmaxCrossEntropy() else Y
    for act in (lambda: model.fit(X, y, **SKIP), lambda: model.evaluate(X, y, **SKIP)):
        refused(model, act, mc.ConfigurationError, "missing_targets is 'skip', which needs a loss with a term for each")


@pytest.mark.parametrize("given", ["drop", None, True, np.array(["skip"])])
def test_other_words(given: Any) -> None:
    model = make(PLAIN)
    said = "missing_targets is .*, expected one of 'error', 'skip'"
    refused(model, lambda: model.fit(X, Y, missing_targets=given), mc.ConfigurationError, said)
    refused(model, lambda: model.evaluate(X, Y, missing_targets=given), mc.ConfigurationError, said)
