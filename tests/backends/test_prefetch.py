"""A chunk on a device that runs behind the host: a step sends and reads nothing, and the bits are those of a loop."""

from collections import Counter
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import array_api_strict
import numpy as np
import pytest
from devices import HERE, open_place
from fitting import EAGER, NET, X, Y, assert_same, make, state_of, with_steps
from libraries import STRICT, StrictArray, refusing
from members import LAYERS

import mlpcore as mc
from mlpcore.backends import chunks, streaming
from mlpcore.backends.copy_queues import PlainCopies
from mlpcore.backends.prefetch import run_prefetched
from mlpcore.backends.run import ChunkError, run_eagerly
from mlpcore.backends.streaming import streamed
from mlpcore.compiler.trace import Tracer
from mlpcore.random import Stream
from mlpcore.training.step import make_step
from mlpcore.trees import leaves, tree_map
from mlpcore.typing import Batch

DROPOUT = mc.Sequential(mc.Linear(3, 4), mc.Dropout(0.5), mc.Residual(mc.Sequential(mc.Dropout(0.2))), mc.Linear(4, 2))


@pytest.fixture(autouse=True)
def refuse_looks() -> Iterator[None]:
    """No look at the numbers of arrays on the device."""
    with refusing():
        yield


class Device:
    """array-api-strict on a device that refuses every look, with what is done there counted by name.

    ``send`` is ``asarray``, the only way in; ``sent`` are the shapes of what went in. There is no way out.
    """

    def __init__(self) -> None:
        self.sent: list[tuple[int, ...]] = []
        self.operations: Counter[str] = Counter()

    def send(self, values: np.ndarray) -> Any:
        self.sent.append(values.shape)
        return STRICT.asarray(values)

    def __getattr__(self, name: str) -> Any:
        self.operations[name] += 1
        return getattr(array_api_strict, name)


def chunk(net: Any, steps: int) -> tuple[list[tuple[int, ...]], dict[str, int]]:
    """What is sent for a chunk of so many steps of 5 rows, and the operations besides those of the steps."""
    device = Device()
    data = STRICT.put((X, Y, np.ones(len(X))))
    order = np.arange(5 * steps).reshape(steps, 5) % len(X)

    def step(state: Any, batch: Any) -> Any:
        assert batch.x.shape == (5, 3) and batch.target.shape == (5, 2) and batch.weights.shape == (5,)
        assert all(isinstance(leaf, StrictArray) for leaf in leaves(batch.noise))
        return state, batch.weights[0]

    run = run_prefetched(device, device.send)(step)

    def draw(i: int) -> Any:
        return (net.noise(Stream(0, step=i), (5, 3), "float64"),)

    index = StrictArray.__getitem__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StrictArray, "__getitem__", lambda x, key: device.operations.update(["getitem"]) or index(x, key))
        _, losses = run(None, data, order, draw)
    assert losses.shape == (steps,)
    return device.sent, dict(device.operations)


@pytest.mark.parametrize("steps", [1, 7, 50])
def test_a_chunk_sends_its_order_and_each_mask_once_and_looks_at_nothing(steps: int) -> None:
    sent, operations = chunk(DROPOUT, steps)
    assert sent == [(steps, 5), (steps, 5, 4), (steps, 5, 4)]
    # In a step: its rows of the order, three gathers, a view of each mask, and the loss that this test's step takes.
    assert operations == {"getitem": steps * (1 + 2 + 1), "take": 3 * steps, "stack": 1}


def test_without_noise_the_order_alone_is_sent() -> None:
    sent, operations = chunk(mc.Sequential(mc.Linear(3, 2)), 20)
    assert sent == [(20, 5)]
    assert operations == {"getitem": 20 * 2, "take": 60, "stack": 1}


def test_much_noise_goes_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    each = 2 * 5 * 4 * 8
    monkeypatch.setattr(chunks, "NOISE_BYTES", 3 * each + 1)
    sent, _ = chunk(DROPOUT, 7)
    assert sent == [(7, 5), *[(3, 5, 4)] * 4, *[(1, 5, 4)] * 2], "pieces of three steps, two masks each, and the rest"


def test_no_more_is_drawn_ahead_than_goes_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """All the masks of a chunk at once could take more memory than there is."""
    monkeypatch.setattr(chunks, "NOISE_BYTES", 2 * 5 * 4 * 8)
    events: list[str] = []

    def step(state: Any, batch: Any) -> Any:
        events.append("step")
        return state, batch.weights[0]

    def draw(i: int) -> Any:
        events.append("draw")
        return (np.zeros((5, 4)),)

    data, order = (X, Y, np.ones(len(X))), np.zeros((6, 5), int)
    run_prefetched(np, np.asarray)(step)(None, data, order, draw)
    assert events == ["draw", "draw", "step", "step"] * 3


