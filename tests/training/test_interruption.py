"""Ctrl-C, failures within a chunk and losses that stop being finite: the model always stands at its last whole step."""

import signal
import threading
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from fitting import EAGER, NET, ROWS, X, Y, assert_same, make, state_of

import mlpcore as mc
from mlpcore.backends.calls import alone
from mlpcore.layers.activation import Activation
from mlpcore.losses.elementwise import ElementwiseLoss
from mlpcore.training.orders import shuffled
from mlpcore.typing import Dataset

pytestmark = pytest.mark.usefixtures("ctrl_c")
STEPS = 5  # in an epoch of batches of 5


@dataclass(frozen=True)
class Trap(Activation):
    """The identity; ``spring`` is called for the noise of every step, with its number from 1."""

    spring: Any = field(default=lambda step: None, compare=False)

    def activate(self, x: Any) -> tuple[Any, Any]:
        return x, ()

    def gradient(self, cache: Any, dy: Any) -> Any:
        return dy

    def noise(self, stream: Any, shape: Any, dtype: str) -> Any:
        self.spring(stream.step + 1)
        return np.zeros(shape, dtype=dtype)  # a leaf, so that the loop asks anew for every step


@dataclass(frozen=True)
class LateTrap(Trap):
    """Springs on the way back: the forward pass of the step is done, its update is not."""

    count: list = field(default_factory=list, compare=False)

    def noise(self, stream: Any, shape: Any, dtype: str) -> Any:
        return np.zeros(shape, dtype=dtype)

    def gradient(self, cache: Any, dy: Any) -> Any:
        self.count.append(1)
        self.spring(len(self.count))
        return dy


def trapped(spring: Any, kind: Any = Trap, **words: Any) -> mc.Model:
    """What springs in the layer's own code needs a backend that calls it in every step."""
    place = EAGER if kind is LateTrap else "numpy"
    return make(mc.Sequential(*NET.layers, kind(spring=spring)), ema=0.9, backend=place, **words)


def untouched(epochs: int = 0, kind: Any = Trap, **words: Any) -> mc.Model:
    """The same model after so many epochs without disturbance."""
    model = trapped(lambda step: None, kind, **words)
    return after(model, epochs)


def after(model: mc.Model, epochs: int, **words: Any) -> mc.Model:
    if epochs:
        model.fit(X, Y, epochs=epochs, batch_size=5, **words)
    return model


