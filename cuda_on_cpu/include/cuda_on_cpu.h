// CUDA C++ for g++: what device code may use, as plain C++. Compiled beforehand, together with CuPy's own headers.
#pragma once
#include <algorithm>
#include <cassert>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <tuple>
#include <type_traits>
#include <utility>

#include "device_code/atomics.h"
#include "device_code/bits.h"
#include "device_code/mathematics.h"
#include "device_code/threads.h"
#include "device_code/vectors.h"
#include "entry.h"

#define __global__
#define __device__
#define __host__
#define __managed__
#define __grid_constant__
#define __constant__ __attribute__((used, externally_visible))
#define __shared__ static __attribute__((section("cuda_on_cpu_shared"), aligned(16)))
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __CUDA_ARCH__ 900
#define __CUDACC_VER_MAJOR__ 13
#define __CUDACC_VER_MINOR__ 0
#undef assert
#define assert(x) ((x) ? (void)0 : cuda_on_cpu_fail("an assertion is false: " #x))

// Where a thread is
typedef cuda_on_cpu::Index uint3;
struct dim3 : uint3 {
  dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : uint3{a, b, c} {}
};

static uint3 threadIdx, blockIdx, blockDim, gridDim;
constexpr int warpSize = 32;
typedef void *cudaStream_t;

static inline void __trap() { cuda_on_cpu_fail("__trap"); }

// Entries: what the device needs to launch a kernel
extern "C" __attribute__((weak, visibility("hidden"))) char __start_cuda_on_cpu_shared[], __stop_cuda_on_cpu_shared[];
namespace cuda_on_cpu {
template <class Call, class F>
struct Kernel;
template <class Call, class... A>
struct Kernel<Call, void (*)(A...)> {
  template <size_t... I>
  static inline __attribute__((always_inline)) void call(void **arguments, std::index_sequence<I...>) {
    Call::cuda_on_cpu_kernel()(*(std::remove_reference_t<A> *)arguments[I]...);
  }
  static void thread(void **arguments) { call(arguments, std::index_sequence_for<A...>()); }
  static void all(void **arguments, bool backward) {
    const unsigned long blocks = (unsigned long)gridDim.x * gridDim.y * gridDim.z;
    const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
    for (unsigned long i = 0; i < blocks; ++i) {
      const unsigned long b = backward ? blocks - 1 - i : i;
      blockIdx = {(unsigned)(b % gridDim.x), (unsigned)(b / gridDim.x % gridDim.y),
                  (unsigned)(b / gridDim.x / gridDim.y)};
      if (blockDim.y == 1 && blockDim.z == 1 && !backward) {
        threadIdx = {0, 0, 0};
        for (; threadIdx.x < threads; ++threadIdx.x) thread(arguments);
      } else
        for (unsigned j = 0; j < threads; ++j) {
          const unsigned t = backward ? threads - 1 - j : j;
          threadIdx = {t % blockDim.x, t / blockDim.x % blockDim.y, t / blockDim.x / blockDim.y};
          thread(arguments);
        }
    }
  }
  static constexpr int count = sizeof...(A);
  static constexpr size_t sizes[] = {sizeof(A)..., 0};
};
}  // namespace cuda_on_cpu
#define CUDA_ON_CPU_ENTRY(symbol, barriers, bound, reads, ...)                                              \
  namespace cuda_on_cpu {                                                                                   \
  struct Call_##symbol {                                                                                    \
    static constexpr auto cuda_on_cpu_kernel() { return &__VA_ARGS__; }                                     \
  };                                                                                                        \
  using Kernel_##symbol = Kernel<Call_##symbol, decltype(Call_##symbol::cuda_on_cpu_kernel())>;             \
  }                                                                                                         \
  extern "C" __attribute__((used, externally_visible)) const cuda_on_cpu::Entry cuda_on_cpu_entry_##symbol; \
  const cuda_on_cpu::Entry cuda_on_cpu_entry_##symbol = {cuda_on_cpu::Kernel_##symbol::all,                 \
                                                         cuda_on_cpu::Kernel_##symbol::thread,              \
                                                         cuda_on_cpu::Kernel_##symbol::sizes,               \
                                                         cuda_on_cpu::Kernel_##symbol::count,               \
                                                         barriers,                                          \
                                                         bound,                                             \
                                                         reads,                                             \
                                                         &threadIdx,                                        \
                                                         &blockIdx,                                         \
                                                         &blockDim,                                         \
                                                         &gridDim,                                          \
                                                         __start_cuda_on_cpu_shared,                        \
                                                         __stop_cuda_on_cpu_shared,                         \
                                                         &cuda_on_cpu::dynamic_shared};

#ifdef CUDA_ON_CPU_CUPY  // CuPy's headers, for the header that is compiled beforehand: it takes their include guards
                         // along
#include <cupy/complex.cuh>
#include <cupy/carray.cuh>
#include <cupy/atomics.cuh>
#include <cupy/math_constants.h>
#include <cupy/float16.cuh>
#endif