@pytest.mark.parametrize("place", HERE)
def test_running_ahead_gives_the_bits_of_a_loop(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = EAGER if place == "numpy" else open_place(place)
    if place == "jax":
        pytest.skip("JAX compiles its chunks, it does not run ahead")
    compiled = run_prefetched(backend.xp, backend.asarray)
    monkeypatch.setattr(chunks, "NOISE_BYTES", 2 * 5 * 5 * 8)
    models = [make(NET, backend=one, seed=3) for one in (backend, with_steps(backend, compiled))]
    losses = [model.fit(X, Y, epochs=3, batch_size=5).loss for model in models]
    assert losses[0] == losses[1]
    assert_same(state_of(models[1]), state_of(models[0]))


@pytest.mark.parametrize("fails", ["draw", "step"])
@pytest.mark.parametrize("at", [0, 1, 4])
def test_a_failure_tells_the_whole_steps_before_it(fails: str, at: int) -> None:
    cause = MemoryError("no room")

    def step(state: int, batch: Any) -> Any:
        if fails == "step" and state == at:
            raise cause
        return state + 1, np.zeros(())

    def draw(i: int) -> Any:
        if fails == "draw" and i == at:
            raise cause
        return (np.zeros(1),)

    data, order = (X, Y, np.ones(len(X))), np.zeros((6, 5), int)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ChunkError) as caught:
        patch.setattr(chunks, "NOISE_BYTES", 8)
        run_prefetched(np, np.asarray)(step)(0, data, order, draw)
    assert (caught.value.state, caught.value.steps) == (at, at) and caught.value.__cause__ is cause


@pytest.mark.parametrize("way", ["ahead", "eager", "streamed"])
def test_losses_that_find_no_room_leave_the_steps_done(way: str) -> None:
    """The steps have overwritten the state they were given: going back to it would count them never."""
    cause = MemoryError("no room")

    def full(losses: list[np.ndarray]) -> np.ndarray:
        raise cause

    def step(state: int, batch: Any) -> Any:
        return state + 1, np.zeros(())

    narrow = SimpleNamespace(take=np.take, stack=np.stack if way == "streamed" else full)
    run = run_prefetched(narrow, np.asarray)(step)
    if way == "eager":
        run = run_eagerly(narrow, np.asarray)(step)
    data, order = (X, Y, np.ones(len(X))), np.zeros((6, 5), int)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ChunkError) as caught:
        patch.setattr(streaming, "BUFFER_BYTES", 1)
        run = streamed(run, lambda: PlainCopies(np.asarray), full) if way == "streamed" else run
        run(0, data, order, lambda i: ())
    assert (caught.value.state, caught.value.steps) == (6, 6) and caught.value.__cause__ is cause


# --- CuPy's namespace

WAITS = {"clip", "nonzero", "isin", "unique_all", "unique_counts", "unique_inverse", "unique_values", "searchsorted"}


def test_clip_on_cupy_is_one_function_of_the_library() -> None:
    """The compatibility wrapper assigns through masks, whose sizes the host must know; read in its source, 1.16."""
    from mlpcore.backends.cupy.namespace import without_host_reads

    compat, library = ModuleType("compat.cupy"), ModuleType("cupy")
    compat.clip = compat.add = None  # type: ignore[attr-defined]
    library.clip = lambda x, low, high: ("clip", x, low, high)  # type: ignore[attr-defined]
    made = without_host_reads(library, compat)
    assert made.clip("x", -1, 1) == ("clip", "x", -1, 1) and made.clip("x", max=2) == ("clip", "x", None, 2)
    assert made.__name__ == "compat.cupy" and compat.clip is None, "the library's own module stays as it is"


class Namespace(Tracer):
    """The namespace of traced arrays; ``used`` are the names that are asked of it."""

    def __init__(self) -> None:
        self.used: set[str] = set()
        super().__init__()

    def __getattribute__(self, name: str) -> Any:
        object.__getattribute__(self, "__dict__").get("used", set()).add(name)
        return super().__getattribute__(name)


def used(net: Any, loss: Any, target: np.ndarray, **words: Any) -> set[str]:
    """The functions that a step calls."""
    model = make(net, loss, **words)
    step = make_step(model.net, model.loss, model.optimizer, model.layout, model.rules)
    batch = Batch(X, target, np.ones(len(X)), net.noise(Stream(0), X.shape, "float64"))
    xp = Namespace()
    step(*tree_map(lambda leaf: xp.input(np.shape(leaf), np.asarray(leaf).dtype), (model.trainer.state, batch)))
    return xp.used


OPTIMIZERS = [
    mc.SGD(0.1, momentum=0.9),
    mc.Adam(),
    mc.AdamW(),
    mc.NAdam(),
    mc.RAdam(),
    mc.Lion(),
    mc.RMSprop(),
    mc.Adagrad(),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_no_step_calls_what_waits_for_the_device(optimizer: Any) -> None:
    rules: dict[str, Any] = {"l2": 0.1, "clip_norm": 1.0, "clip_value": 0.5, "ema": 0.9, "optimizer": optimizer}
    found = used(NET, mc.HalfSquaredError(), Y, **rules)
    # clip is there, and so it is what the namespace of CuPy replaces.
    assert found & WAITS == {"clip"}


@pytest.mark.parametrize("case", LAYERS)
def test_no_layer_calls_what_waits_for_the_device(case: str) -> None:
    layer = LAYERS[case](4)
    net = mc.Sequential(mc.Linear(3, 4), layer, mc.Linear(layer.output_width(4), 2))
    assert not used(net, mc.SquaredError(), Y) & WAITS
