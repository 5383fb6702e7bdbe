"""Rows that stream to a device give the bits of rows that lie there, whatever the order in which the queues work."""

import random
from collections.abc import Callable
from contextlib import nullcontext
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from devices import HERE, gpu, open_place
from fitting import (
    EAGER,
    LABELS,
    NET,
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

import mlpcore as mc
from mlpcore.backends import streaming
from mlpcore.backends.backend import Backend
from mlpcore.backends.copy_queues import PlainCopies
from mlpcore.backends.cupy import copies
from mlpcore.backends.run import ChunkError
from mlpcore.backends.streaming import fits_on_device, sent_whole, streamed
from mlpcore.random import Stream
from mlpcore.training.ingest import data_backend

# --- the choices


def test_data_stay_on_a_device_that_has_room_for_more_than_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "BUFFER_BYTES", 10)
    assert fits_on_device(10**12, lambda: None), "the host holds what it holds"
    assert fits_on_device(600, lambda: 1000) and not fits_on_device(601, lambda: 1000)
    assert not fits_on_device(11, lambda: 0)
    assert fits_on_device(10, lambda: pytest.fail("a device is not asked for a little"))


def test_the_place_of_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "BUFFER_BYTES", 100)
    host, device = mc.get_backend("numpy"), mc.get_backend("array_api_strict")
    tight = with_extras(device, free_memory=lambda: 8 * 22 * 3 - 1)
    wide = with_extras(device, free_memory=lambda: 100 * 8 * 22 * 3)
    assert data_backend(X, tight, "float64").name == host.name
    assert data_backend(X, wide, "float64") is wide
    assert data_backend(X, device, "float64") is device, "it has no memory of its own"
    assert data_backend(X, tight, "float32") is tight, "as float32 it takes half"
    assert data_backend(device.asarray(X), tight, "float64") is tight, "it lies there already"


# --- the queues


class Queues:
    """A queue whose two queues do their work at random times, as late as its marks allow; memory is used again at once.

    A queue holds functions, which return False where they have to wait. Buffers come from a few blocks of memory, so
    that a new one is where an old one was, as in a pool of memory that knows only the order of the computing queue.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.copies: list[Callable[[], Any]] = []
        self.computing: list[Callable[[], Any]] = []
        self.blocks = [np.full(4096, np.nan) for _ in range(6)]
        self.given = 0

    def work(self, most: int) -> bool:
        """Do up to so many things, from either queue; whether anything was done."""
        done = False
        for _ in range(most):
            queues = [self.copies, self.computing]
            self.random.shuffle(queues)
            for queue in queues:
                if queue and queue[0]() is not False:
                    queue.pop(0)
                    done = True
                    break
            else:
                break
        return done

    def now_and_then(self) -> None:
        self.work(self.random.choice([0, 0, 1, 2, 100]))

    def finish(self) -> None:
        while self.copies or self.computing:
            assert self.work(1), "the queues wait for each other"

    def host(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        return np.full(shape, -1, dtype)

    def device(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        block = self.blocks[self.given % len(self.blocks)].view(dtype)
        self.given += 1
        return block[: int(np.prod(shape))].reshape(shape)

    def send(self, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        rows = target[: source.shape[0]]
        self.copies.append(lambda: np.copyto(rows, source))
        self.now_and_then()
        return rows

    def _mark(self, queue: list) -> list[bool]:
        mark = [False]
        queue.append(lambda: mark.__setitem__(0, True))
        self.now_and_then()
        return mark

    def copied(self) -> list[bool]:
        return self._mark(self.copies)

    def computed(self) -> list[bool]:
        return self._mark(self.computing)

    def copying_waits(self, mark: list[bool] | None) -> None:
        self.copies.append(lambda: bool(mark is None or mark[0]))
        self.now_and_then()

    def computing_waits(self, mark: list[bool]) -> None:
        self.computing.append(lambda: bool(mark[0]))
        self.now_and_then()

    def host_waits(self, mark: list[bool]) -> None:
        while not mark[0]:
            assert self.work(1), "the host waits for what never comes"


class Buffer(np.ndarray):
    """An array on a made-up device, which is set from the host by a stream."""

    def set(self, source: np.ndarray, stream: "Line") -> None:
        stream.queue.append(lambda: np.copyto(self, source))
        stream.queues.now_and_then()


class Line:
    """One of the queues as CuPy's streams are used, and an event in it."""

    def __init__(self, queues: Queues, queue: list) -> None:
        self.queues, self.queue = queues, queue

    def record(self, event: "Event") -> "Event":
        event.mark = self.queues._mark(self.queue)
        event.queues = self.queues
        return event

    def wait_event(self, event: "Event") -> None:
        self.queue.append(lambda: bool(event.mark[0]))
        self.queues.now_and_then()


