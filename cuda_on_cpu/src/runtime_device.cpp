// The CUDA runtime interface (libcudart) as CuPy calls it: errors and the device.
#include "runtime.h"

#include <cstdio>
#include <cstring>

using namespace cuda_on_cpu;

extern "C" __attribute__((visibility("default"))) const char *cudaGetErrorName(cudaError_t number) {
  switch ((int)number) {
    case OK: return "cudaSuccess";
    case INVALID_VALUE: return "cudaErrorInvalidValue";
    case OUT_OF_MEMORY: return "cudaErrorMemoryAllocation";
    case NO_DEVICE: return "cudaErrorNoDevice";
    case INVALID_DEVICE: return "cudaErrorInvalidDevice";
    case INVALID_HANDLE: return "cudaErrorInvalidResourceHandle";
    case NOT_READY: return "cudaErrorNotReady";
    case ILLEGAL_ADDRESS: return "cudaErrorIllegalAddress";
    case LAUNCH_FAILED: return "cudaErrorLaunchFailure";
    case NOT_SUPPORTED: return "cudaErrorNotSupported";
    case CAPTURE_UNSUPPORTED: return "cudaErrorStreamCaptureUnsupported";
    case CAPTURE_INVALIDATED: return "cudaErrorStreamCaptureInvalidated";
    case CAPTURE_UNMATCHED: return "cudaErrorStreamCaptureUnmatched";
    case CAPTURE_ISOLATION: return "cudaErrorStreamCaptureIsolation";
    case CAPTURE_IMPLICIT: return "cudaErrorStreamCaptureImplicit";
    default: return "cudaErrorUnknown";
  }
}
extern "C" __attribute__((visibility("default"))) const char *cudaGetErrorString(cudaError_t number) {
  switch ((int)number) {
    case OUT_OF_MEMORY: return "out of memory";
    case INVALID_VALUE: return "invalid argument";
    case NO_DEVICE: return "no CUDA-capable device is detected";
    case INVALID_DEVICE: return "invalid device ordinal";
    case ILLEGAL_ADDRESS: return "an illegal memory access was encountered";
    case LAUNCH_FAILED: return "unspecified launch failure";
    case NOT_SUPPORTED: return "operation not supported by the emulated device (cuda_on_cpu)";
    default: return cudaGetErrorName(number);
  }
}
API
cudaGetLastError(void) { return cudaSuccess; }
API
cudaDriverGetVersion(int *version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
API
cudaRuntimeGetVersion(int *version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

static bool is_device(int device) { return device >= 0 && device < options.devices; }
static int some_device() { return options.devices ? OK : NO_DEVICE; }
API
cudaGetDevice(int *device) {
  *device = current_device;
  return error(some_device());
}
API
cudaGetDeviceCount(int *count) {
  *count = options.devices;
  return error(some_device());
}
API
cudaSetDevice(int device) {
  if (int e = some_device()) return error(e);
  if (!is_device(device)) return error(INVALID_DEVICE);
  current_device = device;
  return cudaSuccess;
}
API
cudaDeviceSynchronize(void) { return error(synchronize_all()); }
API
cudaDeviceGetAttribute(int *value, cudaDeviceAttr name, int device) {
  if (!is_device(device)) return error(INVALID_DEVICE);
  switch (name) {
    case cudaDevAttrComputeCapabilityMajor: *value = 9; break;
    case cudaDevAttrComputeCapabilityMinor: *value = 0; break;
    case cudaDevAttrMultiProcessorCount: *value = 132; break;
    case cudaDevAttrMaxThreadsPerBlock:
    case cudaDevAttrMaxBlockDimX:
    case cudaDevAttrMaxBlockDimY: *value = 1024; break;
    case cudaDevAttrMaxBlockDimZ: *value = 64; break;
    case cudaDevAttrMaxGridDimX: *value = 2147483647; break;
    case cudaDevAttrMaxGridDimY:
    case cudaDevAttrMaxGridDimZ: *value = 65535; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = 49152; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = 232448; break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *value = 233472; break;
    case cudaDevAttrMaxRegistersPerBlock:
    case cudaDevAttrMaxRegistersPerMultiprocessor: *value = 65536; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = 2048; break;
    case cudaDevAttrWarpSize: *value = 32; break;
    case cudaDevAttrMemoryPoolsSupported: *value = 0; break;
    default: *value = 1;
  }
  return cudaSuccess;
}
API
cudaGetDeviceProperties(cudaDeviceProp *p, int device) {
  if (!is_device(device)) return error(INVALID_DEVICE);
  memset(p, 0, sizeof *p);
  strcpy(p->name, options.mig ? "cuda_on_cpu: emulated on the CPU MIG 1g.10gb" : "cuda_on_cpu: emulated on the CPU");
  p->major = 9;
  p->multiProcessorCount = 132;
  p->warpSize = 32;
  p->maxThreadsPerBlock = p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024;
  p->maxThreadsDim[2] = 64;
  p->maxGridSize[0] = 2147483647;
  p->maxGridSize[1] = p->maxGridSize[2] = 65535;
  p->maxThreadsPerMultiProcessor = 2048;
  p->sharedMemPerBlock = 49152;
  p->sharedMemPerBlockOptin = 232448;
  p->regsPerBlock = 65536;
  p->totalGlobalMem = options.memory;
  p->l2CacheSize = 50 << 20;
  return cudaSuccess;
}
API
cudaDeviceCanAccessPeer(int *can, int, int) {
  *can = 0;
  return cudaSuccess;
}
API
cudaDeviceGetPCIBusId(char *text, int size, int) {
  snprintf(text, size, "0000:00:00.0");
  return cudaSuccess;
}
API
cudaDeviceGetLimit(size_t *value, cudaLimit) {
  *value = 0;
  return cudaSuccess;
}
API
cudaDeviceSetLimit(cudaLimit, size_t) { return cudaSuccess; }
API
cudaProfilerStart(void) { return cudaSuccess; }
API
cudaProfilerStop(void) { return cudaSuccess; }
