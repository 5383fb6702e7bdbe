// How the threads of a block take turns. A thread runs until it has to wait for others at a barrier; then the next one
// that need not wait goes on.
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <sys/mman.h>

#include "switch.h"

using namespace cuda_on_cpu;

namespace {
struct Barrier {
  unsigned arrived = 0, turn = 0, mask = 0;
};
struct Fiber {
  Barrier *barrier;  // the last it came to
  unsigned turn;     // of that barrier
  bool done;
  Index index;
};
Fiber fibers[MOST_THREADS];
unsigned current, alive;  // alive: how many threads of the block have not ended
bool use_fibers;
Barrier block_barrier, warp_barriers[MOST_THREADS / WARP];
unsigned warp_alive[MOST_THREADS / WARP];      // a bit for each lane
char slots[MOST_THREADS / WARP][2][WARP][16];  // what the lanes of a warp hand to each other
const Entry *running;
void **running_arguments;
sigjmp_buf escape;
const char *reason;

void open(Barrier &barrier) {
  barrier.arrived = 0;
  ++barrier.turn;
}
void wait_at(Barrier &barrier, unsigned all) {
  if (!use_fibers) return;  // a block of one thread
  if (++barrier.arrived >= all) return open(barrier);
  Fiber &me = fibers[current];
  me.barrier = &barrier;
  me.turn = barrier.turn;
  to_scheduler(current);
}
bool waiting(const Fiber &fiber) { return fiber.barrier && fiber.barrier->turn == fiber.turn; }

void thread_of_block() {
  running->thread(running_arguments);
  const unsigned warp = current / WARP;
  fibers[current].done = true;
  warp_alive[warp] &= ~(1u << current % WARP);
  if (--alive && block_barrier.arrived && block_barrier.arrived >= alive) open(block_barrier);
  Barrier &barrier = warp_barriers[warp];
  if (barrier.arrived && barrier.arrived >= (unsigned)__builtin_popcount(barrier.mask & warp_alive[warp]))
    open(barrier);
  to_scheduler(current);
  __builtin_unreachable();
}

void fault(int number, siginfo_t *info, void *) {
  static char text[128];
  const char *what = number == SIGFPE ? "a division by zero" : "an illegal access";
  snprintf(text, sizeof text, "%s at address %p", what, info->si_addr);
  reason = text;
  siglongjmp(escape, 1);
}
}  // namespace

bool cuda_on_cpu::prepare_fibers() {
  if (stacks) return true;
  void *memory =
      mmap(nullptr, MOST_THREADS * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return false;
  stacks = (char *)memory;
  return true;
}
void cuda_on_cpu::begin_kernel(const Entry *entry, void **arguments, bool with_fibers) {
  running = entry;
  running_arguments = arguments;
  current = 0;
  use_fibers = with_fibers;
  warp_alive[0] = 1;
}

void cuda_on_cpu::run_block(const Entry *entry, unsigned size) {
  const Index block = *entry->block_size;
  alive = size;
  block_barrier = Barrier();
  for (unsigned warp = 0; warp * WARP < size; ++warp) {
    warp_barriers[warp] = Barrier();
    warp_alive[warp] = size - warp * WARP < WARP ? (1u << (size - warp * WARP)) - 1 : ~0u;
  }
  for (unsigned t = 0; t < size; ++t) {
    fibers[t] = {nullptr, 0, false, {t % block.x, t / block.x % block.y, t / block.x / block.y}};
    prepare(t, thread_of_block);
  }
  while (alive) {
    bool moved = false;
    for (unsigned turn = 0; turn < size; ++turn) {
      Fiber &fiber = fibers[current = options.backward ? size - 1 - turn : turn];
      if (fiber.done || waiting(fiber)) continue;
      moved = true;
      fiber.barrier = nullptr;
      *entry->thread_index = fiber.index;
      to_fiber(current);
    }
    if (!moved) cuda_on_cpu_fail("threads of a block wait at different barriers, or for threads that have ended");
  }
}

int cuda_on_cpu::guarded(const std::function<void()> &run) {
  struct sigaction now = {}, before[3];
  const int signals[3] = {SIGSEGV, SIGBUS, SIGFPE};
  now.sa_sigaction = fault;
  now.sa_flags = SA_SIGINFO | SA_NODEFER;
  for (int i = 0; i < 3; ++i) sigaction(signals[i], &now, &before[i]);
  int result = OK;
  if (sigsetjmp(escape, 0)) {
    report("a kernel failed: %s", reason);
    result = strstr(reason, "access") ? ILLEGAL_ADDRESS : LAUNCH_FAILED;
  } else
    run();
  use_fibers = false;
  for (int i = 0; i < 3; ++i) sigaction(signals[i], &before[i], nullptr);
  return result;
}

// What modules call
extern "C" {
#define EXPORTED __attribute__((visibility("default")))
EXPORTED void cuda_on_cpu_barrier() { wait_at(block_barrier, alive); }
EXPORTED void cuda_on_cpu_warp_barrier(unsigned mask) {
  Barrier &barrier = warp_barriers[current / WARP];
  barrier.mask = mask;
  wait_at(barrier, __builtin_popcount(mask & warp_alive[current / WARP]));
}
EXPORTED unsigned cuda_on_cpu_lane() { return current % WARP; }
EXPORTED unsigned cuda_on_cpu_active() { return warp_alive[current / WARP]; }
EXPORTED void cuda_on_cpu_fail(const char *why) {
  reason = why;
  siglongjmp(escape, 1);
}
EXPORTED const char *cuda_on_cpu_exchange(unsigned mask, const void *value, size_t size) {
  const unsigned warp = current / WARP, lane = current % WARP;
  const Barrier &barrier = warp_barriers[warp];
  // Two sets of slots, so that a lane that is ahead does not overwrite what others still read.
  auto &turn = slots[warp][barrier.turn & 1];
  if (!barrier.arrived) memset(turn, 0xff, sizeof turn);
  if (!(mask >> lane & 1)) cuda_on_cpu_fail("a thread shuffles whose lane is not in its own mask");
  memcpy(turn[lane], value, size);
  cuda_on_cpu_warp_barrier(mask);
  return turn[0];
}
}
