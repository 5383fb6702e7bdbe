"""Copies, streams, events, graphs and memory of the emulated device behave as CUDA specifies, in every mode."""

import ctypes

import cupy as cp
import numpy as np
import pytest

ROWS = np.arange(1 << 12, dtype="float64")


def test_copies_there_and_back_and_on_the_device() -> None:
    there = cp.asarray(ROWS)
    other = cp.empty_like(there)
    other[...] = there
    there.fill(0)
    np.testing.assert_array_equal(other.get(), ROWS)
    np.testing.assert_array_equal(cp.asarray(ROWS.reshape(64, 64))[::2, 1::3].get(), ROWS.reshape(64, 64)[::2, 1::3])


def test_fresh_memory_is_poisoned() -> None:
    host, address = np.zeros(1000), cp.cuda.runtime.malloc(8000)  # not from CuPy's pool, which reuses memory as it is
    cp.cuda.runtime.memcpy(host.ctypes.data, address, 8000, cp.cuda.runtime.memcpyDeviceToHost)
    cp.cuda.runtime.free(address)
    assert np.isnan(host).all() and (host.view("int32") == -1).all()


@pytest.mark.parametrize("size", [800, 20_000, 100_000])
def test_freed_memory_does_not_become_the_hosts(size: int) -> None:
    address = cp.cuda.runtime.malloc(size)
    cp.cuda.runtime.free(address)
    host = ctypes.CDLL(None)
    host.malloc.restype, host.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    taken = [(length, host.malloc(length)) for length in range(64, 16_000, 64)]
    assert not [start for length, start in taken if start < address + size and address < start + length]
    for _, start in taken:
        host.free(start)


def test_memory_is_counted_and_ends() -> None:
    free, total = cp.cuda.runtime.memGetInfo()
    held = cp.cuda.runtime.malloc(1 << 20)
    assert cp.cuda.runtime.memGetInfo() == (free - (1 << 20), total)
    cp.cuda.runtime.free(held)
    with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="out of memory"):
        cp.cuda.runtime.malloc(2 * total)


def test_an_event_orders_two_streams() -> None:
    first, second = cp.cuda.Stream(non_blocking=True), cp.cuda.Stream(non_blocking=True)
    x, y = cp.zeros(1000), cp.zeros(1000)
    cp.cuda.Device().synchronize()
    with first:
        x += 1
        done = first.record()
    second.wait_event(done)
    with second:
        y += x
    second.synchronize()
    assert done.done and (y.get() == 1).all()


def test_the_default_stream_and_blocking_ones_wait_for_each_other() -> None:
    stream, x = cp.cuda.Stream(), cp.zeros(1000)
    with stream:
        x += 1
    y = x * 2
    with stream:
        y += 1
    stream.synchronize()
    assert (y.get() == 3).all()


def test_pinned_buffers_may_be_written_when_their_event_has_passed() -> None:
    stream, buffer = cp.cuda.Stream(non_blocking=True), cp.cuda.alloc_pinned_memory(8000)
    host = np.frombuffer(buffer, "float64", 1000)
    there = [cp.empty(1000) for _ in range(3)]
    cp.cuda.Device().synchronize()
    for number, one in enumerate(there):
        host[:] = number
        one.data.copy_from_host_async(host.ctypes.data, 8000, stream)
        stream.record().synchronize()
    for number, one in enumerate(there):
        assert (one.get() == number).all()


def test_functions_of_the_host_are_called_in_their_turn() -> None:
    stream, seen = cp.cuda.Stream(non_blocking=True), []
    for number in range(3):
        stream.launch_host_func(seen.append, number)
    stream.synchronize()
    assert seen == [0, 1, 2]


def test_a_graph_does_again_what_was_captured() -> None:
    stream = cp.cuda.Stream(non_blocking=True)
    x, y = cp.zeros(50), cp.zeros(50)
    cp.multiply(x, 2, out=y)
    cp.cuda.Device().synchronize()
    with stream:
        stream.begin_capture()
        cp.multiply(x, 2, out=y)
        cp.add(y, 1, out=y)
        graph = stream.end_capture()
        for number in range(3):
            x.fill(number)
            graph.launch()
            stream.synchronize()
            assert (y.get() == 2 * number + 1).all()


def test_times_between_events_are_not_negative() -> None:
    first, second = cp.cuda.Event(), cp.cuda.Event()
    first.record()
    second.record()
    second.synchronize()
    assert cp.cuda.get_elapsed_time(first, second) >= 0
