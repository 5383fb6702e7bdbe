"""on_nonfinite: a batch that is left out weighs nothing, and a restored epoch is one trained with the smaller rate."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fitting import NET, PLAIN, ROWS, X, Y, assert_same, make, state_of, untimed
from optional import optional

import mlpcore as mc

FIT: dict[str, Any] = {"epochs": 3, "batch_size": 5, "shuffle": False}  # four whole batches, one of two rows
EVERYTHING: dict[str, Any] = {"l2": 0.01, "clip_norm": 0.5, "ema": 0.9, "seed": 3}
LIBRARIES = ["array_api_strict", "torch", "jax"]
GPU = pytest.param({"backend": "cupy"}, marks=pytest.mark.gpu, id="cupy")
WAYS = pytest.mark.parametrize(
    "way",
    [
        pytest.param({"compile": True}, id="compiled"),
        pytest.param({"compile": False}, id="eager"),
        *(pytest.param({"backend": name}, id=name, marks=pytest.mark.long) for name in LIBRARIES),
        GPU,
    ],
)


def model(way: dict[str, Any], net: Any = NET, *others: Any, **words: Any) -> mc.Model:
    if (library := way.get("backend", "numpy")) != "numpy":
        optional(library)
    return make(net, *others, **(way | words))


def fit(one: mc.Model, x: np.ndarray = X, **words: Any) -> mc.History:
    return one.fit(x, Y, **(FIT | words))


def with_rows(*rows: int, value: float = 1e300) -> np.ndarray:
    x = X.copy()
    x[list(rows), 1] = value
    return x


def assert_equal(one: mc.Model, other: mc.Model, losses: tuple[list[float], list[float]], way: dict[str, Any]) -> None:
    """Bit by bit; on JAX, whose chunks with and without a batch of weight 0 are other programs, to rounding."""
    if way.get("backend") != "jax":
        assert losses[0] == losses[1]
        assert_same(state_of(one), state_of(other))
        return
    tolerance = 1e-9 if one.dtype == "float64" else 1e-4
    np.testing.assert_allclose(*losses, rtol=tolerance)
    got, expected = state_of(one), state_of(other)
    for name, leaf in got.items():
        np.testing.assert_allclose(leaf, expected[name], rtol=tolerance, atol=tolerance, err_msg=name)


def without(*rows: int) -> np.ndarray:
    """Factors of 0 for the batches of these rows."""
    return np.where(np.isin(np.arange(ROWS) // 5, [row // 5 for row in rows]), 0.0, 1.0)


def spoiled(one: mc.Model, bad: Callable[[mc.Model], bool]) -> mc.Model:
    """Every second step of a chunk meets rows that are NaN, while ``bad`` says so."""
    run = one.trainer.run

    def spoiling(state: Any, data: Any, order: Any, draw: Any) -> Any:
        if bad(one):
            data = (data[0] * float("nan"), *data[1:])
        return run(state, data, order, draw)

    one.trainer.run = spoiling
    return one


@WAYS
@pytest.mark.parametrize("rows", [(0,), (7,), (19, 1), (21,), (3, 8, 13, 18)])
def test_a_skipped_batch_is_one_whose_rows_weigh_nothing(way: dict[str, Any], rows: tuple[int, ...]) -> None:
    one, other = model(way, **EVERYTHING), model(way, **EVERYTHING)
    with pytest.warns(mc.MlpcoreWarning, match=rf"^fit: {3 * len(rows)} of 15 batches were skipped") as caught:
        history = fit(one, with_rows(*rows), on_nonfinite="skip")
    assert len(caught) == 1 and caught[0].filename == __file__
    expected = fit(other, X, sample_weight=without(*rows))
    assert history["skipped"] == [len(rows)] * 3
    assert_equal(one, other, (history.loss, expected.loss), way)


@WAYS
@pytest.mark.parametrize("rows", [(0,), (12,), (21,), (6, 17)])
def test_an_update_that_overflows_is_undone(way: dict[str, Any], rows: tuple[int, ...]) -> None:
    """The loss and gradient of these batches are finite, and the steps after them in the chunk are not."""
    net, words = mc.Linear(3, 2), {"dtype": "float32", "ema": 0.5}
    one, other = (model(way, net, mc.AbsoluteError(), mc.SGD(1e12, momentum=0.5), **words) for _ in range(2))
    scaled = X * 1e-12
    x = scaled.copy()
    x[list(rows), 1] = 1e30
    with pytest.raises(mc.NonFiniteError):
        fit(model(way, net, mc.AbsoluteError(), mc.SGD(1e12, momentum=0.5), **words), x)
    with pytest.warns(mc.MlpcoreWarning, match="batches were skipped"):
        history = fit(one, x, on_nonfinite="skip")
    expected = fit(other, scaled, sample_weight=without(*rows))
    assert history["skipped"] == [len(rows)] * 3
    assert_equal(one, other, (history.loss, expected.loss), way)


@WAYS
@pytest.mark.parametrize("times", [1, 3])
def test_a_restored_epoch_is_that_of_the_smaller_rate(way: dict[str, Any], times: int) -> None:
    one, other = model(way, **EVERYTHING), model(way, **EVERYTHING)
    spoiled(one, lambda m: m.trainer.progress.epoch == 1 and m.rate_scale > 0.5**times)
    words = {"shuffle": True, "validation_data": (X[:9], Y[:9])}
    with pytest.warns(mc.MlpcoreWarning, match=rf"in epoch 2: training went back .* {times} time") as caught:
        history = fit(one, on_nonfinite="restore", **words)
    assert len(caught) == 1
    rows = untimed(fit(other, epochs=1, **words))
    other.rate_scale = 0.5**times
    rows += untimed(fit(other, epochs=2, **words))
    assert history["restored"] == [0, times, 0]
    assert [{k: v for k, v in row.items() if k != "restored"} for row in untimed(history)] == rows
    assert_same(state_of(one), state_of(other))


@pytest.mark.parametrize("compile", [True, False])
def test_going_back_is_bounded(compile: bool) -> None:
    """The model then stands at the beginning of the epoch, with the last rate."""
    one, other = (make(compile=compile, **EVERYTHING) for _ in range(2))
    spoiled(one, lambda m: m.trainer.progress.epoch == 1)
    said = r"^training went back to the beginning of an epoch 5 times.*again in epoch 2.*The last cause: the loss"
    with pytest.raises(mc.NonFiniteError, match=said):
        fit(one, on_nonfinite="restore")
    fit(other, epochs=1)
    assert one.rate_scale == 0.5**5
    other.rate_scale = 0.5**5
    assert_same(state_of(one), state_of(other))


def test_the_bound_and_the_bits_outlast_a_resume(tmp_path: Path) -> None:
    """Three restores before the kill and three after it are six, of which five are allowed."""

    class Kill:
        def on_fit_begin(self, model: Any, epochs: int) -> None:
            self.killed = epochs < 3

        def on_epoch_end(self, report: mc.Report) -> None:
            if report.epoch == 2 and not self.killed:
                raise OSError("killed")

    def bad(least: float) -> Callable[[mc.Model], bool]:
        return lambda m: (
            (m.trainer.progress.epoch == 0 and m.rate_scale > 0.125)
            or (m.trainer.progress.epoch == 2 and m.rate_scale > least)
        )

    path = tmp_path / "run"
    for least, allowed in ((0.5**5, True), (0.5**6, False)):
        words: dict[str, Any] = {"on_nonfinite": "restore", "checkpoint": path}
        with pytest.raises(OSError, match="killed"):
            fit(spoiled(make(**EVERYTHING), bad(least)), callbacks=[Kill()], **words)
        resumed, whole = (spoiled(make(**EVERYTHING), bad(least)) for _ in range(2))
        if not allowed:
            with pytest.raises(mc.NonFiniteError, match="5 times"):
                fit(resumed, resume=path, **words)
            continue
        with pytest.warns(mc.MlpcoreWarning, match="in epoch 3: "):
            history = fit(resumed, resume=path, **words)
        with pytest.warns(mc.MlpcoreWarning, match="in epoch 1, 3: "):
            expected = fit(whole, on_nonfinite="restore")
        assert untimed(history) == untimed(expected) and history["restored"] == [3, 0, 2]
        assert_same(state_of(resumed), state_of(whole))


@pytest.mark.filterwarnings("ignore:fit. .* batches were skipped")
def test_a_fit_that_skips_resumes_within_an_epoch_with_the_same_bits(tmp_path: Path) -> None:
    folder = mc.CheckpointFolder(tmp_path / "run", keep=20, every_steps=2)
    x = with_rows(6)
    whole = make(**EVERYTHING)
    expected = fit(whole, x, on_nonfinite="skip", checkpoint=folder)
    files = sorted((tmp_path / "run").iterdir())
    assert len(files) > 6
    for path in files[:-1]:
        one = make(**EVERYTHING)
        assert untimed(fit(one, x, on_nonfinite="skip", resume=path)) == untimed(expected)
        assert_same(state_of(one), state_of(whole))


def test_a_fit_that_raised_may_be_resumed_with_another_choice(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with pytest.raises(mc.NonFiniteError):
        fit(spoiled(make(), lambda m: m.trainer.progress.epoch == 1 and m.rate_scale == 1), checkpoint=path)
    with pytest.warns(mc.MlpcoreWarning, match="in epoch 2: "):
        history = fit(
            spoiled(make(), lambda m: m.trainer.progress.epoch == 1 and m.rate_scale == 1),
            resume=path,
            on_nonfinite="restore",
        )
    assert history["restored"] == [1, 0] and len(history) == 3


@pytest.mark.parametrize("interval", [{"every_steps": 2}, {"every_minutes": 1.0}])
def test_checkpoints_within_epochs_are_refused_where_the_beginning_is_needed(
    interval: dict[str, Any], tmp_path: Path
) -> None:
    folder = mc.CheckpointFolder(tmp_path / "run", **interval)
    said = r"^fit: checkpoint has every_.*use every_epochs, or on_nonfinite='skip'"
    with pytest.raises(mc.ConfigurationError, match=said):
        fit(make(), on_nonfinite="restore", checkpoint=folder)
    fit(make(), on_nonfinite="skip", checkpoint=folder)


@pytest.mark.parametrize("compile", [True, False])
def test_an_epoch_without_a_finite_batch_is_an_error(compile: bool) -> None:
    one = make(compile=compile)
    before = state_of(one)
    with pytest.raises(mc.NonFiniteError, match=r"^in epoch 1 all 5 batches were skipped"):
        fit(one, with_rows(*range(ROWS)), on_nonfinite="skip")
    assert_same(state_of(one), before, but=("epoch", "step"))
    # A batch of weight 0 is no batch that could be learned from.
    with pytest.raises(mc.NonFiniteError, match="all 2 batches were skipped"):
        fit(make(compile=compile), with_rows(0, 5), on_nonfinite="skip", sample_weight=1 - without(0, 5))


@pytest.mark.parametrize("choice", ["skip", "restore"])
def test_where_all_is_finite_nothing_differs(choice: str) -> None:
    one, other = make(**EVERYTHING), make(**EVERYTHING)
    history, expected = fit(one, on_nonfinite=choice), fit(other)
    column = {"skip": "skipped", "restore": "restored"}[choice]
    assert history[column] == [0, 0, 0] and history.loss == expected.loss and column not in expected.columns
    assert_same(state_of(one), state_of(other))


def test_early_stopping_keeps_its_best_weights_over_a_restored_epoch() -> None:
    def first(m: mc.Model) -> bool:
        return m.trainer.progress.epoch == 1 and m.rate_scale == 1

    one, other = spoiled(make(PLAIN), first), make(PLAIN)
    rule = mc.EarlyStopping("loss", patience=2)
    with pytest.warns(mc.MlpcoreWarning, match="went back"):
        fit(one, epochs=9, on_nonfinite="restore", callbacks=[_Losses(), rule])
    fit(other, epochs=1)
    assert rule.best_epoch == 1
    np.testing.assert_array_equal(one.predict(X), other.predict(X))


class _Losses:
    """Replaces the losses by numbers that rise."""

    def on_epoch_end(self, report: mc.Report) -> None:
        report.values["loss"] = float(report.epoch)


@pytest.mark.parametrize("choice", ["skip", "restore"])
@pytest.mark.parametrize("way", [{"compile": True}, {"compile": False}, GPU])
@pytest.mark.filterwarnings("ignore:fit. .* batches were skipped", "ignore:fit. the loss")
def test_members_of_a_stack_recover_as_alone(choice: str, way: dict[str, Any]) -> None:
    rates, dtype = (0.01, 1e5, 1e30, 0.02), "float32"

    def models() -> list[mc.Model]:
        return [model(way, mc.Linear(3, 2), None, mc.SGD(rate), seed=1, dtype=dtype) for rate in rates]

    x = with_rows(6, value=1e25) if choice == "skip" else X
    words = {"epochs": 1, "batch_size": 5, "on_nonfinite": choice}
    stack, alone = mc.Stack(models()), models()
    with pytest.warns(mc.MlpcoreWarning) as caught:
        histories = stack.fit(x, Y, **words)
    for one, other, history in zip(stack, alone, histories, strict=True):
        try:
            expected = other.fit(x, Y, **words)
        except mc.NonFiniteError:
            assert history.stopped == "not finite"
        else:
            assert untimed(history) == untimed(expected)
        assert_same(state_of(one), state_of(other))
    told = " ".join(str(warning.message) for warning in caught)
    said = {"skip": ["member 0: 1 of 5 batches were skipped"], "restore": ["in members 2;", "member 1: the loss"]}
    assert all(part in told for part in said[choice])
