"""Compiled functions in row tiles on several threads: the values of NumPy, the bits of one thread."""

import hashlib
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import members
import numpy as np
import pytest
from compiled import FORCED, CompiledStep, call, compiled_step, needs_compiler, network_step
from processes import holds_in_child, needs_fork, output, start
from tiles import busy_threads, threads_of_tiles

import mlpcore as mc
from mlpcore.compiler import blas, pool
from mlpcore.compiler.blas_threads import single_threaded
from mlpcore.compiler.draws import TracedStream
from mlpcore.compiler.graph import N
from mlpcore.compiler.program import BoundProgram, Program
from mlpcore.compiler.tiling import DEFAULT, Tiling
from mlpcore.compiler.trace import Tracer
from mlpcore.random import Stream
from mlpcore.training.rules import Rules
from mlpcore.trees import leaves, tree_map
from mlpcore.typing import Batch

pytestmark = needs_compiler
LOSS, _ = members.LOSSES["SoftmaxCrossEntropy"]


@pytest.fixture(autouse=True)
def products_on_one_thread() -> Iterator[None]:
    """As in every call of the library that runs in tiles. OpenBLAS's own threads do not outlast a fork in a call."""
    with single_threaded():
        yield


@pytest.mark.parametrize("rows", [1, 2, 7, 50])
@pytest.mark.parametrize("width", [1, 5, 32])
@pytest.mark.parametrize("first", [0, 3])
def test_draws_in_tiles_have_the_bits_of_the_host(rows: int, width: int, first: int) -> None:
    """Tiles begin in the middle of what one block of the cipher makes."""
    stream = Stream(7, "mask", step=3)

    def product(xp: Any, x: Any, position: Any) -> list[Any]:
        return [x * TracedStream(replace(stream, step=0), position).factors((N, width), 0.6, "float64")]

    x = np.random.default_rng(0).normal(size=(rows, width))
    (found,) = call(product, [x, np.array([3, first], np.uint64)], [(N, width), (2,)], rows, "C", FORCED[0], 2)
    np.testing.assert_array_equal(found, x * stream.factors((first + rows, width), 0.6, "float64")[first:])


@pytest.mark.parametrize(("tiling", "most"), [(DEFAULT._replace(work=1), 200), (Tiling(4, 3, 5, 1), 20)])
def test_a_function_called_for_fewer_rows_has_the_bits_of_one_for_so_many(tiling: Tiling, most: int) -> None:
    """Fewer rows may be in fewer tiles, each of more rows."""

    def function(tracer: Tracer, rows: int, fewer: bool) -> tuple[BoundProgram, Any, Any]:
        x, w = tracer.input((N, 30), "float32"), tracer.input((30, 30), "float32")
        hidden = tracer.tanh(tracer.tanh(x @ w) @ w) @ w
        y = hidden - tracer.mean(hidden, axis=0)
        place = np.zeros((rows, 30), "float32")
        weights = np.random.default_rng(1).normal(size=(30, 30)).astype("float32")
        program = Program(tracer, [y], (), tiling)
        return BoundProgram(program, rows, {x.node: place, w.node: weights}, blas.find(), 2, fewer), place, y

    values = np.random.default_rng(0).normal(size=(most, 30)).astype("float32")
    many, place, y = function(Tracer(), most, True)
    for rows in range(most, 0, -1):
        single, own, z = function(Tracer(), rows, False)
        place[:rows], own[...] = values[:rows], values[:rows]
        many.call(rows)
        single.call()
        np.testing.assert_array_equal(many.output(y.node, rows), single.output(z.node))


def large_step(threads: int, rows: int = 400, layers: tuple = (mc.ReLU(),), tiling: Tiling = DEFAULT) -> CompiledStep:
    """A step with the library's own tiles: several of rows, and several of the vector of all parameters."""
    net = mc.Sequential(mc.Linear(20, 512), *layers, mc.Linear(512, 512), mc.Tanh(), mc.Linear(512, 3))
    step, state = network_step(net, LOSS, mc.Adam(0.01), "float32", Rules())
    _, target, weights = members.loss_arrays("SoftmaxCrossEntropy", rows, "float32")
    x = Stream(0, "x").normal((rows, 20)).astype("float32")
    batch = Batch(x, target, weights, net.noise(Stream(3, "noise"), x.shape, "float32"))
    return compiled_step(step, state, batch, "C", tiling=tiling, threads=threads)


def bits(made: CompiledStep, count: int = 3) -> list[bytes]:
    for _ in range(count):
        made.bound.call()
    return [leaf.tobytes() for leaf in leaves(made.state)]


@pytest.mark.parametrize("rows", [400, 399])
@pytest.mark.parametrize("layer", [mc.ReLU(), mc.BatchNorm(512), mc.LayerNorm(512)], ids=lambda one: type(one).__name__)
def test_the_bits_do_not_depend_on_the_number_of_threads(layer: Any, rows: int) -> None:
    alone = large_step(1, rows, (layer,))
    assert alone.bound.program.source.count("in_tiles(s, phase") >= 2
    expected = bits(alone)
    for threads in (2, 4):
        assert bits(large_step(threads, rows, (layer,))) == expected


