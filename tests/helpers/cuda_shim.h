// CUDA C++ on the host: what a kernel of mlpcore needs of the device, so that g++ compiles the same source.
//
// Blocks run one after the other. The threads of a block are fibers that are resumed in turn; a barrier hands over to
// the next one until all have come. So there are no races to be seen here, but every index, bound and sum is the real one.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <ucontext.h>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__
#define __shared__ static

struct Triple { unsigned x, y, z; };
static Triple threadIdx, blockIdx, blockDim, gridDim;
constexpr int warpSize = 32;
using std::isfinite; using std::isinf; using std::isnan;
using std::exp; using std::expm1; using std::log; using std::log1p; using std::sqrt; using std::tanh; using std::fabs;
using std::copysign; using std::erf; using std::signbit; using std::log2; using std::log10;

static inline double __longlong_as_double(long long bits) { double x; std::memcpy(&x, &bits, 8); return x; }
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}

namespace shim {
struct Fiber { ucontext_t context; std::vector<char> stack; Triple index; bool done; };
static ucontext_t scheduler;
static std::vector<Fiber> fibers;
static unsigned current;
static std::function<void()> body;
static bool fibrous = false;  // inside fibers: barriers may hand over
struct Gate { unsigned came = 0, turn = 0; };
static Gate block_gate;
static std::vector<Gate> warp_gates;
static std::vector<double> slots;  // what each thread hands to the others of its warp

static void wait(Gate &gate, unsigned all) {
  if (!fibrous) { if (all > 1) std::abort(); return; }
  const unsigned turn = gate.turn;
  if (++gate.came == all) { gate.came = 0; ++gate.turn; return; }
  while (gate.turn == turn) swapcontext(&fibers[current].context, &scheduler);
}
static unsigned lanes() {  // of this thread's warp; a warp that is not whole is not allowed to shuffle
  return fibers.size() - (current & ~31u) < 32 ? (unsigned)fibers.size() - (current & ~31u) : 32u;
}
static void enter() { body(); fibers[current].done = true; }

template <class T> static T shuffle(T value, unsigned from) {
  static_assert(sizeof(T) <= sizeof(double), "a value of up to 8 bytes");
  if (lanes() != 32) std::abort();
  std::memcpy(&slots[current], &value, sizeof(T));
  wait(warp_gates[current / 32], 32);
  T got; std::memcpy(&got, &slots[(current & ~31u) + from], sizeof(T));
  wait(warp_gates[current / 32], 32);
  return got;
}

// Runs `call` for every thread of every block; `together`: the kernel has barriers. block[3]: turns go backwards.
static void run(const unsigned *grid, const unsigned *block, bool together, std::function<void()> call) {
  gridDim = {grid[0], grid[1], grid[2]}; blockDim = {block[0], block[1], block[2]};
  const unsigned size = block[0] * block[1] * block[2];
  auto index = [&](unsigned t) { return Triple{t % block[0], t / block[0] % block[1], t / block[0] / block[1]}; };
  body = call; fibrous = together;
  if (together) { fibers.resize(size); for (auto &one : fibers) one.stack.resize(1 << 16); }
  warp_gates.assign((size + 31) / 32, Gate()); slots.assign(size, 0);
  for (unsigned z = 0; z < grid[2]; ++z) for (unsigned y = 0; y < grid[1]; ++y) for (unsigned x = 0; x < grid[0]; ++x) {
    blockIdx = {x, y, z};
    if (!together) { for (unsigned t = 0; t < size; ++t) { threadIdx = index(t); call(); } continue; }
    block_gate = Gate();
    for (unsigned t = 0; t < size; ++t) {
      Fiber &one = fibers[t];
      getcontext(&one.context);
      one.context.uc_stack.ss_sp = one.stack.data(); one.context.uc_stack.ss_size = one.stack.size();
      one.context.uc_link = &scheduler; one.done = false; one.index = index(t);
      makecontext(&one.context, enter, 0);
    }
    for (bool some = true; some;) {
      some = false;
      for (unsigned turn = 0; turn < size; ++turn) if (!fibers[current = block[3] ? size - 1 - turn : turn].done) {
        some = true; threadIdx = fibers[current].index;
        swapcontext(&scheduler, &fibers[current].context);
      }
    }
  }
  fibers.clear(); fibers.shrink_to_fit(); fibrous = false;
}
}  // namespace shim

static inline void __syncthreads() { shim::wait(shim::block_gate, blockDim.x * blockDim.y * blockDim.z); }
static inline void __syncwarp() { shim::wait(shim::warp_gates[shim::current / 32], 32); }
template <class T> static T __shfl_xor_sync(unsigned, T value, int mask, int width = 32) {
  const unsigned lane = shim::current & 31u, from = (lane & ~(unsigned)(width - 1)) | ((lane ^ mask) & (width - 1));
  return shim::shuffle(value, from);
}
template <class T> static T __shfl_down_sync(unsigned, T value, unsigned delta, int width = 32) {
  const unsigned lane = shim::current & 31u, to = (lane & (width - 1)) + delta;
  return shim::shuffle(value, to < (unsigned)width ? lane + delta : lane);
}
