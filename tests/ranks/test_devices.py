"""Sums from device to device: what NCCL is asked for, and when devices are connected at all."""

import contextlib
import sys
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mpi_jobs
import numpy as np
import pytest
from devices import open_place
from rank_fits import CASES, X, fitted
from thread_ranks import checked, on_ranks

import mlpcore as mc
from mlpcore.backends.cupy.nccl import DeviceSums, connect
from mlpcore.backends.cupy.opening import device_count, import_cupy
from mlpcore.distributed.on_backend import OnBackend, on_backend

calls: list[tuple[Any, ...]] = []


@dataclass
class Pointer:
    ptr: int


@dataclass
class Vector:
    """As much of a CuPy array as NCCL is told."""

    name: str
    size: int
    ptr: int

    @property
    def dtype(self) -> Any:
        return np.dtype(self.name)

    @property
    def data(self) -> Pointer:
        return Pointer(self.ptr)


@dataclass
class FakeNccl:
    """Records the calls of NCCL in their order."""

    available: bool = True
    NCCL_FLOAT32: int = 7
    NCCL_FLOAT64: int = 8
    NCCL_SUM: int = 0
    calls: list[tuple[Any, ...]] = field(default_factory=list)

    def get_unique_id(self) -> str:
        self.calls.append(("identity",))
        return "identity"

    def NcclCommunicator(self, *arguments: Any) -> Any:  # noqa: N802  # the name in CuPy
        self.calls.append(("communicator", *arguments))
        return SimpleNamespace(
            allReduce=lambda *words: self.calls.append(("allReduce", *words)),
            abort=lambda: self.calls.append(("abort",)),
        )


def fake_cupy(nccl: Any) -> Any:
    @contextlib.contextmanager
    def device(number: int) -> Any:
        nccl.calls.append(("device", number))
        yield
        nccl.calls.append(("device before",))

    stream = SimpleNamespace(ptr=99)
    cuda = SimpleNamespace(Device=device, get_current_stream=lambda: stream)
    return SimpleNamespace(cuda=cuda, ascontiguousarray=lambda x: x)


def test_the_calls_of_nccl_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    nccl = FakeNccl()
    monkeypatch.setitem(sys.modules, "cupy.cuda.nccl", nccl)
    connected = connect(fake_cupy(nccl), 1)
    assert connected is not None
    sums = connected(lambda make: make(), 4, 2)
    vector = Vector("float32", 12, 1000)
    assert sums(vector) is vector
    sums(Vector("float64", 5, 2000))
    sums.abort()
    assert nccl.calls == [
        ("device", 1),
        ("identity",),
        ("communicator", 4, "identity", 2),
        ("device before",),
        ("allReduce", 1000, 1000, 12, 7, 0, 99),  # in place, on the current stream
        ("allReduce", 2000, 2000, 5, 8, 0, 99),
        ("abort",),
    ]


def test_cupy_without_nccl_connects_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """NCCL may be missing, or the module of CuPy."""
    nccl = FakeNccl(available=False)
    monkeypatch.setitem(sys.modules, "cupy.cuda.nccl", nccl)
    assert connect(fake_cupy(nccl), 0) is None
    monkeypatch.setitem(sys.modules, "cupy.cuda.nccl", None)
    assert connect(SimpleNamespace(cuda=SimpleNamespace()), 0) is None


