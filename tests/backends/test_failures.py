"""Too little memory, a missing driver, a kernel that does not compile: one error of mlpcore, with cause and remedy."""

import importlib
import os
import subprocess
import sys
import tracemalloc
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from array_api_compat import device as device_of
from devices import CUDA, HERE, open_place
from fitting import assert_same, state_of, with_extras
from optional import optional

import mlpcore as mc
from mlpcore.backends.backend import Backend
from mlpcore.backends.cupy.drivers import Situation, cause_and_remedy
from mlpcore.layers.containers import children
from mlpcore.memory import OutOfMemory, bytes_asked, describe
from mlpcore.namespace import namespace
from mlpcore.random import Stream
from mlpcore.training.ingest import ingest
from mlpcore.training.memory import columns_kept, fitting_batch, step_bytes

TOO_MUCH = 1 << 45  # numbers: 256 TiB in float64, which no machine has and every library refuses at once
X = Stream(1).normal((50, 5))
Y = Stream(2).normal((50, 3))


@dataclass(frozen=True)
class Glutton:
    """The identity, which asks for more memory than there is for a batch of ``rows`` rows."""

    rows: int
    by_product: bool = False
    row_independent = True

    def output_width(self, n_in: int | None) -> int | None:
        return n_in

    def init(self, rng: Any, dtype: str) -> Any:
        return {}

    def noise(self, stream: Any, shape: Any, dtype: str) -> Any:
        return ()

    def forward(self, params: Any, x: Any, training: Any = None) -> Any:
        if x.shape[0] == self.rows:
            xp = namespace(x)
            if self.by_product:  # a compiler may add up zeros without an array of them
                side = xp.arange(1 << 18, dtype=x.dtype, device=device_of(x))  # 512 GiB; with far more XLA aborts
                tall = xp.expand_dims(side, axis=-1) * x[:1, :]
                asked = tall @ tall.mT
            else:
                asked = xp.zeros(TOO_MUCH, dtype=x.dtype, device=device_of(x))
            x = x + xp.sum(asked)  # what is not used a compiler leaves out
        return x, ()

    def backward(self, params: Any, cache: Any, dy: Any, *, need_dx: bool = True) -> Any:
        return dy, {}


def make(backend: Backend | str, net: Any = None, **words: Any) -> mc.Model:
    by_product = getattr(backend, "name", backend) in ("jax", "numpy", "cupy")
    net = net or mc.Sequential(mc.Linear(5, 8), Glutton(2, by_product), mc.Tanh(), mc.Linear(8, 3))
    return mc.Model(net, mc.SquaredError(), mc.Adam(0.01), backend=backend, dtype="float64", **words)


# --- out of memory


@pytest.mark.parametrize("place", [*[place for place in HERE if place != "jax"], *CUDA])
def test_a_step_without_memory_leaves_the_last_whole_step(place: str) -> None:
    """The fourth batch is the ragged one of 2 rows, which asks for too much: the library's own error, for real."""
    model, expected = make(open_place(place)), make(open_place(place))
    with pytest.raises(mc.OutOfMemoryError) as caught:
        model.fit(X, Y, epochs=1, batch_size=16, shuffle=False)
    said = str(caught.value)
    assert "in epoch 1, after step 3" in said and "at its last whole step" in said, said
    assert "were asked for" in said and "batch" in said, said
    assert isinstance(caught.value, MemoryError) and caught.value.__cause__ is not None
    expected.fit(X[:48], Y[:48], epochs=1, batch_size=16, shuffle=False)
    assert_same(state_of(model), state_of(expected), but=("epoch",))


