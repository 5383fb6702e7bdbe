// What the environment asks for, and how errors are reported.
#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "device.h"

namespace cuda_on_cpu {

static bool flag(const char *name) {
  const char *text = getenv(name);
  return text && *text && strcmp(text, "0");
}
static size_t number(const char *name, size_t otherwise) {
  const char *text = getenv(name);
  return text && *text ? strtoull(text, nullptr, 0) : otherwise;
}
// A part of a GPU (MIG) is named by its UUID; a process sees only one.
static bool names_mig(const char *text) { return text && !strncmp(text, "MIG-", 4); }
static int visible_devices() {
  const int all = std::clamp<size_t>(number("CUDA_ON_CPU_DEVICES", 1), 1, MOST_DEVICES);
  const char *text = getenv("CUDA_VISIBLE_DEVICES");
  if (!text) return all;
  if (names_mig(text)) return 1;
  int count = 0;
  for (char *end; *text; text = *end == ',' ? end + 1 : end) {  // up to the first that does not exist
    const long device = strtol(text, &end, 10);
    if (end == text || device < 0 || device >= all) break;
    ++count;
  }
  return count;
}
const Options options = {
    flag("CUDA_ON_CPU_LAZY"),  flag("CUDA_ON_CPU_BACKWARD"), flag("CUDA_ON_CPU_FENCE"),
    flag("CUDA_ON_CPU_RACES"), flag("CUDA_ON_CPU_VERBOSE"),  number("CUDA_ON_CPU_MEMORY", 8ull << 30),
    visible_devices(),         names_mig(getenv("CUDA_VISIBLE_DEVICES"))};
std::recursive_mutex lock;
thread_local int current_device;

long counts[COUNTED];

static long first_failure, last_failure;  // numbers of allocations, as counts[ALLOCATIONS]; 0: none
bool lacks_memory() {
  Lock held(lock);
  const long number = ++counts[ALLOCATIONS];
  return number >= first_failure && number <= last_failure;
}

static char last_report[1024];
static int reports;
void report(const char *format, ...) {
  ++reports;
  va_list list;
  va_start(list, format);
  vsnprintf(last_report, sizeof last_report, format, list);
  va_end(list);
  fprintf(stderr, "cuda_on_cpu: %s\n", last_report);
  const char *test = getenv("PYTEST_CURRENT_TEST"), *path = getenv("CUDA_ON_CPU_LOG");
  if (FILE *log = path ? fopen(path, "a") : nullptr) {
    fprintf(log, "%s | %s\n", last_report, test ? test : "");
    fclose(log);
  }
}
}  // namespace cuda_on_cpu

// For site/cuda_on_cpu_pytest.py: finishes all work, looks at all guard zones, and says how many reports there were.
API
cuda_on_cpu_reports() {
  cuda_on_cpu::Lock held(cuda_on_cpu::lock);
  if (!cuda_on_cpu::refused_in_capture()) cuda_on_cpu::drain();
  cuda_on_cpu::check_guards();
  return cuda_on_cpu::reports;
}
extern "C" __attribute__((visibility("default"))) long cuda_on_cpu_count(int what) { return cuda_on_cpu::counts[what]; }
extern "C" __attribute__((visibility("default"))) void cuda_on_cpu_fail_allocations(long first, long number) {
  cuda_on_cpu::Lock held(cuda_on_cpu::lock);
  cuda_on_cpu::first_failure = cuda_on_cpu::counts[cuda_on_cpu::ALLOCATIONS] + first;
  cuda_on_cpu::last_failure = cuda_on_cpu::first_failure + number - 1;
}
extern "C" __attribute__((visibility("default"))) const char *cuda_on_cpu_last_report() {
  return cuda_on_cpu::last_report;
}