def test_python_threads_that_call_at_once_get_the_bits_of_one() -> None:
    expected = bits(large_step(1), 50)
    found: list[Any] = [None] * 4

    steps = [large_step(3) for _ in found]
    ready = threading.Barrier(len(found))

    def work(number: int) -> None:
        ready.wait()
        found[number] = bits(steps[number], 50)

    callers = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(len(found))]
    for one in callers:
        one.start()
    for one in callers:
        one.join(60)
    assert not any(one.is_alive() for one in callers)
    assert found == [expected] * len(found)


@needs_fork
def test_a_child_process_begins_anew_while_another_thread_is_in_a_call() -> None:
    expected, made, busy = bits(large_step(1)), large_step(3), large_step(3)
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            busy.bound.call()

    caller = threading.Thread(target=work)
    caller.start()
    try:
        first = tree_map(np.array, made.state)
        for _ in range(5):
            for leaf, value in zip(leaves(made.state), leaves(first), strict=True):
                leaf[...] = value
            assert holds_in_child(lambda: bits(made) == expected and has_threads(), 30)
    finally:
        over.set()
        caller.join()


def has_threads() -> bool:
    """Whether this process has more than one thread, where the system tells."""
    tasks = "/proc/self/task"
    return not os.path.isdir(tasks) or len(os.listdir(tasks)) > 1


SCRIPT = """
import hashlib, os, sys, threading
from runpy import run_path
if sys.argv[1] == "one core" and hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
this = run_path(sys.argv[2])
bits, large_step = this["bits"], this["large_step"]
print(hashlib.sha256(b"".join(bits(large_step(4)))).hexdigest(), flush=True)
if sys.argv[1] == "exit":  # in the middle of a call of a thread that nobody waits for
    made = large_step(4)
    threading.Thread(target=lambda: bits(made, 10**9), daemon=True).start()
"""


@pytest.mark.parametrize("how", ["one core", "exit"])
def test_a_process_on_one_core_or_at_its_exit_has_the_same_bits_and_ends(how: str) -> None:
    printed = output(start(SCRIPT, how, __file__), 120)
    assert printed == hashlib.sha256(b"".join(bits(large_step(1)))).hexdigest()


def test_tiles_cost_the_memory_of_their_partial_gradients() -> None:
    for layer in (mc.ReLU(), mc.BatchNorm(512)):
        tiled, whole = (large_step(1, layers=(layer,), tiling=Tiling(most)) for most in (4, 1))
        spent = tiled.bound.bytes - whole.bound.bytes
        rounding = whole.bound.bytes * 4 * 15 / 400  # a tile has whole vectors of rows
        assert 0 < spent <= 3 * (tiled.state.params.nbytes + 20 * 64) + rounding  # of every sum, whole cache lines


@pytest.mark.parametrize(
    ("own", "limit", "expected"),
    [("3", 0, 3), ("3", 1, 3), ("", 1, 1), (None, 1, 1), (None, 99, 4), (None, 0, 4), ("0", 0, 4), ("many", 2, 2)],
)
def test_the_number_of_threads_can_be_told(
    own: str | None, limit: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_cores", lambda: 4)
    monkeypatch.setattr(pool, "_LIMIT", limit)
    monkeypatch.delenv("MLPCORE_NUM_THREADS", raising=False)
    if own is not None:
        monkeypatch.setenv("MLPCORE_NUM_THREADS", own)
    assert pool.threads() == expected


@pytest.mark.parametrize(("said", "expected"), [("1", 1), ("2,8", 2), (" 3 ", 3), ("", 0), ("all", 0), ("-1", 0)])
def test_a_number_in_the_environment(said: str, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert pool._number("OMP_NUM_THREADS") == expected


def test_the_limit_is_the_one_that_a_process_begins_with() -> None:
    lines = "import os; import mlpcore.compiler.pool as pool; os.environ['OMP_NUM_THREADS'] = '1'; print(pool._LIMIT)"
    assert output(start(lines, OMP_NUM_THREADS="7")) == "7"


def test_the_cores_are_those_that_the_process_may_use() -> None:
    assert 1 <= pool._cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(("callers", "threads"), [(2, 4), (4, 4), (3, 3)])
def test_several_callers_use_no_more_threads_together_than_one(callers: int, threads: int) -> None:
    """But for the tiles that run when a caller comes."""
    assert max(busy_threads(callers, threads)) == threads


def test_callers_with_threads_of_their_own_use_no_others() -> None:
    mine = {threading.get_ident()}
    assert len(threads_of_tiles()) == 2
    with pool.unused():
        assert threads_of_tiles() == mine
        with pool.unused():
            assert threads_of_tiles() == mine
        assert threads_of_tiles() == mine
    assert len(threads_of_tiles()) == 2