def test_a_shortage_on_jax_leaves_the_last_whole_chunk() -> None:
    """Apart, because XLA on the CPU makes no such array at all: the error stands in for the one of a device."""
    jax = optional("jax")
    model = make(open_place("jax"), mc.Sequential(mc.Linear(5, 3)))
    run, before = model.trainer.run, []

    def failing(state: Any, data: Any, order: np.ndarray, draw: Any) -> Any:
        if order.shape[1] == 2:
            before.append(state_of(model))
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8589934592 bytes.")
        return run(state, data, order, draw)

    model.trainer.run = failing
    with pytest.raises(mc.OutOfMemoryError, match=r"8\.0 GiB were asked for, in epoch 1, after step 3.*try half"):
        model.fit(X, Y, epochs=1, batch_size=16)
    assert_same(state_of(model), before[0])


@pytest.mark.parametrize("place", ["torch", *CUDA])
def test_a_prediction_without_memory_says_so(place: str) -> None:
    model = make(open_place(place))
    with pytest.raises(mc.OutOfMemoryError, match=r"out of memory on .*smaller batch_size"):
        model.predict(X[:2])
    assert model.predict(X[:3]).shape == (3, 3)


def test_another_error_stays_what_it_is() -> None:
    error = RuntimeError("mine")

    def fail(*_: Any) -> Any:
        raise error

    for place in HERE:
        model = make(open_place(place), mc.Linear(5, 3))
        model.trainer.run = fail
        with pytest.raises(RuntimeError) as caught:
            model.fit(X, Y, epochs=1)
        assert caught.value is error, place


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Out of memory allocating 8,589,934,592 bytes (allocated so far: 5 bytes).", 1 << 33),
        ("RESOURCE_EXHAUSTED: Out of memory allocating 140737488355328 bytes.", 1 << 47),
        ("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 1.50GiB.", 3 << 29),
        ("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.25 GiB", 20 << 20),
        ("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1024 bytes. Error code 12", 1024),
        ("Unable to allocate 256. TiB for an array with shape (2,) and data type float64", 256 << 40),
        ("Unable to allocate 2.00 EiB for an array with shape (2,) and data type float64", 2 << 60),
        ("cudaErrorMemoryAllocation: out of memory", None),
        ("allocate what you like", None),
    ],
)
def test_the_bytes_asked_for_are_read_from_what_libraries_write(text: str, expected: int | None) -> None:
    assert bytes_asked(text) == expected


def test_a_shortage_is_told_as_far_as_it_is_known() -> None:
    assert describe(OutOfMemory("cuda:0", None, None)) == "out of memory on cuda:0"
    assert describe(OutOfMemory("cuda:0", 3 << 30, 700)) == (
        "out of memory on cuda:0: 3.0 GiB were asked for, 700 bytes are free"
    )


@pytest.mark.parametrize("free", [0, 10**5, 10**6, 10**7, 10**9])
@pytest.mark.parametrize("rows", [1, 2, 100, 1 << 14])
def test_the_batch_that_fits_does_and_the_next_does_not(free: int, rows: int) -> None:
    sizes: dict[str, int] = {"kept": 300, "parameters": 5000, "itemsize": 4}
    batch = fitting_batch(free, rows=rows, **sizes)
    assert 0 <= batch < rows and batch & (batch - 1) == 0
    if batch:
        assert step_bytes(300, 5000, batch, 4) <= free
    if 2 * max(batch, 0.5) < rows:
        assert step_bytes(300, 5000, int(2 * max(batch, 0.5)), 4) > free


NETS = {
    "one layer": mc.Linear(64, 10),
    "relu": mc.Sequential(mc.Linear(64, 96), mc.ReLU(), mc.Linear(96, 96), mc.ReLU(), mc.Linear(96, 10)),
    "mish": mc.Sequential(mc.Linear(64, 96), mc.Mish(), mc.Linear(96, 10)),
    "gelu": mc.Sequential(
        mc.Linear(64, 96), mc.Residual(mc.Sequential(mc.Linear(96, 96), mc.GELU())), mc.Linear(96, 10)
    ),
    "norms": mc.Sequential(mc.Linear(64, 96), mc.LayerNorm(96), mc.Dropout(0.3), mc.BatchNorm(96), mc.Linear(96, 10)),
    "wide": mc.Sequential(mc.Linear(64, 1200), mc.ReLU(), mc.Linear(1200, 10)),
}


