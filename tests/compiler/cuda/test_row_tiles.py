"""One kernel for all work by rows: it computes what the kernels of single operations compute, to rounding."""

from contextlib import suppress
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import cuda_host
import graphs
import numpy as np
import pytest
from devices import gpu, open_place
from printing import CASES, Case, network, programs, rows_of
from rank_fits import CASES as RANK_CASES
from rank_fits import fitted
from rounding import differences
from thread_ranks import checked, on_ranks

import mlpcore as mc
from mlpcore.backends.backend import Backend
from mlpcore.backends.compilation import ONE_KERNEL
from mlpcore.backends.compiled.captured_steps import CapturedSteps, Captures
from mlpcore.backends.cupy.device import allow
from mlpcore.compiler.cuda import row_tiles
from mlpcore.compiler.cuda.bound import BoundDeviceProgram
from mlpcore.compiler.cuda.program import DeviceProgram
from mlpcore.compiler.cuda.tile_memory import NotInTiles
from mlpcore.compiler.graph import N
from mlpcore.compiler.trace import Tracer
from mlpcore.random import Stream

ROWS, BATCH = 77, 45  # a batch of three tiles, the last of 13 rows, and one of two
PLACES = [pytest.param("host", marks=cuda_host.needed), gpu("cupy")]
# Their layers have an axis before the rows, or read a mean over all rows.
REFUSED = {name for name in CASES if "BatchNorm" in name or "Members" in name}
WIDE = ("workload", "784", "optimizer", "schedule")  # too wide, or the same work by rows as others
NARROW = [name for name in CASES if name not in REFUSED and not name.startswith(WIDE)]


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> Backend:
    """Kernels on the CPU by g++, and CuPy."""
    return cuda_host.backend() if request.param == "host" else open_place("cupy")