def after_steps(steps: int, kind: Any = Trap, **words: Any) -> mc.Model:
    """The same model after so many steps, which may end within an epoch (5, 5, 5, 5 and 2 rows)."""
    model = untouched(steps // STEPS, kind, **words)
    if rest := steps % STEPS:
        order = shuffled(model.seed, ROWS)(steps // STEPS)
        chunk = order[: 5 * rest].reshape(rest, 5)
        alone(model.trainer.advance(Dataset(X, Y, np.ones(ROWS)), chunk, np.asarray((5.0, 4.0))))
    return model


# --- Ctrl-C


def press(*_: Any) -> None:
    signal.raise_signal(signal.SIGINT)


class PressAt:
    def __init__(self, epoch: int, act: Any = press) -> None:
        self.epoch, self.act = epoch, act

    def on_epoch_end(self, report: Any) -> None:
        if report.epoch == self.epoch:
            self.act()


def raise_interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("act", [press, raise_interrupt])
def test_ctrl_c_between_two_epochs(act: Any) -> None:
    ended: list[Any] = []

    class End:
        def on_fit_end(self, model: Any) -> None:
            ended.append(state_of(model))

    model = untouched()
    with pytest.warns(
        mc.TrainingInterrupted, match="interrupted in epoch 3; the model stands at its last whole step, "
    ):
        history = model.fit(X, Y, epochs=9, batch_size=5, callbacks=[PressAt(2, act), End()])
    assert len(history) == 2 and history.stopped == "interrupted"
    assert_same(state_of(model), state_of(untouched(2)))
    assert_same(ended[0], state_of(model))
    assert_same(state_of(after(model, 3)), state_of(untouched(5)))


@pytest.mark.parametrize("kind", [Trap, LateTrap])
@pytest.mark.parametrize("longest", [1, 4])
def test_ctrl_c_within_a_step_ends_after_the_chunk(kind: Any, longest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pressed: list[int] = []

    def spring(step: int) -> None:
        if step == 7 and not pressed:
            pressed.append(step)
            press()

    model = trapped(spring, kind)
    monkeypatch.setattr("mlpcore.training.loop.CHUNK_WORK", longest * 3 * 5 * model.layout.size)
    with pytest.warns(mc.TrainingInterrupted, match="in epoch 2"):
        history = model.fit(X, Y, epochs=9, batch_size=5)
    assert pressed and len(history) == 1 and history.stopped == "interrupted"
    # Step 7 is the second of the second epoch: of its chunk of 4 steps all are done, or this one alone.
    steps = 9 if longest == 4 else 7
    assert_same(state_of(model), state_of(after_steps(steps, kind)))
    assert state_of(model)["epoch"] == 1 and state_of(model)["step"] == steps
    assert len(after(model, 2).fit(X, Y, epochs=1, batch_size=5)) == 1


def test_ctrl_c_in_the_last_chunk_of_an_epoch_lets_the_epoch_end() -> None:
    seen: list[int] = []

    def spring(step: int) -> None:
        if step == 10 and len(seen) == 1:
            press()

    class Watch:
        def on_epoch_end(self, report: Any) -> None:
            seen.append(report.epoch)

    model = trapped(spring)
    with pytest.warns(mc.TrainingInterrupted, match="in epoch 3"):
        history = model.fit(X, Y, epochs=9, batch_size=5, validation_data=(X, Y), callbacks=[Watch()])
    assert len(history) == len(history.val_loss) == 2


def test_ctrl_c_at_the_beginning_and_at_the_last_moment() -> None:
    class Begin:
        def on_fit_begin(self, model: Any, epochs: int) -> None:
            raise KeyboardInterrupt

    model = untouched()
    with pytest.warns(mc.TrainingInterrupted, match="in epoch 1"):
        history = model.fit(X, Y, callbacks=[Begin()])
    assert len(history) == 0 and history.loss == [] and history.stopped == "interrupted"
    assert_same(state_of(model), state_of(untouched()))
    with pytest.warns(mc.TrainingInterrupted):
        history = model.fit(X, Y, epochs=2, batch_size=5, callbacks=[PressAt(2)])
    assert len(history) == 2
    assert_same(state_of(model), state_of(untouched(2)))


def test_the_warning_points_to_the_call_of_fit() -> None:
    with pytest.warns(mc.TrainingInterrupted) as caught:
        untouched().fit(X, Y, callbacks=[PressAt(1)])
    assert caught[0].filename == __file__


def test_where_warnings_are_errors_the_model_is_whole_too() -> None:
    model, ended = untouched(), []

    class End:
        def on_fit_end(self, model: Any) -> None:
            ended.append(1)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(mc.TrainingInterrupted):
            model.fit(X, Y, epochs=3, batch_size=5, callbacks=[PressAt(1), End()])
    assert ended == [1]
    assert_same(state_of(model), state_of(untouched(1)))


def test_early_stopping_puts_the_best_weights_back_after_ctrl_c() -> None:
    model, predictions = untouched(), []

    class Watch:
        def on_epoch_end(self, report: Any) -> None:
            report.values["val_loss"] = [3.0, 1.0, 2.0][report.epoch - 1]
            predictions.append(report.model.predict(X))

    with pytest.warns(mc.TrainingInterrupted):
        model.fit(X, Y, validation_data=(X, Y), callbacks=[Watch(), mc.EarlyStopping(), PressAt(3)])
    np.testing.assert_array_equal(model.predict(X), predictions[1])


def test_another_thread_touches_no_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python allows handlers in the main thread only; an interrupt raised by a callback ends training there too."""
    handlers, histories, caught = [], [], []
    monkeypatch.setattr(signal, "signal", lambda *args: handlers.append(args))

    def work() -> None:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            histories.append(untouched().fit(X, Y, epochs=2))
            histories.append(untouched().fit(X, Y, epochs=2, callbacks=[PressAt(1, raise_interrupt)]))
            caught.extend(found)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [] and [len(history) for history in histories] == [2, 1]
    assert [one.category for one in caught] == [mc.TrainingInterrupted]


@pytest.mark.parametrize("chosen", [signal.SIG_IGN, signal.SIG_DFL])
def test_what_the_program_does_not_want_to_catch_is_not_caught(chosen: Any) -> None:
    before, seen = signal.signal(signal.SIGINT, chosen), []

    class Look:
        def on_epoch_end(self, report: Any) -> None:
            seen.append(signal.getsignal(signal.SIGINT))
            if chosen is signal.SIG_IGN:
                press()

    try:
        assert len(untouched().fit(X, Y, epochs=2, callbacks=[Look()])) == 2
        assert seen == [chosen, chosen] and signal.getsignal(signal.SIGINT) is chosen
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_handler_of_the_users_is_put_back() -> None:
    def mine(*_: Any) -> None:
        raise AssertionError("not during a fit")

    before = signal.signal(signal.SIGINT, mine)
    try:
        with pytest.warns(mc.TrainingInterrupted):
            untouched().fit(X, Y, callbacks=[PressAt(1)])
        assert signal.getsignal(signal.SIGINT) is mine
        with pytest.raises(mc.DataError):
            untouched().fit(X, Y[:3])
        with pytest.raises(RuntimeError):
            untouched().fit(X, Y, callbacks=[PressAt(1, lambda: (_ for _ in ()).throw(RuntimeError()))])
        assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, before)


# --- failures within a chunk


@pytest.mark.parametrize("kind", [Trap, LateTrap])
@pytest.mark.parametrize("error", [RuntimeError("mine"), KeyboardInterrupt(), ValueError("mine"), SystemExit(3)])
@pytest.mark.parametrize("step", [1, 2, 4, 5, 7])
def test_a_failure_within_a_chunk_leaves_the_last_whole_step(kind: Any, error: BaseException, step: int) -> None:
    armed = [True]

    def spring(now: int) -> None:
        if now == step and armed[0]:
            armed[0] = False
            raise error

    model = trapped(spring, kind)
    expects = pytest.warns(mc.TrainingInterrupted) if type(error) is KeyboardInterrupt else pytest.raises(type(error))
    with expects as caught:
        model.fit(X, Y, epochs=3, batch_size=5)
    if type(error) is not KeyboardInterrupt:
        assert caught.value is error, "the error itself, as it was raised"
    assert not armed[0]
    expected = after_steps(step - 1, kind)
    assert_same(state_of(model), state_of(expected))
    assert state_of(model)["step"] == step - 1
    np.testing.assert_array_equal(model.predict(X), expected.predict(X))
    for one in (model, expected):
        assert len(one.fit(X, Y, epochs=2, batch_size=5)) == 2
    assert_same(state_of(model), state_of(expected))


# --- a loss that stops being finite


def test_a_bad_row_stops_training_before_it_with_epoch_step_and_advice() -> None:
    """The weights are to the bit those of a run that ends there; nothing after it in the chunk moves anything."""
    model = untouched(1)
    data = X.copy()
    run = model.trainer.run

    def spoiled(state: Any, rows: Any, order: Any, draw: Any) -> Any:
        x = rows[0].copy()
        x[order[2][0]] = np.nan if len(order) == 4 else x[order[2][0]]
        return run(state, (x, *rows[1:]), order, draw)

    model.trainer.run = spoiled
    said = (
        r"became infinite or NaN in epoch 2, step 8; the model keeps the weights from before that step\. Try a smaller "
    )
    with pytest.raises(mc.NonFiniteError, match=said) as caught:
        model.fit(data, Y, epochs=4, batch_size=5)
    assert "clip_norm=1.0" in str(caught.value) and isinstance(caught.value, ArithmeticError)
    model.trainer.run = run
    expected = after_steps(7)
    assert_same(state_of(model), state_of(expected), but=("step",))
    np.testing.assert_array_equal(model.predict(X), expected.predict(X))
    # The steps that were begun count for the noise: none is drawn twice.
    assert state_of(model)["step"] == 9 and state_of(model)["epoch"] == 1
    assert len(model.fit(X, Y, epochs=2, batch_size=5)) == 2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", [mc.SGD(10.0), mc.SGD(10.0, momentum=0.9), mc.SGD(1e4)])
def test_an_absurd_rate_diverges_and_a_smaller_one_goes_on(optimizer: Any, dtype: str) -> None:
    """The steps before were whole, however wild; a lower ``rate_scale`` with other weights trains."""
    model = make(mc.Linear(3, 2), optimizer=optimizer, dtype=dtype)
    first = model.snapshot()
    with pytest.raises(mc.NonFiniteError, match="became infinite or NaN in epoch"):
        model.fit(X, Y, epochs=500, batch_size=5)
    assert np.all(np.isfinite(model.trainer.state.params)), "still finite, if useless"
    assert not model.trainer.state.skipped
    with pytest.raises(mc.NonFiniteError):
        model.fit(X, Y, epochs=500, batch_size=5)
    model.restore(first)
    model.trainer.state = model.trainer.state._replace(optimizer=optimizer.init(model.trainer.state.params))
    model.rate_scale = 1e-3 / optimizer.learning_rate * 10
    losses = model.fit(X, Y, epochs=50, batch_size=5).loss
    assert losses[-1] < losses[0] and np.all(np.isfinite(losses))


@pytest.mark.parametrize("epochs", [1, 3])
@pytest.mark.parametrize("backend", ["numpy", EAGER])
def test_an_update_that_overflows_is_told_from_a_loss_that_does(epochs: int, backend: Any) -> None:
    """No step that was skipped, and after the very last step too: the model is lost, and fit says so."""
    model = make(mc.Linear(3, 2), optimizer=mc.SGD(1e38), dtype="float32", backend=backend)
    first, rule = model.predict(X), mc.EarlyStopping("loss")
    snapshot = model.snapshot()
    said = "^the weights became infinite in epoch 1, at step 1 or shortly before: an update was larger than float32"
    with pytest.raises(mc.NonFiniteError, match=said) as caught:
        model.fit(X, 100 * Y, epochs=epochs, callbacks=[rule])
    assert "smaller learning rate" in str(caught.value) and not state_of(model)["6"]
    model.restore(snapshot)
    np.testing.assert_array_equal(model.predict(X), first)
    model.rate_scale = 1e-30
    with pytest.raises(mc.NonFiniteError, match="the loss or its gradient"):
        model.fit(X, 100 * Y, epochs=9)
    assert np.all(np.isfinite(model.predict(X)))


class Cliff(ElementwiseLoss):
    """The squared error, with an infinite slope (and a finite value) from a score of 0.5 on."""

    def pointwise(self, z: Any, t: Any) -> tuple[Any, Any]:
        return (z - t) ** 2, np.where(z > 0.5, np.inf, 2 * (z - t))


def test_an_infinite_gradient_under_a_finite_loss_is_found_too() -> None:
    model = make(mc.Linear(3, 2), Cliff(), mc.SGD(0.05), clip_value=1.0)
    with pytest.raises(mc.NonFiniteError, match="the loss or its gradient became infinite or NaN in epoch"):
        model.fit(X, Y + 1, epochs=100, batch_size=5)
    assert np.all(np.isfinite(model.trainer.state.params)) and np.isfinite(model.evaluate(X, Y)["loss"])


def test_the_callbacks_end_where_the_loss_was_lost() -> None:
    """Early stopping puts back the best epoch it has seen."""
    predictions: list[np.ndarray] = []

    class Watch:
        def on_epoch_end(self, report: Any) -> None:
            predictions.append(report.model.predict(X))
            report.values["loss"] = float(abs(report.epoch - 2))

    model = make(mc.Linear(3, 2), optimizer=mc.SGD(10.0))
    with pytest.raises(mc.NonFiniteError):
        model.fit(X, Y, epochs=500, batch_size=5, callbacks=[Watch(), mc.EarlyStopping("loss", patience=1000)])
    assert len(predictions) > 3
    np.testing.assert_array_equal(model.predict(X), predictions[1])


@pytest.mark.parametrize("epochs", [0, 3])
def test_the_epoch_and_the_step_are_counted_over_all_fits(epochs: int) -> None:
    model = make(mc.Linear(3, 2), optimizer=mc.SGD(1e-3), dtype="float32")
    after(model, epochs)
    model.rate_scale = 1e30
    step = STEPS * epochs + 2
    with pytest.raises(mc.NonFiniteError, match=f"in epoch {epochs + 1}, step {step};"):
        model.fit(X, Y, epochs=3, batch_size=5)
    assert ROWS > 5 and int(model.trainer.state.count) == step - 1


def test_a_validation_loss_may_be_infinite_without_ending_training() -> None:
    """It is a number in the history; the weights are as good as they were."""
    model = make(mc.Linear(3, 1), mc.PoissonNLL(), optimizer=mc.SGD(1e-3))
    far = np.full((1, 3), 1e6)
    history = model.fit(X, np.abs(Y[:, 0]), epochs=2, validation_data=(far, [1.0]), callbacks=[mc.EarlyStopping()])
    assert len(history) == 2 and not np.any(np.isnan(history.val_loss))