@pytest.mark.parametrize("rows", [8, 4096])
@pytest.mark.parametrize("net", NETS)
def test_the_estimate_is_above_what_a_step_takes_and_near_it(net: str, rows: int) -> None:
    """Measured on the definitions, as they run on array-api-strict: its arrays are NumPy's, which are traced."""
    model = mc.Model(NETS[net], mc.SquaredError(), mc.AdamW(), backend="array_api_strict")
    x, y = Stream(1).normal((rows, 64)), Stream(2).normal((rows, 10))
    with model.backend.scope("float32"):
        data, _ = ingest(model.trainer, x, y)
        drawn = (model.net.noise(Stream(0), (rows, 64), "float32"),)
        for _ in range(2):  # the second time, with all imported and remembered
            tracemalloc.start()
            model.trainer.run(model.trainer.state, data, np.arange(rows)[None], lambda i: drawn)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    estimate = step_bytes(columns_kept(model.net, 64), model.layout.size, rows, 4)
    assert peak <= estimate + 1e5, "the estimate is too low"
    assert estimate <= 4 * peak + 2e5, "the estimate is far too high"


def test_columns_of_all_outputs_are_counted() -> None:
    assert columns_kept(mc.Linear(4, 3), 4) == 4 + 3
    assert columns_kept(mc.Sequential(mc.Linear(4, 8), mc.ReLU(), mc.Linear(8, 3)), 4) == 4 + 8 + 8 + 3
    inner = mc.Sequential(mc.Linear(8, 8), mc.Tanh())
    assert columns_kept(mc.Sequential(mc.Linear(4, 8), mc.Residual(inner)), 4) == 4 + 8 + 16
    assert children(inner)


# --- CuPy: its own errors, which need no device


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The library as it is; in the place of a device, answers: 1 GiB free, and 1 GiB more in the pool."""
    module = optional("cupy")

    class Device:
        def __init__(self, number: int) -> None:
            self.number = number

        def __enter__(self) -> None:
            """Nothing is switched."""

        def __exit__(self, *_: Any) -> None:
            """Nothing is switched back."""

    pool = SimpleNamespace(get_limit=lambda: 0, total_bytes=lambda: 3 << 30, free_bytes=lambda: 1 << 30)
    monkeypatch.setattr(module.cuda, "Device", Device)
    monkeypatch.setattr(module.cuda.runtime, "memGetInfo", lambda: (1 << 30, 8 << 30))
    monkeypatch.setattr(module, "get_default_memory_pool", lambda: pool)
    return module


def on_cupy(cupy: Any) -> Backend:
    """array-api-strict with the errors of CuPy: what the backend makes of them, without a device."""
    from mlpcore.backends.cupy.errors import device_errors
    from mlpcore.backends.device_errors import guarded

    out_of_memory, explain = device_errors(cupy, 0)
    backend = mc.get_backend("array_api_strict")
    scoped = replace(backend, scope=lambda dtype: guarded(backend.scope(dtype), explain))
    return with_extras(scoped, out_of_memory=out_of_memory)


def raising(model: mc.Model, error: Exception) -> mc.Model:
    """The model, whose second chunk raises the error."""
    run = model.trainer.run

    def failing(state: Any, data: Any, order: np.ndarray, draw: Any) -> Any:
        if order.shape[1] == 2:
            raise error
        return run(state, data, order, draw)

    model.trainer.run = failing
    return model


@pytest.mark.parametrize("kind", ["pool", "runtime", "cublas"])
def test_cupy_without_memory_says_what_was_asked_what_is_free_and_what_fits(cupy: Any, kind: str) -> None:
    class CUBLASError(RuntimeError):
        """As the library's, which cannot be imported where there is no cuBLAS."""

    error = {
        "pool": lambda: cupy.cuda.memory.OutOfMemoryError(5 << 30, 3 << 30),
        "runtime": lambda: cupy.cuda.runtime.CUDARuntimeError(2),
        "cublas": lambda: CUBLASError("CUBLAS_STATUS_ALLOC_FAILED"),
    }[kind]()
    model = raising(make(on_cupy(cupy), mc.Sequential(mc.Linear(5, 3))), error)
    with pytest.raises(mc.OutOfMemoryError, match=r"on cuda:0: .*2\.0 GiB are free.*batch_size=1 should fit") as caught:
        model.fit(X, Y, epochs=1, batch_size=16)
    assert ("5.0 GiB were asked for" in str(caught.value)) == (kind == "pool")
    assert state_of(model)["step"] == 3
    assert caught.value.__cause__ is error