class Event:
    mark: list[bool]
    queues: Queues

    def __init__(self, *, disable_timing: bool) -> None:
        assert disable_timing, "timing costs time"

    def synchronize(self) -> None:
        self.queues.host_waits(self.mark)


def made_up_cupy(queues: Queues, monkeypatch: pytest.MonkeyPatch) -> copies.CudaCopyQueue:
    """CuPy's queue on a library that is made of the two queues."""

    def stream(*, non_blocking: bool) -> Line:
        assert non_blocking, "the default stream would wait for it"
        return Line(queues, queues.copies)

    cuda = SimpleNamespace(
        Device=lambda number: nullcontext(),
        Stream=stream,
        Event=Event,
        get_current_stream=lambda: Line(queues, queues.computing),
    )
    cupy = SimpleNamespace(cuda=cuda, empty=lambda shape, dtype: queues.device(shape, dtype).view(Buffer))
    found = {"cupy": cupy, "cupyx": SimpleNamespace(empty_pinned=queues.host)}
    monkeypatch.setattr(copies, "import_module", found.__getitem__)
    return copies.CudaCopyQueue(0)


def reading(queues: Queues, seen: list) -> Callable:
    """A run that puts steps into the computing queue, which read their rows when their turn comes."""

    def run(state: Any, data: tuple, order: np.ndarray, draw: Callable[[int], Any]) -> Any:
        for i, rows in enumerate(order):
            noise = draw(i)
            queues.computing.append(
                lambda rows=rows, noise=noise: seen.append(([part[rows].copy() for part in data], noise))
            )
            queues.now_and_then()
        return state, np.zeros(len(order))

    return run


DATA = (np.arange(120.0).reshape(40, 3), np.arange(40) * 7, np.arange(40) + 0.5)


