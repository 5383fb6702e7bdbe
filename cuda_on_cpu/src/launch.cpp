// Launches: what CUDA forbids is refused here; then the blocks run one after the other.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "driver.h"
#include "streams.h"

using namespace cuda_on_cpu;

constexpr size_t BEYOND = 512;  // bytes after dynamic shared memory, which must stay untouched
constexpr int POISON = 0xff;
static size_t padded(size_t size) { return (size + 15) / 16 * 16; }

int cuda_on_cpu::run_kernel(const Entry *entry, Extent grid, Extent block, size_t shared, void **arguments) {
  static char *const dynamic = (char *)aligned_alloc(4096, 256 << 10);
  if (!prepare_fibers()) return OUT_OF_MEMORY;
  const unsigned size = block.x * block.y * block.z;
  const bool fibers = entry->barriers && size > 1;
  begin_kernel(entry, arguments, fibers);
  *entry->grid_size = {grid.x, grid.y, grid.z};
  *entry->block_size = {block.x, block.y, block.z};
  *entry->thread_index = {0, 0, 0};
  *entry->dynamic = dynamic;
  auto blocks = [&] {
    const unsigned long count = (unsigned long)grid.x * grid.y * grid.z;
    for (unsigned long turn = 0; turn < count; ++turn) {
      const unsigned long b = options.backward ? count - 1 - turn : turn;
      *entry->block_index = {(unsigned)(b % grid.x), (unsigned)(b / grid.x % grid.y), (unsigned)(b / grid.x / grid.y)};
      memset(entry->shared, POISON, entry->shared_end - entry->shared);
      memset(dynamic, POISON, shared + BEYOND);
      if (fibers)
        run_block(entry, size);
      else {
        *entry->thread_index = {0, 0, 0};
        entry->thread(arguments);
      }
      for (size_t i = shared; i < shared + BEYOND; ++i)
        if ((unsigned char)dynamic[i] != POISON) cuda_on_cpu_fail("access beyond dynamic shared memory");
    }
  };
  return guarded([&] {
    if (entry->barriers) return blocks();
    memset(dynamic, POISON, shared);
    entry->all(arguments, options.backward);
  });
}

// Every allocation whose address stands in an argument.
template <class Call>
static void for_each_allocation(const Entry *entry, void **arguments, Call call) {
  for (int i = 0; i < entry->count; ++i)
    for (size_t at = 0; at + 8 <= entry->sizes[i]; at += 8) {
      void *pointer;
      memcpy(&pointer, (char *)arguments[i] + at, 8);
      if (Allocation allocation = find(pointer); allocation.kind != Kind::unknown) call(i, allocation);
    }
}
static std::vector<Use> uses_of(const Entry *entry, void **arguments) {
  std::vector<Use> uses;
  const int known = strlen(entry->reads);
  for_each_allocation(entry, arguments, [&](int i, const Allocation &allocation) {
    uses.push_back({allocation.address, i >= known || entry->reads[i] == '0'});
  });
  return uses;
}

static int refused(const Function *f, Extent grid, Extent block, unsigned shared, void **arguments) {
  const Entry *entry = f->entry;
  const char *name = f->name.c_str();
  const size_t size = (size_t)block.x * block.y * block.z, fixed = entry->shared_end - entry->shared;
  if (!grid.x || !grid.y || !grid.z || grid.x > 2147483647u || grid.y > 65535 || grid.z > 65535 || !size ||
      size > MOST_THREADS || block.z > 64) {
    report("%s: blocks (%u, %u, %u) of (%u, %u, %u) threads are not allowed", name, grid.x, grid.y, grid.z, block.x,
           block.y, block.z);
    return INVALID_VALUE;
  }
  if (entry->bound && size > (size_t)entry->bound) {
    report("%s: %zu threads, and __launch_bounds__ says %d", name, size, entry->bound);
    return OUT_OF_RESOURCES;
  }
  if (shared + fixed > (size_t)f->shared_limit) {
    report("%s: %zu bytes of shared memory, and %d are allowed", name, shared + fixed, f->shared_limit);
    return INVALID_VALUE;
  }
  int result = OK;
  if (options.devices > 1)
    for_each_allocation(entry, arguments, [&](int, const Allocation &allocation) {
      if (allocation.kind != Kind::device || allocation.device == current_device) return;
      report("%s: memory of device %d in a kernel on device %d", name, allocation.device, current_device);
      result = ILLEGAL_ADDRESS;
    });
  return result;
}

API
cuLaunchKernel(Function *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
               unsigned shared, void *stream, void **arguments, void **) {
  Lock held(lock);
  const Entry *entry = f->entry;
  const Extent grid{gx, gy, gz}, block{bx, by, bz};
  if (int error = refused(f, grid, block, shared, arguments)) return error;
  ++counts[LAUNCHES];
  if (options.verbose)
    fprintf(stderr, "cuda_on_cpu: %s <<<(%u, %u, %u), (%u, %u, %u)>>> on %p\n", f->name.c_str(), gx, gy, gz, bx, by, bz,
            stream);
  if (immediate(stream) && !options.races) return run_kernel(entry, grid, block, shared, arguments);
  size_t whole = 16;
  for (int i = 0; i < entry->count; ++i) whole += padded(entry->sizes[i]);
  auto copies = std::shared_ptr<char>((char *)aligned_alloc(16, whole), free);
  char *at = copies.get();
  for (int i = 0; i < entry->count; at += padded(entry->sizes[i++])) memcpy(at, arguments[i], entry->sizes[i]);
  auto work = [=] {
    std::vector<void *> pointers(entry->count);
    char *here = copies.get();
    for (int i = 0; i < entry->count; here += padded(entry->sizes[i++])) pointers[i] = here;
    return run_kernel(entry, grid, block, shared, pointers.data());
  };
  return submit(stream, f->name.c_str(), work, options.races ? uses_of(entry, arguments) : std::vector<Use>{});
}
API
cuLaunchCooperativeKernel(Function *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                          unsigned shared, void *stream, void **arguments) {
  if (gx * gy * gz > 1) {
    report("%s: cooperative launches of several blocks are not emulated", f->name.c_str());
    return NOT_SUPPORTED;
  }
  return cuLaunchKernel(f, gx, gy, gz, bx, by, bz, shared, stream, arguments, nullptr);
}
