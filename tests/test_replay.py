"""NumPy's replay of a recorded step gives the bits of the step itself, for every member, in blocks and on threads."""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import array_api_compat.numpy as xp
import members
import numpy as np
import pytest

import mlpcore as mc
from mlpcore.backends import get_backend
from mlpcore.backends.backend import run_eagerly
from mlpcore.backends.replay import blocks, memory, pairs, planning, running, workers
from mlpcore.gradient_check import draw_targets
from mlpcore.namespace import namespace
from mlpcore.random import Stream
from mlpcore.trees import named_leaves

REPLAYED = get_backend("numpy")
EAGER = replace(REPLAYED, compile=run_eagerly(xp, np.asarray))
ROWS, WIDTH = 29, 4


@pytest.fixture(autouse=True)
def recordings(monkeypatch: pytest.MonkeyPatch) -> Iterator[list]:
    """What was recorded: a step that falls back to being run eagerly would show nothing here."""
    made: list = []
    record = running._record

    def noted(*args: Any) -> Any:
        made.append(record(*args))
        return made[-1]

    monkeypatch.setattr(running, "_record", noted)
    yield made


def fit(backend: Any, net: Any, loss: Any, optimizer: Any, target: np.ndarray, epochs: int = 2, **words: Any) -> Any:
    """A model after some epochs of ragged batches with row weights, one of them zero, and its losses."""
    x = Stream(1, "x").normal((len(target), WIDTH)) * 3
    weights = 0.5 + Stream(1, "weights").uniform((len(target),))
    weights[3] = 0
    model = mc.Model(net, loss, optimizer, backend=backend, **words)
    history = model.fit(x, target, epochs=epochs, batch_size=8, sample_weight=weights)
    return model, history.loss


