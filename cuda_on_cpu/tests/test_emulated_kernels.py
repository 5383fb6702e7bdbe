"""Kernels on the emulated device: thread indices, barriers, shuffles, votes, atomics, templates, compile errors."""

from collections.abc import Callable

import cupy as cp
import numpy as np
import pytest

FULL = "0xffffffffu"


def run(body: str, out: cp.ndarray, grid: tuple = (1,), block: tuple = (64,), shared: int = 0) -> np.ndarray:
    """The values of ``out`` after a kernel with this body, whose only argument it is."""
    kind = {"f": "float", "d": "double", "i": "int", "l": "long long"}[out.dtype.char]
    kernel = cp.RawKernel(f'extern "C" __global__ void kernel({kind} *out) {{ {body} }}', "kernel")
    kernel(grid, block, (out,), shared_mem=shared)
    return out.get()


def test_every_thread_knows_where_it_is() -> None:
    body = """
    int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    out[block * blockDim.x * blockDim.y * blockDim.z + thread] += block * 1000 + thread;"""
    result = run(body, cp.zeros(24 * 30, "i"), (2, 3, 4), (5, 3, 2)).reshape(24, 30)
    np.testing.assert_array_equal(result, 1000 * np.arange(24)[:, None] + np.arange(30))


def test_a_barrier_lets_all_threads_see_what_others_wrote() -> None:
    body = """
    extern __shared__ double part[];
    part[threadIdx.x] = threadIdx.x;
    for (int k = blockDim.x / 2; k; k >>= 1) {
      __syncthreads();
      if (threadIdx.x < k) part[threadIdx.x] += part[threadIdx.x + k];
    }
    if (!threadIdx.x) out[blockIdx.x] = part[0];"""
    np.testing.assert_array_equal(run(body, cp.zeros(3), (3,), (128,), 128 * 8), 3 * [127 * 64])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (f"__shfl_xor_sync({FULL}, lane, 5)", lambda lane: lane ^ 5),
        (f"__shfl_down_sync({FULL}, lane, 3)", lambda lane: np.where(lane + 3 < 32, lane + 3, lane)),
        (f"__shfl_up_sync({FULL}, lane, 3)", lambda lane: np.where(lane >= 3, lane - 3, lane)),
        (f"__shfl_sync({FULL}, lane, 7, 8)", lambda lane: lane // 8 * 8 + 7),
        (f"__popc(__ballot_sync({FULL}, lane % 3 == 0))", lambda lane: np.full(32, 11)),
        (f"__any_sync({FULL}, lane == 31)", lambda lane: np.ones(32)),
        (f"__all_sync({FULL}, lane < 31)", lambda lane: np.zeros(32)),
    ],
)
def test_lanes_of_a_warp_exchange(value: str, expected: Callable[[np.ndarray], np.ndarray]) -> None:
    body = f"int lane = threadIdx.x % 32; out[threadIdx.x] = {value};"
    np.testing.assert_array_equal(run(body, cp.zeros(64, "i")), np.tile(expected(np.arange(32)), 2))


def test_atomic_sums_hold_every_part() -> None:
    assert run("atomicAdd(out, threadIdx.x + 1);", cp.zeros(1, "i"), (5,), (32,))[0] == 5 * 33 * 16


def test_high_halves_of_products() -> None:
    x = np.random.default_rng(0).integers(0, 2**32, (2, 100), dtype=np.uint64).astype(np.uint32)
    kernel = cp.ElementwiseKernel("uint32 a, uint32 b", "uint32 c", "c = __umulhi(a, b)", "high")
    expected = (x[0].astype(np.uint64) * x[1] >> np.uint64(32)).astype(np.uint32)
    np.testing.assert_array_equal(kernel(*cp.asarray(x)).get(), expected)


def test_templates_are_found_by_their_expressions() -> None:
    code = "template <class T> __global__ void fill(T *out) { out[threadIdx.x] = T(threadIdx.x) / 2; }"
    module = cp.RawModule(code=code, options=("-std=c++17",), name_expressions=["fill<float>", "fill<int>"])
    for dtype in ("float32", "int32"):
        out = cp.zeros(4, dtype)
        module.get_function("fill<float>" if dtype == "float32" else "fill<int>")((1,), (4,), (out,))
        np.testing.assert_array_equal(out.get(), (np.arange(4) / 2).astype(dtype))


def test_a_source_that_is_wrong_does_not_compile() -> None:
    with pytest.raises(cp.cuda.compiler.CompileException, match="nothing"):
        run("nothing();", cp.zeros(1))


def test_products_are_not_fused_into_sums() -> None:
    x = np.array([1 + 2.0**-30])
    kernel = cp.ElementwiseKernel("T x", "T y", "y = x * x - 1", "difference")
    np.testing.assert_array_equal(kernel(cp.asarray(x)).get(), x * x - 1)


def test_an_attribute_allows_a_kernel_more_shared_memory() -> None:
    """It counts dynamic memory only; static memory comes on top."""
    kernel = cp.RawKernel(
        """extern "C" __global__ void kernel(double *out) {
          __shared__ double own[64];
          extern __shared__ double part[];
          own[threadIdx.x] = part[threadIdx.x + 7936] = threadIdx.x;
          __syncthreads();
          out[threadIdx.x] = own[63 - threadIdx.x] + part[7999 - threadIdx.x];
        }""",
        "kernel",
    )
    assert kernel.attributes["max_dynamic_shared_size_bytes"] + 64 * 8 <= 48 << 10
    kernel.max_dynamic_shared_size_bytes = 64_000
    assert kernel.attributes["max_dynamic_shared_size_bytes"] == 64_000
    out = cp.zeros(64)
    kernel((1,), (64,), (out,), shared_mem=64_000)
    np.testing.assert_array_equal(out.get(), 2 * np.arange(63, -1, -1))
