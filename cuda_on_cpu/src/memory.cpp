// Memory of the device is memory of the host, but never of its heap: a kernel that writes to freed memory must not
// change the host's own data. Fresh and freed memory is full of 0xff: NaN as a number, -1 as an index. Guard zones before
// and after each allocation are looked at when it is freed, and after each test.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <sys/mman.h>
#include <vector>

#include "streams.h"

namespace cuda_on_cpu {

constexpr size_t GUARD = 512, PAGE = 4096, MOST_POISONED = 256u << 20, MOST_FREED = 8192, MOST_KEPT = 1 << 20;
constexpr int POISON = 0xff;
struct Record {
  size_t size;
  Kind kind;
  int device;
  char *base;    // of the pages that hold the guard zones too
  size_t whole;  // bytes from `base` to the end of the zone after, or to the page that faults
};
static auto &records = *new std::map<uintptr_t, Record>;  // never destroyed: arrays may outlive everything at exit
static size_t in_use[MOST_DEVICES];

static char *map_pages(size_t size) {
  void *pages = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return pages == MAP_FAILED ? nullptr : (char *)pages;
}
// Ends where a page that faults begins (CUDA_ON_CPU_FENCE=1).
static char *fenced(size_t size, size_t whole, char **base) {
  if (!(*base = map_pages(whole + PAGE))) return nullptr;
  mprotect(*base + whole, PAGE, PROT_NONE);
  return *base + whole - (size + 15) / 16 * 16;
}
// Pages of small allocations, by size, are kept for the next of that size.
static auto &kept = *new std::map<size_t, std::vector<char *>>;
static char *take_pages(size_t size) {
  auto &pages = kept[size];
  if (pages.empty()) return map_pages(size);
  char *last = pages.back();
  pages.pop_back();
  return last;
}
static void return_pages(char *base, size_t size) {
  if (size <= MOST_KEPT)
    kept[size].push_back(base);
  else
    munmap(base, size);
}
static size_t zone_after(const char *start, const Record &record) {
  return options.fence ? record.base + record.whole - start - record.size : GUARD;
}

int allocate(void **out, size_t size, Kind kind) {
  Lock held(lock);
  *out = nullptr;
  if (!size) return OK;
  if (lacks_memory()) return OUT_OF_MEMORY;
  if (kind != Kind::host && size > options.memory - in_use[current_device]) return OUT_OF_MEMORY;
  Record record = {size, kind, current_device, nullptr, (size + 2 * GUARD + 2 * PAGE - 1) / PAGE * PAGE};
  char *start;
  if (options.fence)
    start = fenced(size, record.whole, &record.base);
  else {
    record.base = take_pages(record.whole);
    start = record.base ? record.base + GUARD : nullptr;
  }
  if (!start) return OUT_OF_MEMORY;
  memset(start - GUARD, POISON, GUARD);
  memset(start, POISON, std::min(size, MOST_POISONED));
  memset(start + size, POISON, zone_after(start, record));
  records[(uintptr_t)start] = record;
  if (kind != Kind::host) in_use[current_device] += size;
  *out = start;
  return OK;
}

static void check_zone(char *from, size_t size, const char *where, char *start, const Record &record) {
  if (std::all_of(from, from + size, [](char byte) { return (unsigned char)byte == POISON; })) return;
  report("memory %s the %zu bytes at %p was written to", where, record.size, start);
  memset(from, POISON, size);  // so that it is reported once
}
static void check_guards_of(char *start, const Record &record) {
  check_zone(start - GUARD, GUARD, "before", start, record);
  check_zone(start + record.size, zone_after(start, record), "after", start, record);
}
void check_guards() {
  Lock held(lock);
  for (const auto &[address, record] : records) check_guards_of((char *)address, record);
}

int release(void *pointer, Kind kind) {
  Lock held(lock);
  if (!pointer) return OK;
  auto found = records.find((uintptr_t)pointer);
  if (found == records.end() || (found->second.kind == Kind::host) != (kind == Kind::host)) {
    report("free of %p, which is not an allocation", pointer);
    return INVALID_VALUE;
  }
  const Record record = found->second;
  check_guards_of((char *)pointer, record);
  records.erase(found);
  forget_uses((uintptr_t)pointer);
  if (record.kind != Kind::host) in_use[record.device] -= record.size;
  if (options.fence) {  // what was freed faults when it is used, until thousands more were freed
    mprotect(record.base, record.whole, PROT_NONE);
    madvise(record.base, record.whole, MADV_DONTNEED);
    static auto &freed = *new std::deque<std::pair<char *, size_t>>;
    freed.push_back({record.base, record.whole + PAGE});
    if (freed.size() > MOST_FREED) {
      munmap(freed.front().first, freed.front().second);
      freed.pop_front();
    }
  } else {
    if (record.size < 1 << 20) memset(pointer, POISON, record.size);
    return_pages(record.base, record.whole);
  }
  return OK;
}

Allocation find(const void *pointer) {
  Lock held(lock);
  auto next = records.upper_bound((uintptr_t)pointer);
  if (next == records.begin()) return {0, 0, Kind::unknown, 0};
  --next;
  if ((uintptr_t)pointer >= next->first + next->second.size) return {0, 0, Kind::unknown, 0};
  return {next->first, next->second.size, next->second.kind, next->second.device};
}
size_t bytes_in_use() { return in_use[current_device]; }

bool inside(const void *pointer, size_t size, const char *what) {
  if (!size) return true;
  const Allocation allocation = find(pointer);
  if (allocation.kind == Kind::unknown)
    report("%s: %p is not memory of the device", what, pointer);
  else if ((uintptr_t)pointer + size > allocation.address + allocation.size)
    report("%s: %zu bytes at %p leave their allocation of %zu bytes", what, size, pointer, allocation.size);
  else
    return true;
  return false;
}
}  // namespace cuda_on_cpu
