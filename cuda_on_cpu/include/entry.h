// What a compiled module tells the device about one kernel, and what the device gives to modules: both include this.
#pragma once
#include <cstddef>

namespace cuda_on_cpu {
struct Index {
  unsigned x, y, z;
};
struct Entry {
  void (*all)(void **arguments, bool backward);  // every thread of every block in turn: for kernels without barriers
  void (*thread)(void **arguments);              // the thread that `thread_index` says
  const size_t *sizes;                           // of the arguments
  int count;                                     // of the arguments
  bool barriers;                                 // has barriers or shuffles: the threads of a block must be fibers
  int bound;                                     // __launch_bounds__, 0 where there are none
  const char *reads;                             // for each argument 1 where it is const; shorter: not known
  Index *thread_index, *block_index, *block_size, *grid_size;
  char *shared, *shared_end;  // static shared memory
  void **dynamic;             // where the module looks for dynamic shared memory
};
}  // namespace cuda_on_cpu

extern "C" {
void cuda_on_cpu_barrier();
void cuda_on_cpu_warp_barrier(unsigned mask);
const char *cuda_on_cpu_exchange(unsigned mask, const void *value, size_t size);  // 32 slots of 16 bytes
unsigned cuda_on_cpu_lane();
unsigned cuda_on_cpu_active();  // lanes of this warp that have not ended
[[noreturn]] void cuda_on_cpu_fail(const char *why);
}
