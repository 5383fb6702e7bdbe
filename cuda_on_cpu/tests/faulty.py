"""Tests with a fault, and correct ones: `test_emulated_faults.py` runs this file in every mode and checks which fail.

Errors that CuPy raises are suppressed: the test must fail by the report of the device.
"""

from contextlib import suppress

import cupy as cp
import numpy as np

runtime = cp.cuda.runtime
HOST_TO_DEVICE, DEVICE_TO_HOST = 1, 2
COUNT = 100


def launch(body: str, *arrays: cp.ndarray, threads: int = 64, shared: int = 0, before: str = "") -> None:
    """Run a kernel of one block with arguments a, b, ..., arrays of double."""
    names = ", ".join(f"double *{name}" for name, _ in zip("abc", arrays, strict=False))
    code = f'extern "C" __global__ {before} void kernel({names}) {{ int t = threadIdx.x; {body} }}'
    kernel = cp.RawKernel(code, "kernel")
    kernel.compile()
    with suppress(Exception):
        kernel((1,), (threads,), arrays, shared_mem=shared)


def synchronized() -> None:
    with suppress(Exception):
        cp.cuda.Device().synchronize()


# --- memory


def test_write_after_an_array() -> None:
    launch("a[t + 37] = 0;", cp.zeros(COUNT))  # the last thread writes a[100]


def test_write_before_an_array() -> None:
    launch("a[t - 1] = 0;", cp.zeros(COUNT))


def test_read_after_an_array() -> None:
    x, out = cp.zeros(COUNT), cp.zeros(64)
    launch("b[t] = 0 * a[t + 64];", x, out)
    assert (out.get() == 0).all()


def test_use_after_free() -> None:
    x = runtime.malloc(800)
    runtime.free(x)
    held = cp.ndarray(COUNT, "float64", cp.cuda.MemoryPointer(cp.cuda.UnownedMemory(x, 800, None, 0), 0))
    launch("a[t] = 1;", held)


def test_freed_twice() -> None:
    x = runtime.malloc(800)
    runtime.free(x)
    with suppress(Exception):
        runtime.free(x)


def test_null_pointer() -> None:
    launch("((double *)(size_t)a[t])[t] = 1;", cp.zeros(COUNT))


def test_fresh_memory_taken_for_zeros() -> None:
    assert float(cp.empty(COUNT).sum()) == 0


# --- copies


def test_copy_in_the_wrong_direction() -> None:
    x, y = cp.zeros(COUNT), cp.zeros(COUNT)
    with suppress(Exception):
        runtime.memcpy(x.data.ptr, y.data.ptr, 800, HOST_TO_DEVICE)


def test_copy_beyond_an_allocation() -> None:
    x, host = runtime.malloc(800), np.zeros(200)
    with suppress(Exception):
        runtime.memcpy(host.ctypes.data, x, 1600, DEVICE_TO_HOST)
    runtime.free(x)


def test_product_beyond_an_allocation() -> None:
    x, y = runtime.malloc(800), cp.zeros((20, 20))
    one, zero = np.ones(1), np.zeros(1)
    with suppress(Exception):
        arguments = (20, 20, 20, one.ctypes.data, x, 20, y.data.ptr, 20, zero.ctypes.data, y.data.ptr, 20)
        cp.cuda.cublas.dgemm(cp.cuda.Device().cublas_handle, 0, 0, *arguments)
    synchronized()
    runtime.free(x)


def test_pinned_buffer_is_written_too_early() -> None:
    stream, buffer = cp.cuda.Stream(non_blocking=True), cp.cuda.alloc_pinned_memory(800)
    host, x = np.frombuffer(buffer, "float64", COUNT), cp.zeros(COUNT)
    synchronized()
    host[:] = 1
    x.data.copy_from_host_async(host.ctypes.data, 800, stream)
    host[:] = 2
    stream.synchronize()
    assert (x.get() == 1).all()


# --- threads of a block


def test_missing_barrier_seen_forward() -> None:
    x = cp.zeros(64)
    launch("extern __shared__ double s[]; s[t] = t; a[t] = s[63 - t]; __syncthreads();", x, shared=512)
    assert (x.get() == np.arange(63, -1, -1)).all()


