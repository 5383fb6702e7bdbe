// What all parts of the emulated device share: options, errors, memory, and how work is given to a stream.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

#define API extern "C" __attribute__((visibility("default"))) int

namespace cuda_on_cpu {

enum : int {  // numbers that cudaError_t and CUresult have in common
  OK = 0,
  INVALID_VALUE = 1,
  OUT_OF_MEMORY = 2,
  NO_DEVICE = 100,
  INVALID_DEVICE = 101,
  INVALID_IMAGE = 200,
  INVALID_HANDLE = 400,
  NOT_FOUND = 500,
  NOT_READY = 600,
  ILLEGAL_ADDRESS = 700,
  OUT_OF_RESOURCES = 701,
  LAUNCH_FAILED = 719,
  NOT_SUPPORTED = 801,
  CAPTURE_UNSUPPORTED = 900,
  CAPTURE_INVALIDATED = 901,
  CAPTURE_UNMATCHED = 903,
  CAPTURE_ISOLATION = 905,
  CAPTURE_IMPLICIT = 906,
};

constexpr int MOST_DEVICES = 8;

// Read once from the environment; README.md says what each does.
struct Options {
  bool lazy, backward, fence, races, verbose;
  size_t memory;
  int devices;
  bool mig;  // the one visible device is a part of a GPU
};
extern const Options options;

// All state is guarded by this lock: work runs one after the other, whatever thread brings it.
using Lock = std::lock_guard<std::recursive_mutex>;
extern std::recursive_mutex lock;
extern thread_local int current_device;

// Prints one line on stderr and counts it; the pytest plugin fails a test during which the count rose.
void report(const char *format, ...) __attribute__((format(printf, 1, 2)));

// How often something was asked of the device; cuda_on_cpu_count(what) tells tests.
enum Counted {
  LAUNCHES,
  COPIES_TO_DEVICE,
  COPIES_TO_HOST,
  COPIES_ON_DEVICE,
  MEMSETS,
  WAITS,
  ALLOCATIONS,  // of device and pinned memory, and of what CUDA allocates itself: see lacks_memory
  PRODUCTS,
  COUNTED
};
extern long counts[COUNTED];

// Counts an allocation: of memory, or of an object that CUDA needs memory for (stream, event, graph, module, function, handle).
// True where it has to fail, as a test has asked with cuda_on_cpu_fail_allocations(first, number).
bool lacks_memory();

// Memory
enum class Kind { unknown, host, device };
struct Allocation {
  uintptr_t address;
  size_t size;
  Kind kind;  // unknown: there is no such allocation
  int device;
};
int allocate(void **out, size_t size, Kind kind);
int release(void *pointer, Kind kind);
Allocation find(const void *pointer);                             // the live allocation that holds the address
size_t bytes_in_use();                                            // of the current device
bool inside(const void *pointer, size_t size, const char *what);  // reports where device memory does not hold it all
void check_guards();                                              // reports guard zones that were written to

// Streams. A null stream is the default one.
using Work = std::function<int()>;
struct Use {  // of an allocation by a piece of work, for the race checker
  uintptr_t address;
  bool writes;
};
bool immediate(void *stream);  // work on the stream may run at once: nothing captures it and nothing is waiting
int submit(void *stream, const char *name, Work work, std::vector<Use> uses = {});
int synchronize(void *stream);
int synchronize_all();
int drain();               // does all work; the race checker does not take it for the host's waiting
int refused_in_capture();  // an error where a capture forbids calls such as cudaMalloc

}  // namespace cuda_on_cpu