def trained(place: Backend, compile: str, case: Case, rows: int = ROWS, batch: int = BATCH, **words: Any) -> mc.Model:
    """A model after two epochs with weights of the rows, one of them 0."""
    x, target = rows_of(case, rows)
    weights = 0.5 + Stream(2).uniform((rows,))
    weights[rows // 2] = 0
    words = {"backend": place, "compile": compile, **case.words, **words}
    model = mc.Model(case.net, case.loss, case.optimizer, **words)
    model.fit(x, target, epochs=2, batch_size=batch, sample_weight=weights)
    assert model.compiled.kind == "CUDA" and ("row_tiles(" in model.compiled.source) == (compile == ONE_KERNEL)
    return model


def params(model: mc.Model) -> np.ndarray:
    return model.backend.to_numpy(model.trainer.state.params)


def assert_near(found: np.ndarray, right: np.ndarray, error: float) -> None:
    np.testing.assert_allclose(found, right, rtol=0, atol=error * np.max(np.abs(right)))


# --- the law, over all members


@pytest.mark.parametrize("name", NARROW)
def test_every_member(name: str, place: Backend) -> None:
    """In float64, where other orders of the sums change no more than the last bits."""
    case = CASES[name]
    words, error = ({}, 2e-6) if "precision" in case.words else ({"dtype": "float64"}, 1e-12)
    found, right = (trained(place, how, case, **words) for how in (ONE_KERNEL, "auto"))
    assert_near(params(found), params(right), error)


@pytest.mark.parametrize("blocks", [1, 2, pytest.param(128, marks=pytest.mark.long)])
@pytest.mark.parametrize(
    ("widths", "rows"),
    [((1, 2), 1), ((2, 3, 1), 15), ((5, 33, 7), 16), ((64, 64), 17), ((20, 64, 64, 10), 100), ((9, 128, 128, 2), 70)],
)
@pytest.mark.parametrize("precision", ["highest", "tf32", "bfloat16"])
def test_gradients(
    widths: tuple[int, ...], rows: int, blocks: int, precision: str, place: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step of gradient descent against float64, with blocks that have one tile, several, or all of them."""
    monkeypatch.setattr(row_tiles, "MOST_BLOCKS", blocks)
    layers = [layer for sizes in pairwise(widths) for layer in (mc.Linear(*sizes), mc.Tanh())]
    net = mc.Sequential(*layers[:-1])
    x, y = Stream(3).normal((rows, widths[0])), Stream(4).normal((rows, widths[-1]))

    def gradient(**words: Any) -> np.ndarray:
        model = mc.Model(net, mc.HalfSquaredError(), mc.SGD(1.0), **words)
        before = params(model).astype("float64")
        model.fit(x, y, epochs=1, batch_size=rows)
        return before - params(model)

    right = gradient(dtype="float64")
    words = {"precision": precision, "backend": place}
    found, others = gradient(compile=ONE_KERNEL, **words), gradient(**words)
    scale = np.max(np.abs(right))
    error, error_of_others = (np.max(np.abs(one - right)) / scale for one in (found, others))
    assert error < 2e-6 + 2 * error_of_others and error < {"highest": 4e-6, "tf32": 4e-3, "bfloat16": 4e-2}[precision]


# --- bits


def dropout(member: int) -> mc.Model:
    return mc.Sequential(mc.Linear(5, 40), mc.ReLU(), mc.Dropout(0.1 + 0.1 * member), mc.Linear(40, 3))


def models(place: Backend, count: int = 3, **words: Any) -> list[mc.Model]:
    """Members with rates of their own."""
    words = {"backend": place, "compile": ONE_KERNEL, **words}
    return [
        mc.Model(dropout(i), mc.SoftmaxCrossEntropy(), mc.Adam(0.01 * (i + 1)), seed=i, **words) for i in range(count)
    ]


def test_a_member_of_a_stack_has_the_bits_of_the_model_alone(place: Backend) -> None:
    """Its products too, unlike those of cuBLAS."""
    x, target = rows_of(CASES["layer ReLU"], ROWS)
    alone, together = models(place), models(place)
    for model in alone:
        model.fit(x, target, epochs=2, batch_size=BATCH)
    mc.Stack(together).fit(x, target, epochs=2, batch_size=BATCH)
    for model, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(params(model), params(other))


def test_captured_steps_have_the_bits_of_single_launches(place: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    x, target = rows_of(CASES["layer ReLU"], ROWS)
    launched, run = [], CapturedSteps.run

    def counted(self: CapturedSteps, varying: Any, first: int) -> None:
        launched.append(self.count)
        run(self, varying, first)

    monkeypatch.setattr(CapturedSteps, "run", counted)
    captured = models(place, 1)[0]
    captured.fit(x, target, epochs=2, batch_size=4)
    assert 16 in launched
    monkeypatch.setattr(Captures, "find", lambda *_: None)
    single = models(place, 1)[0]
    single.fit(x, target, epochs=2, batch_size=4)
    np.testing.assert_array_equal(params(captured), params(single))


def test_equal_fits_have_equal_bits(place: Backend) -> None:
    first, second = (params(trained(place, ONE_KERNEL, CASES["layer Dropout"])) for _ in range(2))
    np.testing.assert_array_equal(first, second)


# --- what is launched, and what is refused


def launches(net: Any, columns: int, classes: int, batch: int) -> list[str]:
    case = Case(net, columns=columns, classes=classes, batch=batch)
    return programs(case, "float32", ONE_KERNEL)[0][0].bound().launches


def test_launches_of_a_step() -> None:
    """13 kernels and products become four launches, three where all rows are one tile."""
    net = mc.Sequential(mc.Linear(64, 100), mc.ReLU(), mc.Linear(100, 10))
    assert launches(net, 64, 10, 200) == ["row_tiles", "row_tiles_join", "loop12", "loop14"]
    assert launches(net, 64, 10, 16) == ["row_tiles", "loop12", "loop14"]


def test_memory_of_rows_is_that_of_blocks() -> None:
    """Of what only the kernel uses, device memory holds nothing."""
    net = mc.Sequential(mc.Linear(64, 100), mc.ReLU(), mc.Linear(100, 10))
    program = programs(Case(net, columns=64, classes=10, batch=200), "float32", ONE_KERNEL)[0][0]
    own = [node for node in program.bound().memory.arrays if node.kind not in ("input", "constant")]
    assert not any(dim.__class__.__name__ == "Rows" for node in own for dim in node.shape)


@pytest.mark.parametrize(
    ("net", "reason"),
    [
        (network(mc.BatchNorm(4)), r"BatchNorm\.forward needs a result of all rows"),
        (
            mc.Sequential(mc.Linear(5, 2000), mc.Linear(2000, 3)),
            r"the arrays of 16 rows take \d+ bytes of shared memory",
        ),
    ],
)
def test_what_cannot_be_one_kernel_is_an_error_that_says_why(net: Any, reason: str) -> None:
    with pytest.raises(mc.ConfigurationError, match=rf"cannot be one kernel \({reason}.*leave out compile"):
        programs(Case(net), "float32", ONE_KERNEL)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_members_that_cannot_be_one_kernel(name: str) -> None:
    with pytest.raises(
        mc.ConfigurationError,
        match=r"cannot be one kernel \(.* (cannot be divided by rows|needs a result of all rows)\)",
    ):
        programs(CASES[name], "float32", ONE_KERNEL)


def test_only_cuda_devices_have_one_kernel() -> None:
    with pytest.raises(mc.ConfigurationError, match="Model on numpy: compile is 'one kernel', expected"):
        mc.Model(mc.Linear(2, 1), mc.HalfSquaredError(), compile=ONE_KERNEL)


def test_ranks_compute_gradients_in_one_kernel(place: Backend) -> None:
    """Their update, which has no rows, stays as it is."""
    words = {"epochs": 2, "backend": place}
    single, _ = fitted(RANK_CASES["plain"], None, compile="auto", **words)
    for model, _ in checked(on_ranks(2, lambda ranks: fitted(RANK_CASES["plain"], ranks, compile=ONE_KERNEL, **words))):
        assert "row_tiles(" in model.compiled.source
        np.testing.assert_allclose(params(model), params(single), rtol=0, atol=1e-12)


def test_a_device_with_too_little_shared_memory() -> None:
    """One of compute capability 7.5 has 64 KB for a block; 2 KB of them are those of sums."""
    place = SimpleNamespace(id=0, attributes={"MaxSharedMemoryPerBlockOptin": 64 << 10})
    cupy, kernel = SimpleNamespace(cuda=SimpleNamespace(Device=lambda: place)), SimpleNamespace()
    allow(cupy, kernel, 62 << 10)
    assert kernel.max_dynamic_shared_size_bytes == 62 << 10
    with pytest.raises(mc.ConfigurationError, match="takes 65600 bytes of shared memory, and cuda:0 has 65536"):
        allow(cupy, kernel, (62 << 10) + 64)


# --- a function that is no training step


@cuda_host.needed
def test_arrays_that_other_kernels_write_and_read() -> None:
    """Their memory is used by all blocks at once, so that what comes late in the kernel does not take the place of what
    other blocks still have to read."""
    rows, draws = 70, np.random.default_rng(0)
    tracer = Tracer()
    shapes = (3, N, 4), (4, 6), (6, 8), (3, N, 8)
    inputs = [tracer.input(shape, "float64") for shape in shapes]
    before, first, second, after = inputs
    hidden = tracer.matmul(tracer.sum(before, axis=0), first)
    result = after * tracer.expand_dims(tracer.matmul(tracer.tanh(hidden), second) + 1, axis=0)
    program = DeviceProgram(tracer, [result, tracer.sum(hidden, axis=0)], one_kernel=True)
    arrays = [draws.normal(size=[rows if dim is N else dim for dim in shape]) for shape in shapes]
    given = {one.node: array.reshape(-1) for one, array in zip(inputs, arrays, strict=True)}
    bound = BoundDeviceProgram(program, rows, given, cuda_host.device())
    bound.call()
    kernel = bound.launches.index("row_tiles")
    assert 0 < kernel < len(bound.launches) - 2  # others come before and after it
    right = np.sum(arrays[0], axis=0) @ arrays[1]
    np.testing.assert_allclose(bound.output(tracer.graph.outputs[1]), right.sum(axis=0), atol=1e-12)
    right = arrays[3] * (np.tanh(right) @ arrays[2] + 1)
    np.testing.assert_allclose(bound.output(tracer.graph.outputs[0]), right, atol=1e-12)


class InTiles(DeviceProgram):
    """A program with work by rows, in one kernel."""

    def __init__(self, *words: Any) -> None:
        super().__init__(*words, one_kernel=True)
        if self.row_tiles is None:
            raise NotInTiles("it has no work by rows")


@pytest.mark.parametrize("first", [0, 60, pytest.param(120, marks=pytest.mark.long)])
@cuda_host.needed
def test_random_graphs(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that have work by rows which can be one kernel, on three blocks at most."""
    monkeypatch.setattr(row_tiles, "MOST_BLOCKS", 3)
    monkeypatch.setattr(graphs, "program_of", lambda *_: InTiles)
    found = 0
    for seed in range(first, first + 60):
        graph = graphs.random_graph(seed, rows := (1, 17, 40, 70)[seed % 4])
        with suppress(NotInTiles):
            results = graphs.compiled([graph], rows, "CUDA")[0]
            assert differences(results, graph)[0] == [], seed
            found += 1
    assert found > 10