def test_missing_barrier_seen_backward() -> None:
    x = cp.zeros(64)
    launch("extern __shared__ double s[]; s[t] = t; a[t] = t ? s[t - 1] : 0; __syncthreads();", x, shared=512)
    assert (x.get()[1:] == np.arange(63)).all()


def test_right_barrier() -> None:
    x = cp.zeros(64)
    launch("extern __shared__ double s[]; s[t] = t; __syncthreads(); a[t] = s[63 - t];", x, shared=512)
    assert (x.get() == np.arange(63, -1, -1)).all()


def test_barriers_that_differ() -> None:
    launch("if (t % 2) __syncthreads(); else __syncwarp(); a[t] = 1;", cp.zeros(64))


def test_shuffle_outside_of_its_mask() -> None:
    launch("a[t] = __shfl_sync(1u, a[t], 0);", cp.zeros(64), threads=32)


def test_shuffle_from_a_lane_that_gave_nothing() -> None:
    x = cp.zeros(64)
    launch("if (t < 16) a[t] = __shfl_down_sync(0xffffu, a[t], 8);", x, threads=32)
    assert (x.get() == 0).all()


# --- launches


def test_beyond_shared_memory() -> None:
    launch("extern __shared__ double s[]; s[t] = t; __syncthreads(); a[t] = s[t];", cp.zeros(64), shared=504)


def test_too_many_threads() -> None:
    launch("if (!t) a[0] = 1;", cp.zeros(64), threads=1025)


def test_more_threads_than_launch_bounds() -> None:
    launch("a[t] = 1;", cp.zeros(64), before="__launch_bounds__(32)")


def test_too_much_shared_memory() -> None:
    launch("a[t] = 1;", cp.zeros(64), shared=50_000)


def test_division_by_zero() -> None:
    launch("a[t] = 5 / (t - 3);", cp.zeros(64))


def test_assertion() -> None:
    launch("assert(a[t] == 1);", cp.zeros(64))


def test_not_emulated() -> None:
    with suppress(Exception):
        runtime.mallocManaged(100)


# --- streams


def two_streams(wait: bool) -> None:
    first, second = cp.cuda.Stream(non_blocking=True), cp.cuda.Stream(non_blocking=True)
    x, y = cp.zeros(COUNT), cp.zeros(COUNT)
    synchronized()
    with first:
        x += 1
    if wait:
        second.wait_event(first.record())
    with second:
        y += x
    second.synchronize()
    assert (y.get() == 1).all()


def test_stream_that_does_not_wait() -> None:
    two_streams(wait=False)


def test_right_stream_that_waits() -> None:
    two_streams(wait=True)


def test_host_that_does_not_wait() -> None:
    stream, buffer = cp.cuda.Stream(non_blocking=True), cp.cuda.alloc_pinned_memory(800)
    host, x = np.frombuffer(buffer, "float64", COUNT), cp.ones(COUNT)
    synchronized()
    host[:] = 0
    x.data.copy_to_host_async(host.ctypes.data, 800, stream)
    assert (host == 1).all()


def test_allocation_in_a_capture() -> None:
    stream = cp.cuda.Stream(non_blocking=True)
    stream.begin_capture(runtime.streamCaptureModeGlobal)
    with suppress(Exception):
        runtime.malloc(1 << 24)
    with suppress(Exception):
        stream.end_capture()


def test_default_stream_in_a_capture() -> None:
    stream, x = cp.cuda.Stream(), cp.zeros(COUNT)
    stream.begin_capture(runtime.streamCaptureModeRelaxed)
    with suppress(Exception):
        x += 1
    with suppress(Exception):
        stream.end_capture()


def test_another_devices_memory() -> None:
    if runtime.getDeviceCount() == 2:
        with cp.cuda.Device(1):
            x = cp.zeros(64)
        launch("a[t] = 1;", x)


def test_another_devices_stream() -> None:
    if runtime.getDeviceCount() == 2:
        x = cp.zeros(64)
        with cp.cuda.Device(1):
            stream = cp.cuda.Stream(non_blocking=True)
        with suppress(Exception):
            runtime.memsetAsync(x.data.ptr, 0, 8, stream.ptr)


def test_right_two_devices() -> None:
    if runtime.getDeviceCount() == 2:
        with cp.cuda.Device(1):
            x = cp.asarray(np.arange(5.0)) + 1
        assert (cp.asarray(x).get() == np.arange(1, 6)).all()