@pytest.mark.gpu
def test_the_wrapper_of_nccl_is_found_where_it_is() -> None:
    """CuPy has no attribute for it before the module is imported."""
    backend = open_place("cupy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CuPy's, of a missing library
        connected = backend.extras.connect()
        nccl = pytest.importorskip("cupy.cuda.nccl", reason="this CuPy has no NCCL")
    assert (connected is not None) == nccl.available


def test_all_ranks_get_the_identity_that_rank_0_has_made() -> None:
    nccl = FakeNccl()

    def work(ranks: Any) -> Any:
        return DeviceSums(fake_cupy(nccl), nccl, ranks.on_first(nccl.get_unique_id), ranks.size, ranks.rank)

    checked(on_ranks(3, work))
    assert nccl.calls[0] == ("identity",)
    assert sorted(nccl.calls[1:]) == [("communicator", 3, "identity", rank) for rank in range(3)]


class HostSums:
    """Adds up vectors as devices would, but through the ranks that share them."""

    def __init__(self, ranks: Any) -> None:
        self.ranks, self.count = ranks, 0

    def __call__(self, flat: Any) -> Any:
        self.count += 1
        return self.ranks.allreduce_sum(np.asarray(flat))

    def abort(self) -> None:
        self.ranks.abort("sums")


class Device(str):
    """The device "cpu" to NumPy, with a number of its own."""

    def __new__(cls, number: int) -> "Device":
        device = super().__new__(cls, "cpu")
        device.number = number
        return device

    def __str__(self) -> str:
        return f"gpu:{self.number}"


def device_backend(ranks: Any, number: int) -> Any:
    numpy = mc.get_backend("numpy")
    extras = replace(numpy.extras, connect=lambda: lambda share, size, rank: HostSums(ranks))
    return replace(numpy, name="device", device=Device(number), extras=extras)


def test_devices_are_connected_where_each_rank_has_one_of_its_own() -> None:
    def work(ranks: Any) -> tuple[bool, bool, bool]:
        apart = OnBackend(ranks, device_backend(ranks, ranks.rank)).connect() is not None
        shared = OnBackend(ranks, device_backend(ranks, 0)).connect() is not None
        return apart, shared, on_backend(ranks, mc.get_backend("numpy")) is ranks

    assert checked(on_ranks(2, work)) == [(True, False, True)] * 2


def test_a_model_on_one_rank_alone_waits_for_nobody() -> None:
    """Its devices are connected at the first sum: rank 0 may load a model, and predict."""

    def work(ranks: Any) -> Any:
        words = {"backend": device_backend(ranks, ranks.rank), "distributed": ranks}
        return mc.Model(mc.Linear(7, 1), mc.SquaredError(), **words).predict(X) if ranks.rank == 0 else None

    assert checked(on_ranks(2, work))[0].shape == (103, 1)


@pytest.mark.parametrize("apart", [True, False])
def test_a_fit_sums_from_device_to_device_or_through_the_host(apart: bool) -> None:
    whole, _ = fitted(CASES["validation"], None)

    def work(ranks: Any) -> Any:
        model, _ = fitted(CASES["validation"], ranks, backend=device_backend(ranks, ranks.rank if apart else 0))
        return model

    for model in checked(on_ranks(2, work)):
        sums = model.trainer.communicator.sums
        assert (sums.count if apart else sums) == (5 * 6 if apart else None)  # epochs times batches
        np.testing.assert_allclose(model.predict(X), whole.predict(X), rtol=0, atol=1e-12)


@pytest.mark.gpu
@pytest.mark.parametrize("case", ["weights", "dropout", "average", "few rows", "validation"])
def test_two_ranks_on_one_gpu_equal_one_process(case: str) -> None:
    """Their vectors go through the host, as NCCL takes one rank for a device."""
    backend = open_place("cupy")
    whole, history = fitted(CASES[case], None, backend=backend, compile="auto")
    found = checked(on_ranks(2, lambda ranks: fitted(CASES[case], ranks, backend=backend, compile="auto")))
    for model, own in found:
        np.testing.assert_allclose(model.predict(X), whole.predict(X), rtol=0, atol=1e-12)
        np.testing.assert_allclose(own["loss"], history["loss"], rtol=1e-11)


@pytest.mark.gpu
def test_a_rank_on_every_gpu_equals_one_process(tmp_path: Path) -> None:
    """Their vectors go from GPU to GPU."""
    count = open_place("cupy") and device_count(import_cupy())
    if count < 2:
        pytest.skip("one GPU: sums of NCCL are not shown by this run")
    status, errors = mpi_jobs.run(2, "fits", tmp_path, "cupy", "weights", "dropout", "validation")
    assert status == 0, errors
    for name in ("weights", "dropout", "validation"):
        model, _ = fitted(CASES[name], None, epochs=34, backend="cupy", compile="auto")
        for rank in range(2):
            found = np.load(tmp_path / f"{name}.{rank}.npy")
            expected = model.backend.to_numpy(model.trainer.state.params)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
        assert (tmp_path / f"sums.{rank}").read_text() == "DeviceSums"
