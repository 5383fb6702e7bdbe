"""Allocations that fail because a test has asked for it, and a part of a GPU as the only device."""

import os
import subprocess
import sys
from collections.abc import Callable

import cupy as cp
import pytest
from cuda_on_cpu_pytest import cuda_on_cpu  # pytest imports this folder's parent under the module's name


def allocation_fails(first: int, number: int = 1) -> list[bool]:
    """Whether each of four allocations of device memory fails."""
    failed = []
    with cuda_on_cpu.failing_allocations(first, number):
        for _ in range(4):
            try:
                cp.cuda.runtime.free(cp.cuda.runtime.malloc(800))
                failed.append(False)
            except cp.cuda.runtime.CUDARuntimeError as error:
                assert "cudaErrorMemoryAllocation: out of memory" in str(error)
                failed.append(True)
    return failed


def test_the_allocation_that_was_asked_for_fails_and_no_other() -> None:
    assert allocation_fails(2) == [False, True, False, False]
    assert allocation_fails(2, 2) == [False, True, True, False]
    assert allocation_fails(1, 9) == [True] * 4
    cp.cuda.runtime.free(cp.cuda.runtime.malloc(800))  # as it was, outside of the context
    assert allocation_fails(5) == [False] * 4


@pytest.mark.parametrize("make", [
    lambda: cp.cuda.runtime.hostAlloc(800, 0),
    lambda: cp.cuda.runtime.streamCreateWithFlags(1),
    cp.cuda.Event,
    lambda: cp.cuda.function.Module().load(b""),
])  # fmt: skip
def test_what_cuda_needs_memory_for_fails_too_and_is_counted(make: Callable[[], object]) -> None:
    before = cuda_on_cpu.counts()["allocations"]
    with cuda_on_cpu.failing_allocations(1), pytest.raises(RuntimeError, match=r"out of memory|OUT_OF_MEMORY"):
        make()
    assert cuda_on_cpu.counts()["allocations"] == before + 1


def test_a_graph_may_find_no_memory() -> None:
    stream, x = cp.cuda.Stream(non_blocking=True), cp.zeros(50)
    cp.add(x, 1, out=x)
    cp.cuda.Device().synchronize()
    with stream:
        stream.begin_capture()
        cp.add(x, 1, out=x)
        with (
            cuda_on_cpu.failing_allocations(1),
            pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="out of memory"),
        ):
            stream.end_capture()
        stream.begin_capture()
        cp.add(x, 1, out=x)
        stream.end_capture().launch()
        stream.synchronize()
    assert (x.get() == 2).all()


def test_cupys_pool_asks_again() -> None:
    pool = cp.cuda.MemoryPool()
    with cp.cuda.using_allocator(pool.malloc), cuda_on_cpu.failing_allocations(1, 2):
        cp.empty(1000)
    with (
        cp.cuda.using_allocator(pool.malloc),
        cuda_on_cpu.failing_allocations(1, 3),
        pytest.raises(cp.cuda.memory.OutOfMemoryError),
    ):
        cp.empty(1 << 20)


@pytest.mark.parametrize(("visible", "name"), [("MIG-6f2d-11", "MIG 1g.10gb"), ("0", "the CPU"), ("0,1", "the CPU")])
def test_a_part_of_a_gpu_is_one_device(visible: str, name: str) -> None:
    code = """
import cupy
print(cupy.cuda.runtime.getDeviceCount(), cupy.cuda.runtime.getDeviceProperties(0)["name"].decode())
"""
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": visible, "CUDA_ON_CPU_DEVICES": "2"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    count, _, found = run.stdout.strip().partition(" ")
    assert int(count) == 1 + visible.count(",") and found.endswith(name)