def test_the_limit_of_cupys_pool_counts_as_what_is_free(cupy: Any) -> None:
    from mlpcore.backends.cupy.errors import free_memory

    assert free_memory(cupy, 0) == 2 << 30
    pool = cupy.get_default_memory_pool()
    pool.get_limit = lambda: (3 << 30) + 1000
    assert free_memory(cupy, 0) == (1 << 30) + 1000
    pool.get_limit = lambda: 1 << 30
    assert free_memory(cupy, 0) == 1 << 30


def test_a_kernel_that_does_not_compile_is_one_error_with_the_remedy(cupy: Any) -> None:
    error = cupy.cuda.compiler.CompileException("k.cu(3): error: no such type\nmore", "source", "k.cu", (), "nvrtc")
    model = raising(make(on_cupy(cupy), mc.Sequential(mc.Linear(5, 3))), error)
    said = r"^cuda:0: a kernel did not compile: k\.cu\(3\): error: no such type; pip install 'cupy-.*\[ctk\]'.*"
    with pytest.raises(mc.DeviceError, match=said) as caught:
        model.fit(X, Y, epochs=1, batch_size=16)
    assert "\n" not in str(caught.value) and caught.value.__cause__ is error
    assert state_of(model)["step"] == 3, "the steps before it stand"


def test_a_device_that_breaks_down_is_one_error_with_the_remedy(cupy: Any) -> None:
    error = cupy.cuda.runtime.CUDARuntimeError(700)
    with pytest.raises(mc.DeviceError, match=r"cudaErrorIllegalAddress.*restart it from a checkpoint"):
        raising(make(on_cupy(cupy), mc.Linear(5, 3)), error).fit(X, Y, epochs=1, batch_size=16)


# --- CuPy without a device

NO_DRIVER = "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version"


@pytest.mark.parametrize(
    ("driver", "runtime", "hidden", "cause", "remedy"),
    [
        (0, 13020, {}, "there is no driver", "install the GPU's driver"),
        (12040, 13020, {}, "the driver is for CUDA 12.4, the wheel for 13.2", "pip install 'mlpcore[cuda12]'"),
        (11080, 12090, {}, "the driver is for CUDA 11.8, the wheel for 12.9", "install a newer driver"),
        (13000, 13020, {"CUDA_VISIBLE_DEVICES": ""}, "CUDA_VISIBLE_DEVICES='' hides", "unset CUDA_VISIBLE_DEVICES"),
        (13000, 13020, {"CUDA_VISIBLE_DEVICES": "-1"}, "CUDA_VISIBLE_DEVICES='-1' hides", "unset CUDA_VISIBLE_DEVICES"),
        (13000, 13020, {"CUDA_VISIBLE_DEVICES": "7"}, "cudaErrorNoDevice", "whether CUDA_VISIBLE_DEVICES='7' names"),
        (13000, 13020, {"CUDA_VISIBLE_DEVICES": "MIG-1"}, "cudaErrorNoDevice", "'MIG-1' names one of its parts, which"),
        (13000, 13020, {}, "cudaErrorNoDevice", "see whether nvidia-smi lists a GPU, or use backend='numpy'"),
    ],
)
def test_no_device_has_a_cause_and_a_remedy(
    driver: int, runtime: int, hidden: dict[str, str], cause: str, remedy: str
) -> None:
    said = NO_DRIVER if driver < runtime // 1000 * 1000 else "cudaErrorNoDevice: no CUDA-capable device is detected"
    found = cause_and_remedy(Situation("cupy-cuda13x 14.2.0", said, driver, runtime, hidden))
    assert cause in found[0] and said in found[0], found
    assert remedy in found[1], found
    assert ("mlpcore[cuda12]" in found[1]) == (driver == 12040)


