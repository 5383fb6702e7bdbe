// The driver interface (libcuda) as CuPy calls it, but for launches: modules, functions, contexts.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <unistd.h>

#include "driver.h"

using namespace cuda_on_cpu;

constexpr int MAX_DYNAMIC_SHARED = 8, MOST_SHARED = 232448;  // CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES

// Modules: an image is a shared object; it is opened through a file
static void *open_image(const void *image) {
  // The size of an ELF file is the end of its table of sections.
  const unsigned char *bytes = (const unsigned char *)image;
  if (memcmp(bytes, "\177ELF", 4)) return nullptr;
  uint64_t table;
  uint16_t entry, count;
  memcpy(&table, bytes + 40, 8);
  memcpy(&entry, bytes + 58, 2);
  memcpy(&count, bytes + 60, 2);
  const size_t size = table + (size_t)entry * count;
  static unsigned opened;  // dlopen knows files by their names, so each name is new
  const std::string path = std::string(getenv("TMPDIR") ?: "/tmp") + "/cuda_on_cpu-" + std::to_string(getpid()) + "-" +
                           std::to_string(opened++) + ".so";
  FILE *file = fopen(path.c_str(), "wb");
  if (!file) return nullptr;
  fwrite(image, 1, size, file);
  fclose(file);
  void *module = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!module) report("%s", dlerror());
  unlink(path.c_str());
  return module;
}
API
cuModuleLoadData(void **module, const void *image) {
  Lock held(lock);
  if (lacks_memory()) return OUT_OF_MEMORY;
  *module = open_image(image);
  return *module ? OK : INVALID_IMAGE;
}
API
cuModuleLoad(void **module, const char *path) {
  if (lacks_memory()) return OUT_OF_MEMORY;
  *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  return *module ? OK : INVALID_IMAGE;
}
API
cuModuleUnload(void *) { return OK; }  // work that waits may still need its code, so it stays
API
cuModuleGetFunction(Function **out, void *module, const char *name) {
  if (lacks_memory()) return OUT_OF_MEMORY;  // functions are loaded lazily
  const auto *entry = (const Entry *)dlsym(module, ("cuda_on_cpu_entry_" + std::string(name)).c_str());
  if (!entry) {
    *out = nullptr;
    return NOT_FOUND;
  }
  *out = new Function{name, entry, 49152};
  return OK;
}
API
cuModuleGetGlobal_v2(void **address, size_t *size, void *module, const char *name) {
  *address = dlsym(module, name);
  const auto *bytes = (const size_t *)dlsym(module, ("cuda_on_cpu_size_" + std::string(name)).c_str());
  if (size) *size = bytes ? *bytes : 0;
  return *address ? OK : NOT_FOUND;
}
API
cuFuncGetAttribute(int *value, int name, Function *f) {
  const int fixed = f->entry->shared_end - f->entry->shared;
  switch (name) {  // CUfunction_attribute
    case 0: *value = f->entry->bound ? f->entry->bound : MOST_THREADS; break;
    case 1: *value = fixed; break;
    case 4: *value = 32; break;  // registers: no figure of a card's
    case MAX_DYNAMIC_SHARED: *value = f->shared_limit - fixed; break;
    default: *value = 0;
  }
  return OK;
}
API
cuFuncSetAttribute(Function *f, int name, int value) {
  if (name == MAX_DYNAMIC_SHARED) {
    const int fixed = f->entry->shared_end - f->entry->shared;
    if (value + fixed > MOST_SHARED) return INVALID_VALUE;
    f->shared_limit = value + fixed;
  }
  return OK;
}
API
cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, Function *, int threads, size_t) {
  *blocks = 2048 / threads;
  return OK;
}
API
cuOccupancyMaxPotentialBlockSize(int *blocks, int *threads, Function *f, void *, size_t, int limit) {
  *threads = f->entry->bound ? f->entry->bound : 256;
  if (limit && *threads > limit) *threads = limit;
  *blocks = 132 * (2048 / *threads);
  return OK;
}

// The rest of the driver
API
cuGetErrorName(int number, const char **out) {
  *out = number == INVALID_IMAGE      ? "CUDA_ERROR_INVALID_IMAGE"
         : number == NOT_FOUND        ? "CUDA_ERROR_NOT_FOUND"
         : number == INVALID_VALUE    ? "CUDA_ERROR_INVALID_VALUE"
         : number == ILLEGAL_ADDRESS  ? "CUDA_ERROR_ILLEGAL_ADDRESS"
         : number == LAUNCH_FAILED    ? "CUDA_ERROR_LAUNCH_FAILED"
         : number == OUT_OF_RESOURCES ? "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"
         : number == CAPTURE_IMPLICIT ? "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT"
         : number == OUT_OF_MEMORY    ? "CUDA_ERROR_OUT_OF_MEMORY"
                                      : "CUDA_ERROR_UNKNOWN";
  return OK;
}
API
cuGetErrorString(int number, const char **out) {
  switch (number) {
    case ILLEGAL_ADDRESS: *out = "an illegal memory access was encountered"; return OK;
    case OUT_OF_MEMORY: *out = "out of memory"; return OK;
    default: return cuGetErrorName(number, out);
  }
}
API
cuDevicePrimaryCtxRelease_v2(int) { return OK; }
API
cuCtxGetCurrent(void **out) {
  *out = (void *)(size_t)(1 + current_device);
  return OK;
}
API
cuCtxSetCurrent(void *) { return OK; }
API
cuCtxCreate_v2(void **out, unsigned, int) {
  *out = (void *)1;
  return OK;
}
API
cuCtxDestroy_v2(void *) { return OK; }
API
cuCtxGetDevice(int *out) {
  *out = current_device;
  return OK;
}
API
cuStreamGetCtx(void *, void **out) {
  *out = (void *)1;
  return OK;
}
API
cuLinkCreate_v2() { return NOT_SUPPORTED; }
API
cuLinkAddData_v2() { return NOT_SUPPORTED; }
API
cuLinkAddFile_v2() { return NOT_SUPPORTED; }
API
cuLinkComplete() { return NOT_SUPPORTED; }
API
cuLinkDestroy() { return NOT_SUPPORTED; }