def assert_same_bits(*args: Any, **words: Any) -> None:
    """Losses and the whole state, after replay and after eager steps."""
    (one, losses), (other, expected) = (fit(backend, *args, **words) for backend in (REPLAYED, EAGER))
    assert losses == expected
    leaves = zip(named_leaves(one._trainer.state), named_leaves(other._trainer.state), strict=True)
    for (name, got), (_, want) in leaves:
        np.testing.assert_array_equal(got, want, err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", members.LAYERS)
def test_every_layer(case: str, dtype: str, recordings: list) -> None:
    net = mc.Sequential(mc.Linear(WIDTH, WIDTH), members.LAYERS[case](WIDTH))
    outputs = net.widths(WIDTH)
    target = Stream(2).normal((ROWS, outputs))
    assert_same_bits(net, mc.SquaredError(), mc.Adam(0.01), target, dtype=dtype)
    assert len(recordings) == 2  # the whole batch and the ragged one


@pytest.mark.parametrize("case", members.LOSSES)
def test_every_loss(case: str, recordings: list) -> None:
    loss, kind = members.LOSSES[case]
    target = draw_targets(Stream(3), ROWS, 3)[kind]
    assert_same_bits(mc.Sequential(mc.Linear(WIDTH, loss.outputs(3))), loss, mc.Adam(0.01), target)
    assert len(recordings) == 2


@pytest.mark.parametrize("case", members.OPTIMIZERS)
def test_every_optimizer(case: str, recordings: list) -> None:
    net = mc.Sequential(mc.Linear(WIDTH, 6), mc.Tanh(), mc.Linear(6, 2))
    target = Stream(4).normal((ROWS, 2))
    optimizer = replace(members.OPTIMIZERS[case], weight_decay=0.1)
    assert_same_bits(net, mc.HalfSquaredError(), optimizer, target, l2=0.1, clip_norm=0.5, clip_value=0.2, ema=0.9)
    assert len(recordings) == 2


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of three rows of eight: some to a batch, the last one short; and every product and group is large."""
    monkeypatch.setattr(blocks, "BLOCK", 24)
    monkeypatch.setattr(blocks, "WORTH_A_THREAD", 1)
    monkeypatch.setattr(pairs, "LARGE", 1)
    monkeypatch.setattr(memory, "WORTH_HALVING", 1)


# As many columns and classes as rows: what runs along a row must not be cut like the rows.
SQUARE = mc.Sequential(mc.Linear(WIDTH, 8), mc.LayerNorm(8), mc.GELU(), mc.Dropout(0.2), mc.Linear(8, 8))


def test_blocks_change_no_bit(small_blocks: None, monkeypatch: pytest.MonkeyPatch, recordings: list) -> None:
    monkeypatch.setattr(planning, "two_threads", lambda: False)
    assert_same_bits(SQUARE, mc.SoftmaxCrossEntropy(), mc.AdamW(0.01), Stream(5).order(ROWS) % 8, ema=0.9)
    assert not any(program.alone for program, _ in recordings)


def test_two_threads_change_rounding_only(
    small_blocks: None, monkeypatch: pytest.MonkeyPatch, recordings: list
) -> None:
    pytest.importorskip("threadpoolctl", reason="without it BLAS cannot be told to use one thread")
    monkeypatch.setattr(planning, "two_threads", lambda: True)
    words = {"ema": 0.9, "dtype": "float64", "epochs": 5}
    args = (SQUARE, mc.SoftmaxCrossEntropy(), mc.AdamW(0.01), Stream(5).order(ROWS) % 8)
    (one, losses), (other, expected) = (fit(backend, *args, **words) for backend in (REPLAYED, EAGER))
    np.testing.assert_allclose(losses, expected, rtol=1e-12)  # products of halves may be added up in another order
    np.testing.assert_allclose(one._trainer.state.params, other._trainer.state.params, rtol=1e-9, atol=1e-12)
    assert all(program.alone for program, _ in recordings)
    both = [call for program, _ in recordings for call in (*program.before, *program.after)]
    lists = [args for function, args in both if function is workers.run_both]
    assert any(len(here) > 1 and here[0][0] is np.matmul for here, _ in lists)  # a product, and what goes on with it
    for here, there in lists:
        arrays = [[array for array in pairs.written(calls) if array.ndim] for calls in (here, there)]
        assert not any(np.shares_memory(one, other) for one in arrays[0] for other in arrays[1])


def test_pairs_that_wait_for_each_other_are_not_joined() -> None:
    x, y, z = np.ones((4, 2)), np.zeros((4, 2)), np.zeros((4, 2))
    top, bottom = slice(0, 2), slice(2, 4)

    def pair(source: np.ndarray, out: np.ndarray, crossed: bool) -> tuple:
        first, second = (bottom, top) if crossed else (top, bottom)
        return workers.run_both, (
            [(np.copyto, (out[top], source[first]))],
            [(np.copyto, (out[bottom], source[second]))],
        )

    assert len(pairs.joined([pair(x, y, False), pair(y, z, False)])) == 1
    assert len(pairs.joined([pair(x, y, False), pair(y, z, True)])) == 2  # reads what the other thread writes
    assert len(pairs.joined([pair(y, z, True), pair(x, y, False)])) == 2  # writes what the other thread reads
    assert len(pairs.joined([pair(x, y, False), (np.copyto, (z, y)), pair(y, z, False)])) == 3


def test_blas_has_its_threads_again_after_a_fit(
    small_blocks: None, monkeypatch: pytest.MonkeyPatch, recordings: list
) -> None:
    threadpoolctl = pytest.importorskip("threadpoolctl", reason="without it BLAS cannot be told to use one thread")
    monkeypatch.setattr(planning, "two_threads", lambda: True)
    with threadpoolctl.threadpool_limits(limits=2, user_api="blas"):
        before = threadpoolctl.threadpool_info()
        fit(REPLAYED, SQUARE, mc.SoftmaxCrossEntropy(), mc.Adam(0.01), Stream(5).order(ROWS) % 8)
        assert recordings[0][0].alone and threadpoolctl.threadpool_info() == before


class OddState(NamedTuple):
    """State of an optimizer that does what none of ours does, yet any may do."""

    old: Any
    rate: Any
    mixed: Any


@dataclass(frozen=True)
class Odd:
    """Reads its old state after the new one is made, and its rate after the vectors; joins in a constant."""

    learning_rate: float = 0.01
    weight_decay: float = 0.0

    def init(self, params: Any) -> OddState:
        return OddState(params * 0 + 1, params[..., 0] * 0, params * 0)

    def update(self, grads: Any, state: OddState, params: Any, rate: Any) -> tuple[Any, OddState]:
        space = namespace(grads)
        new = state.old + grads
        moved = params - rate * new * state.old
        joined = space.concat([moved[1:], space.ones_like(moved[:1])])
        return moved, OddState(new, rate * 2 + state.rate, state.mixed * 0.5 + joined)


def test_an_optimizer_unlike_ours(recordings: list) -> None:
    net = mc.Sequential(mc.Linear(WIDTH, 3), mc.Tanh(), mc.Linear(3, 2))
    assert_same_bits(net, mc.SquaredError(), Odd(), Stream(6).normal((ROWS, 2)), epochs=3)
    assert len(recordings) == 2


def test_a_step_that_looks_at_the_host_is_run_eagerly(recordings: list) -> None:
    class Peeking(type(mc.Tanh())):
        def activate(self, x: Any) -> tuple[Any, Any]:
            return super().activate(x * (1.0 if float(x[0, 0]) > 1e9 else 2.0))

    net = mc.Sequential(mc.Linear(WIDTH, 2), Peeking())
    assert_same_bits(net, mc.SquaredError(), mc.SGD(0.01), Stream(6).normal((ROWS, 2)))
    assert recordings == []


class Unlike(type(mc.Tanh())):
    """What a user may write: NumPy by name, methods, and functions that no layer of ours calls."""

    def activate(self, x: Any) -> tuple[Any, Any]:
        return (x.copy() if self.how == "methods" else np.tanh(x)), None

    def gradient(self, cache: Any, dy: Any) -> Any:
        return dy


@pytest.mark.parametrize("how", ["methods", "numpy"])
def test_layers_for_numpy_alone_are_run_eagerly(how: str, recordings: list) -> None:
    layer = Unlike()
    object.__setattr__(layer, "how", how)
    net = mc.Sequential(mc.Linear(WIDTH, 2), layer)
    assert_same_bits(net, mc.SquaredError(), mc.SGD(0.01), Stream(6).normal((ROWS, 2)))
    assert recordings == []


class Stacking(type(mc.Tanh())):
    """Computes through a stack of results."""

    def activate(self, x: Any) -> tuple[Any, Any]:
        space = namespace(x)
        return space.sum(space.stack([space.tanh(x), x * 2.0]), axis=0), None

    def gradient(self, cache: Any, dy: Any) -> Any:
        return dy


def test_a_stack_is_recorded(recordings: list) -> None:
    net = mc.Sequential(mc.Linear(WIDTH, 2), Stacking())
    assert_same_bits(net, mc.SquaredError(), mc.SGD(0.01), Stream(6).normal((ROWS, 2)))
    assert len(recordings) == 2


def test_what_is_put_into_the_state_between_fits_is_taken_over() -> None:
    x, y = Stream(7).normal((ROWS, WIDTH)), Stream(8).normal((ROWS, 1))
    models = [
        mc.Model(mc.Sequential(mc.Linear(WIDTH, 1)), mc.SquaredError(), mc.SGD(0.01, momentum=0.9), backend=backend)
        for backend in (REPLAYED, EAGER)
    ]
    for model in models:
        model.fit(x, y, epochs=2, batch_size=8)
        before = model.snapshot()
        model.fit(x, y, epochs=1, batch_size=8)
        model.restore(before)
        model.rate_scale = 0.5
        model.fit(x, y, epochs=1, batch_size=8)
        model.params = tuple({name: leaf * 2 for name, leaf in part.items()} for part in model.params)
        model.fit(x, y, epochs=1, batch_size=5)
    np.testing.assert_array_equal(models[0].predict(x), models[1].predict(x))


@pytest.mark.parametrize("rate", [1e3, 1e30])
def test_a_failed_step_changes_nothing(rate: float, recordings: list) -> None:
    net = mc.Sequential(mc.Linear(WIDTH, 6), mc.BatchNorm(6), mc.Linear(6, 2))
    states = []
    for backend in (REPLAYED, EAGER):
        model = mc.Model(net, mc.Poisson(), mc.SGD(rate, momentum=0.5), backend=backend, ema=0.5)
        with pytest.raises(mc.NonFiniteError) as error:
            model.fit(Stream(1).normal((ROWS, WIDTH)), np.ones((ROWS, 2)), batch_size=8)
        states.append((str(error.value), model._trainer.progress, model._trainer.state))
    assert states[0][:2] == states[1][:2] and recordings
    for (name, got), (_, want) in zip(named_leaves(states[0][2]), named_leaves(states[1][2]), strict=True):
        np.testing.assert_array_equal(got, want, err_msg=name)


def test_few_programs_are_kept(recordings: list, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "SHAPES", 2)
    x, y = Stream(7).normal((64, WIDTH)), Stream(8).normal((64, 1))
    model, other = (
        mc.Model(mc.Sequential(mc.Linear(WIDTH, 1)), mc.SquaredError(), mc.SGD(0.01), backend=backend)
        for backend in (REPLAYED, EAGER)
    )
    for rows in (20, 21, 20, 22, 20):
        for one in (model, other):
            one.fit(x[:rows], y[:rows], batch_size=rows, epochs=1)
    assert len(recordings) == 4  # the third shape took the place of the others
    np.testing.assert_array_equal(model.predict(x), other.predict(x))


def test_errors_on_the_second_thread_reach_the_first() -> None:
    def fail() -> None:
        raise MemoryError("on the second thread")

    with pytest.raises(MemoryError, match="on the second thread"):
        workers.run_both([], [(fail, ())])
    workers.run_both([], [])


def interrupting(presses: int, done: list[str]) -> None:
    """Press Ctrl-C while the main thread waits for this call, which ends later."""
    for _ in range(presses):
        time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.02)
    done.append("there")


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("presses", [1, 2, 3])
def test_an_interrupt_comes_after_the_work_of_both_threads_and_leaves_none_for_the_next(presses: int) -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        workers.run_both([(done.append, ("here",))], [(interrupting, (presses, done))])
    assert done == ["here", "there"]
    for number in range(5):
        workers.run_both([], [(time.sleep, (0.005,)), (done.append, (number,))])
        assert done[-1] == number


@pytest.mark.usefixtures("ctrl_c")
def test_work_that_an_interrupted_caller_could_not_wait_for_is_done_before_the_next_begins() -> None:
    pytest.importorskip("threadpoolctl", reason="without it nothing runs on the second thread")
    done: list[str] = []
    workers.SECOND.start(partial(interrupting, 0, done))
    with workers.blas_alone():
        assert done == ["there"]
