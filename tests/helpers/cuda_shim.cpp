// The threads, blocks and barriers of cuda_shim.h, compiled once for all kernels.
#include "cuda_shim.h"

#include <cstdlib>
#include <memory>
#include <ucontext.h>
#include <vector>

Triple threadIdx, blockIdx, blockDim, gridDim;

namespace shim {
unsigned current;

namespace {
constexpr unsigned STACK = 1 << 16;  // bytes, not cleared: that would take longer than most kernels
struct Fiber { ucontext_t context; std::unique_ptr<char[]> stack; Triple index; bool done; };
struct Gate { unsigned came = 0, turn = 0; };
ucontext_t scheduler;
std::vector<Fiber> fibers;
void (*body)(void *);
void *given;
bool fibrous = false;  // inside fibers: barriers may hand over
Gate block_gate;
std::vector<Gate> warp_gates;
std::vector<double> slots;  // what each thread hands to the others of its warp

void wait(Gate &gate, unsigned all) {
  if (!fibrous) { if (all > 1) std::abort(); return; }
  const unsigned turn = gate.turn;
  if (++gate.came == all) { gate.came = 0; ++gate.turn; return; }
  while (gate.turn == turn) swapcontext(&fibers[current].context, &scheduler);
}
unsigned lanes() {  // of this thread's warp; a warp that is not whole is not allowed to shuffle
  return fibers.size() - (current & ~31u) < 32 ? (unsigned)fibers.size() - (current & ~31u) : 32u;
}
void enter() { body(given); fibers[current].done = true; }
}  // namespace

double exchange(double value, unsigned from) {
  if (lanes() != 32) std::abort();
  slots[current] = value;
  wait(warp_gates[current / 32], 32);
  const double got = slots[(current & ~31u) + from];
  wait(warp_gates[current / 32], 32);
  return got;
}

void run(const unsigned *grid, const unsigned *block, bool together, void (*call)(void *), void *arguments) {
  gridDim = {grid[0], grid[1], grid[2]}; blockDim = {block[0], block[1], block[2]};
  const unsigned size = block[0] * block[1] * block[2];
  auto index = [&](unsigned t) { return Triple{t % block[0], t / block[0] % block[1], t / block[0] / block[1]}; };
  body = call; given = arguments; fibrous = together;
  if (together) { fibers.resize(size); for (auto &one : fibers) one.stack.reset(new char[STACK]); }
  warp_gates.assign((size + 31) / 32, Gate()); slots.assign(size, 0);
  for (unsigned z = 0; z < grid[2]; ++z) for (unsigned y = 0; y < grid[1]; ++y) for (unsigned x = 0; x < grid[0]; ++x) {
    blockIdx = {x, y, z};
    if (!together) { for (unsigned t = 0; t < size; ++t) { threadIdx = index(t); call(given); } continue; }
    block_gate = Gate();
    for (unsigned t = 0; t < size; ++t) {
      Fiber &one = fibers[t];
      getcontext(&one.context);
      one.context.uc_stack.ss_sp = one.stack.get(); one.context.uc_stack.ss_size = STACK;
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

void __syncthreads() { shim::wait(shim::block_gate, blockDim.x * blockDim.y * blockDim.z); }
void __syncwarp() { shim::wait(shim::warp_gates[shim::current / 32], 32); }
