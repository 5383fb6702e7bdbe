// CUDA C++ on the host: what a kernel of mlpcore needs of the device, so that g++ compiles the same source.
//
// Blocks run one after the other. The threads of a block are fibers that are resumed in turn; a barrier hands over to
// the next one until all have come. So there are no races to be seen here, but every index, bound and sum is the real one.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__
#define __shared__ static

struct Triple { unsigned x, y, z; };
extern Triple threadIdx, blockIdx, blockDim, gridDim;
constexpr int warpSize = 32;
using std::isfinite; using std::isinf; using std::isnan;
using std::exp; using std::expm1; using std::log; using std::log1p; using std::sqrt; using std::tanh; using std::fabs;
using std::copysign; using std::erf; using std::signbit; using std::log2; using std::log10;

static inline double __longlong_as_double(long long bits) { double x; std::memcpy(&x, &bits, 8); return x; }
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}

namespace shim {  // cuda_shim.cpp
extern unsigned current;  // the thread of the block whose turn it is
double exchange(double value, unsigned from);  // hands over a value and takes that of another thread of the warp
// Runs `call` for every thread of every block; `together`: the kernel has barriers. block[3]: turns go backwards.
void run(const unsigned *grid, const unsigned *block, bool together, void (*call)(void *), void *arguments);

template <class T> static T shuffle(T value, unsigned from) {
  static_assert(sizeof(T) <= sizeof(double), "a value of up to 8 bytes");
  double slot = 0;
  std::memcpy(&slot, &value, sizeof(T));
  slot = exchange(slot, from);
  std::memcpy(&value, &slot, sizeof(T));
  return value;
}
}  // namespace shim

static inline void __threadfence() {}
static inline unsigned atomicAdd(unsigned *at, unsigned x) { const unsigned before = *at; *at += x; return before; }
void __syncthreads();
void __syncwarp();
template <class T> static T __shfl_xor_sync(unsigned, T value, int mask, int width = 32) {
  const unsigned lane = shim::current & 31u, from = (lane & ~(unsigned)(width - 1)) | ((lane ^ mask) & (width - 1));
  return shim::shuffle(value, from);
}
template <class T> static T __shfl_sync(unsigned, T value, int from, int width = 32) {
  return shim::shuffle(value, (shim::current & 31u & ~(unsigned)(width - 1)) | (from & (width - 1)));
}
template <class T> static T __shfl_down_sync(unsigned, T value, unsigned delta, int width = 32) {
  const unsigned lane = shim::current & 31u, to = (lane & (width - 1)) + delta;
  return shim::shuffle(value, to < (unsigned)width ? lane + delta : lane);
}