@pytest.mark.parametrize("kind", ["queues", "cuda"])
@pytest.mark.parametrize("steps_in_a_piece", [1, 2, 3, 100])
@pytest.mark.parametrize("seed", range(30))
def test_steps_see_their_rows_whatever_the_queues_do(
    seed: int, steps_in_a_piece: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = sum(part[:1].nbytes for part in DATA)
    monkeypatch.setattr(streaming, "BUFFER_BYTES", steps_in_a_piece * 4 * each)
    queues, seen = Queues(seed), []
    old = queues.device((64,), "float64")
    old[...] = 5
    queues.given = 0  # freed; the same memory is given again, while a step in the queue still reads it
    first: list[np.ndarray] = []
    queues.computing.append(lambda: first.append(old.copy()))
    queue = queues if kind == "queues" else made_up_cupy(queues, monkeypatch)
    run = streamed(reading(queues, seen), lambda: queue, np.concatenate)
    rng = np.random.default_rng(seed)
    # A ragged batch, and then larger ones, for which the buffers are made anew while steps still wait.
    chunks = [rng.integers(0, 40, (steps, batch)) for steps, batch in [(7, 4), (1, 3), (5, 4), (4, 9), (7, 9)]]
    for number, chunk in enumerate(chunks):
        _, losses = run("state", DATA, chunk, lambda i, number=number: (number, i))
        assert losses.shape == (len(chunk),)
    queues.finish()
    np.testing.assert_array_equal(first[0], 5)
    assert len(seen) == sum(map(len, chunks))
    found = iter(seen)
    for number, chunk in enumerate(chunks):
        for i, rows in enumerate(chunk):
            parts, noise = next(found)
            assert noise == (number, i)
            for part, expected in zip(parts, DATA, strict=True):
                np.testing.assert_array_equal(part, expected[rows])


def test_the_next_piece_is_gathered_before_the_last_one_has_computed() -> None:
    """Or there would be nothing gained: when a piece begins to compute, the copy of the next has been ordered."""

    class Noting(Queues):
        def now_and_then(self) -> None:
            """Nothing happens before somebody waits."""

    queues, events = Noting(0), []
    queues.send = lambda source, target: events.append("send") or target[: source.shape[0]]  # type: ignore[method-assign]

    def run(state: Any, data: tuple, order: np.ndarray, draw: Any) -> Any:
        events.append("run")
        return state, np.zeros(len(order))

    order = np.arange(40).reshape(10, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming, "BUFFER_BYTES", 2 * 4 * sum(part[:1].nbytes for part in DATA))
        streamed(run, lambda: queues, np.concatenate)(None, DATA, order, lambda i: ())
    assert events == ["send"] * 6 + ["run", *["send"] * 3] * 3 + ["run"] * 2


@pytest.mark.parametrize("seed", range(20))
def test_an_array_goes_there_whole(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "BUFFER_BYTES", 7 * 3 * 4)
    queues, seen = Queues(seed), []
    x = Stream(seed).normal((40, 3))
    old = queues.device((40, 3), "float32")
    queues.given = 0  # the same memory again, which a step in the queue still reads
    old[...] = 5
    queues.computing.append(lambda: seen.append(old.copy()))
    placed = sent_whole(queues, x, "float32")
    queues.computing.append(lambda: seen.append(placed.copy()))
    queues.finish()
    np.testing.assert_array_equal(seen[0], np.full((40, 3), 5))
    np.testing.assert_array_equal(seen[1], x.astype("float32"))


class Breaking(Queues):
    """Sending fails when so many copies were put into the queue, with an interrupt or for want of memory."""

    left = 1

    def send(self, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        return super().send(source, target)


@pytest.mark.parametrize("seed", range(20))
def test_pinned_memory_is_let_go_when_no_copy_reads_it_any_more(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "BUFFER_BYTES", 7 * 3 * 4)
    queues = Breaking(seed)
    queues.left = seed % 4 + 1
    with pytest.raises(KeyboardInterrupt):
        sent_whole(queues, Stream(seed).normal((40, 3)), "float32")
    assert not queues.copies
    queues.left, slot = 1, streaming.BufferPair(queues)
    slot.fit(DATA, 4)
    with pytest.raises(KeyboardInterrupt):
        slot.load(4, lambda i, buffer: np.copyto(buffer, DATA[i][:4]))
    slot.wait()  # as before the next rows are written there, or the buffer goes
    assert not queues.copies


@pytest.mark.parametrize("inner", [True, False])
def test_a_failure_tells_the_whole_steps_before_it(inner: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "BUFFER_BYTES", 2 * 4 * sum(part[:1].nbytes for part in DATA))
    cause = MemoryError("no room")

    def run(state: int, data: tuple, order: np.ndarray, draw: Any) -> Any:
        if state == 4:
            if not inner:
                raise cause
            raise ChunkError(5, 1) from cause
        return state + len(order), np.zeros(len(order))

    whole = streamed(run, lambda: Queues(0), np.concatenate)
    with pytest.raises(ChunkError) as caught:
        whole(0, DATA, np.zeros((10, 4), int), lambda i: ())
    assert (caught.value.state, caught.value.steps) == ((5, 5) if inner else (4, 4))
    assert caught.value.__cause__ is cause


class Short(Queues):
    """The ``left``-th call that needs memory finds none: a buffer on either side, or a mark."""

    left = 0

    def short(self) -> None:
        self.left -= 1
        if not self.left:
            raise MemoryError("no room")

    def host(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        self.short()
        return super().host(shape, dtype)

    def device(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        self.short()
        return super().device(shape, dtype)

    def copied(self) -> Any:
        self.short()
        return super().copied()

    def computed(self) -> Any:
        self.short()
        return super().computed()


@pytest.mark.parametrize("left", range(1, 40))
def test_whatever_finds_no_memory_the_steps_that_are_done_are_told_and_the_next_chunk_works(
    left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps write the state where it is, so that it would be wrong to take it for that of fewer steps."""
    monkeypatch.setattr(streaming, "BUFFER_BYTES", 2 * 4 * sum(part[:1].nbytes for part in DATA))
    queues, state = Short(0), np.zeros(1)

    def run(state: np.ndarray, data: tuple, order: np.ndarray, draw: Any) -> Any:
        state += len(order)
        return state, np.zeros(len(order))

    whole = streamed(run, lambda: queues, np.concatenate)
    queues.left, order = left, np.zeros((10, 4), int)
    try:
        whole(state, DATA, order, lambda i: ())
    except ChunkError as error:
        assert error.state is state and error.steps == state
        assert isinstance(error.__cause__, MemoryError)
    except MemoryError:  # before the first step
        assert state == 0
    else:
        assert queues.left > 0 and state == 10
    queues.left, before = 0, int(state[0])
    whole(state, DATA, order, lambda i: ())
    assert state == before + 10


@pytest.mark.parametrize("seed", range(30))
def test_steps_before_a_failure_keep_their_rows(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """They may still be waiting to compute when the caller has caught the error and begins anew."""
    monkeypatch.setattr(streaming, "BUFFER_BYTES", 2 * 4 * sum(part[:1].nbytes for part in DATA))
    queues, seen = Queues(seed), []
    inner = reading(queues, seen)

    def failing(state: int, data: tuple, order: np.ndarray, draw: Any) -> Any:
        if draw(0) == 4:  # the third piece of the first chunk, after one of its steps
            inner(state, data, order[:1], draw)
            raise ChunkError(state, 1)
        return inner(state, data, order, draw)

    run = streamed(failing, lambda: queues, np.concatenate)
    first, second = np.random.default_rng(seed).integers(0, 40, (2, 10, 4))
    with pytest.raises(ChunkError):
        run("state", DATA, first, lambda i: i)
    run("state", DATA, second, lambda i: -1)
    queues.finish()
    for rows, (parts, _) in zip([*first[:5], *second], seen, strict=True):
        for part, expected in zip(parts, DATA, strict=True):
            np.testing.assert_array_equal(part, expected[rows])


# --- models


def tight(backend: Backend) -> Backend:
    """The backend without room for data, which therefore streams."""
    without_memory = with_extras(backend, free_memory=lambda: 0)
    if backend.extras.free_memory() is not None:
        return without_memory  # it streams by itself
    queue, steps = PlainCopies(backend.asarray), backend.compile.steps
    return with_steps(without_memory, lambda *step: streamed(steps(*step), lambda: queue, backend.xp.concat))


PLACES = [*HERE, gpu("cupy"), gpu("torch cuda"), gpu("jax cuda")]


def both(place: str, monkeypatch: pytest.MonkeyPatch, batch: int) -> tuple[Backend, Backend]:
    """The backend, and it without room; a piece is two steps of so many rows of X and Y in float64."""
    backend = open_place(place)
    monkeypatch.setattr(streaming, "BUFFER_BYTES", 2 * batch * 8 * (3 + 2 + 1))
    return backend, tight(backend)


@pytest.mark.parametrize("place", PLACES)
def test_a_model_on_streaming_rows_has_the_same_bits(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    resident, streaming_ = both(place, monkeypatch, 5)
    models = [make(NET, backend=backend, seed=3, ema=0.9) for backend in (resident, streaming_)]
    fits = [model.fit(X, Y, epochs=3, batch_size=5, validation_data=(X[:9], Y[:9])) for model in models]
    assert untimed(fits[0]) == untimed(fits[1])
    assert_same(state_of(models[1]), state_of(models[0]))
    np.testing.assert_array_equal(models[1].predict(X), models[0].predict(X))
    assert models[1].evaluate(X, Y) == models[0].evaluate(X, Y)


@pytest.mark.parametrize("place", PLACES)
def test_a_stack_on_streaming_rows_has_the_same_bits(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    resident, streaming_ = both(place, monkeypatch, 5)
    streaming_ = with_extras(streaming_, free_memory=lambda: 1 << 30)  # enough for the members, not for the data
    monkeypatch.setattr(streaming, "DATA_FRACTION", 0.0)
    stacks = [
        mc.Stack([make(NET, backend=backend, seed=seed, optimizer=mc.Adam(0.01 + 0.01 * seed)) for seed in range(3)])
        for backend in (with_extras(resident, free_memory=lambda: None), streaming_)
    ]
    words: dict[str, Any] = {"rows": [np.arange(20), np.arange(2, ROWS), np.arange(ROWS)], "validation_data": (X, Y)}
    fits = [list(map(untimed, stack.fit(X, Y, epochs=3, batch_size=5, **words))) for stack in stacks]
    assert fits[0] == fits[1]
    for one, other in zip(*stacks, strict=True):
        assert_same(state_of(other), state_of(one))
    np.testing.assert_array_equal(stacks[1].predict(X), stacks[0].predict(X))


@pytest.mark.parametrize("place", PLACES)
def test_labels_weights_and_metrics_stream_too(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    backends = both(place, monkeypatch, 4)
    weights = 0.5 + Stream(4).uniform((ROWS,))
    words: dict[str, Any] = {
        "sample_weight": weights,
        "class_weight": "balanced",
        "validation_data": (X[:7], LABELS[:7]),
    }
    fits, models = [], []
    for backend in backends:
        model = classifier(backend=backend, metrics=["accuracy"])
        fits.append(untimed(model.fit(X, LABELS, epochs=2, batch_size=4, **words)))
        models.append(model)
    assert fits[0] == fits[1]
    assert models[1].evaluate(X, LABELS) == models[0].evaluate(X, LABELS)


def test_rows_on_the_host_are_checked_like_those_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    _, backend = both("array_api_strict", monkeypatch, 5)
    bad = X.copy()
    bad[3, 1] = np.nan
    with pytest.raises(mc.DataError, match="x has NaN or infinity in column 1"):
        make(NET, backend=backend).fit(bad, Y)
    with pytest.raises(mc.DataError, match="too large for float32"):
        make(NET, backend=backend, dtype="float32").fit(X * 1e300, Y)


def test_chunks_keep_to_the_pace_of_their_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlpcore.training.loop.CHUNK_WORK", 3.0 * 5)  # one step of a batch of 5, for a vector of 1
    lengths = {}
    for pace, most in ((1.0, 99), (2.0, 99), (100.0, 99), (100.0, 3)):
        model = make(NET, backend=with_extras(EAGER, relative_speed=pace * 256, max_chunk_steps=most))
        assert model.layout.size % 64 == 0
        chunks = list(model.trainer.chunks(np.arange(40), 5))
        assert all(one.shape == (len(one), 5) for one in chunks)
        assert max(map(len, chunks)) - min(map(len, chunks)) <= max(map(len, chunks)) // 2 + 1
        lengths[pace, most] = max(map(len, chunks))
    assert [a <= b for a, b in pairwise([lengths[1.0, 99], lengths[2.0, 99], lengths[100.0, 99]])] == [True, True]
    assert lengths[100.0, 99] == 8 and lengths[100.0, 3] <= 3


@pytest.mark.gpu
def test_no_copy_is_on_its_way_when_a_chunk_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would arrive in memory that has gone to others. Late copies show it, on the emulated device."""
    backend = open_place("cupy")
    monkeypatch.setattr(streaming, "BUFFER_BYTES", 8 * 64)
    sent, copied = [], copies.CudaCopyQueue.copied

    def noted(queue: copies.CudaCopyQueue) -> Any:
        sent.append(copied(queue))
        return sent[-1]

    monkeypatch.setattr(copies.CudaCopyQueue, "copied", noted)

    def fails(*_: Any) -> Any:
        raise RuntimeError("no step")

    run = streamed(fails, lambda: copies.CudaCopyQueue(0), backend.xp.concat)
    with backend.scope("float64"), pytest.raises(ChunkError):
        run(None, (np.ones((256, 1)),), np.arange(256).reshape(64, 4), lambda step: ())
    assert len(sent) == 2 and all(event.done for event in sent)
