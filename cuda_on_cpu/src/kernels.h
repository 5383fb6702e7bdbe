// Kernels and the fibers that their threads are.
#pragma once
#include "../include/entry.h"
#include "device.h"

namespace cuda_on_cpu {
constexpr unsigned MOST_THREADS = 1024, WARP = 32;
struct Extent {
  unsigned x, y, z;
};

// fibers.cpp
bool prepare_fibers();                                                 // false: no memory for their stacks
void begin_kernel(const Entry *entry, void **arguments, bool fibers);  // for the calls below and of the module
void run_block(const Entry *entry, unsigned size);                     // all threads of one block, as fibers
int guarded(const std::function<void()> &run);                         // an error where a kernel fails

// launch.cpp
int run_kernel(const Entry *entry, Extent grid, Extent block, size_t shared, void **arguments);
}  // namespace cuda_on_cpu