@pytest.mark.parametrize(
    ("visible", "said"),
    [
        (None, "there is no driver (cudaErrorInsufficientDriver"),
        ("", "CUDA_VISIBLE_DEVICES='' hides every device (cuda"),
    ],
)
def test_a_wheel_without_a_device_says_why_for_real(visible: str | None, said: str) -> None:
    """In a process of its own: the runtime reads the variable once. Model, get_backend and the command say the same."""
    module = optional("cupy")
    if visible is None and module.cuda.is_available():
        pytest.skip("this machine has a GPU, and so a driver")
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    environment |= {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    code = """
import mlpcore as mc
net, loss = mc.Linear(2, 1), mc.SquaredError()
for open in (lambda: mc.get_backend("cupy", device=0), lambda: mc.Model(net, loss, backend="cupy")):
    try:
        open()
    except mc.BackendUnavailable as error:
        print(error)
"""
    runs = [[sys.executable, "-c", code], [sys.executable, "-m", "mlpcore", "train", "digits", "--backend", "cupy"]]
    done = [subprocess.run(run, capture_output=True, text=True, timeout=120, env=environment) for run in runs]
    assert [one.returncode for one in done] == [0, 2], done
    lines = done[0].stdout.splitlines() + done[1].stderr.splitlines()
    if importlib.util.find_spec("sklearn") is None:
        lines = lines[:2]
    assert len(lines) in (2, 3), lines
    for line in lines:
        assert f"{said}" in line and "; " in line, line


# --- on a device


@pytest.mark.gpu
def test_the_batch_that_is_said_to_fit_does() -> None:
    """With a limit on CuPy's pool in the place of a small device."""
    backend = open_place("cupy")
    pool = importlib.import_module("cupy").get_default_memory_pool()
    before = pool.get_limit()
    net = mc.Sequential(mc.Linear(64, 512), mc.Mish(), mc.Linear(512, 512), mc.Mish(), mc.Linear(512, 10))
    x, y = Stream(1).normal((1 << 16, 64)), Stream(2).normal((1 << 16, 10))
    model = mc.Model(net, mc.SquaredError(), backend=backend)
    pool.free_all_blocks()
    pool.set_limit(size=pool.used_bytes() + (200 << 20))
    try:
        with pytest.raises(mc.OutOfMemoryError, match="should fit") as caught:
            model.fit(x, y, epochs=1, batch_size=1 << 16)
        batch = int(str(caught.value).partition("batch_size=")[2].split()[0])
        assert len(model.fit(x, y, epochs=1, batch_size=batch)) == 1
    finally:
        pool.set_limit(size=before)


@pytest.mark.gpu
def test_a_kernel_that_does_not_compile_on_the_device() -> None:
    backend = open_place("cupy")
    cupy = importlib.import_module("cupy")
    kernel = cupy.RawKernel('extern "C" __global__ void broken(nothing* x) {}', "broken")
    with pytest.raises(mc.DeviceError, match="a kernel did not compile"), backend.scope("float32"):
        kernel((1,), (1,), (cupy.zeros(1),))


@pytest.mark.gpu
def test_an_array_on_another_device_is_named_with_the_way_out() -> None:
    cupy = importlib.import_module("cupy") if open_place("cupy") else None
    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("this machine has one GPU")
    with cupy.cuda.Device(1):
        there = cupy.asarray(X)
    with pytest.raises(mc.DataError, match=r"cuda:1, expected cuda:0.*cupy\.cuda\.Device\(0\)"):
        make(mc.get_backend("cupy", 0)).predict(there)
