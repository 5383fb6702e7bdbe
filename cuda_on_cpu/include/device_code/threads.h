// Threads together: barriers, shuffles and votes.
#pragma once
#include <cstring>

#include "../entry.h"

static inline void __syncthreads() { cuda_on_cpu_barrier(); }
static inline void __syncwarp(unsigned mask = ~0u) { cuda_on_cpu_warp_barrier(mask); }
static inline void __threadfence() {}
static inline void __threadfence_block() {}
static inline void __threadfence_system() {}
static inline void __nanosleep(unsigned) {}
namespace cuda_on_cpu {
static void *dynamic_shared;
template <class T>
static inline T shuffle(unsigned mask, T value, int from) {  // of a lane that gave nothing: 0xff
  static_assert(sizeof(T) <= 16);
  T got;
  std::memcpy((void *)&got, cuda_on_cpu_exchange(mask, &value, sizeof(T)) + 16 * from, sizeof(T));
  return got;
}
static inline unsigned votes(unsigned mask, bool yes) {
  const int vote = yes;
  const char *all = cuda_on_cpu_exchange(mask, &vote, sizeof vote);
  unsigned found = 0;
  for (int lane = 0; lane < 32; ++lane) found |= (unsigned)(*(const int *)(all + 16 * lane) == 1) << lane;
  return found;
}
}  // namespace cuda_on_cpu
template <class T>
static inline T __shfl_sync(unsigned mask, T value, int from, int width = 32) {
  return cuda_on_cpu::shuffle(mask, value, (cuda_on_cpu_lane() & ~(width - 1)) | (from & (width - 1)));
}
template <class T>
static inline T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
  const int lane = cuda_on_cpu_lane(), from = lane ^ bits;
  return cuda_on_cpu::shuffle(mask, value, from / width > lane / width ? lane : from & 31);
}
template <class T>
static inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  const int lane = cuda_on_cpu_lane();
  return cuda_on_cpu::shuffle(mask, value, (lane & (width - 1)) + delta < (unsigned)width ? lane + delta : lane);
}
template <class T>
static inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  const unsigned lane = cuda_on_cpu_lane();
  return cuda_on_cpu::shuffle(mask, value, (lane & (width - 1)) >= delta ? lane - delta : lane);
}
static inline unsigned __activemask() { return cuda_on_cpu_active(); }
static inline unsigned __ballot_sync(unsigned mask, int yes) { return cuda_on_cpu::votes(mask, yes); }
static inline int __any_sync(unsigned mask, int yes) { return cuda_on_cpu::votes(mask, yes) != 0; }
static inline int __all_sync(unsigned mask, int yes) { return cuda_on_cpu::votes(mask, !yes) == 0; }
static inline int __syncthreads_or(int yes) {
  static int any;
  static unsigned came;
  if (!came++) any = 0;
  any |= yes;
  cuda_on_cpu_barrier();
  const int got = any;
  came = 0;
  cuda_on_cpu_barrier();
  return got != 0;
}
static inline int __syncthreads_and(int yes) { return !__syncthreads_or(!yes); }
