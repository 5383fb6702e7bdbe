// The CUDA runtime interface (libcudart) as CuPy calls it: memory and copies.
#include "runtime.h"

#include <cstring>

using namespace cuda_on_cpu;

API
cudaMalloc(void **out, size_t size) {
  int e = refused_in_capture();
  return error(e ? e : allocate(out, size, Kind::device));
}
API
cudaHostAlloc(void **out, size_t size, unsigned) {
  int e = refused_in_capture();
  return error(e ? e : allocate(out, size, Kind::host));
}
API
cudaFree(void *pointer) {
  Lock held(lock);
  if (!pointer) return cudaSuccess;
  if (int e = drain()) return error(e);  // CUDA waits; CuPy's pool would not, so it is no order to count on
  return error(release(pointer, Kind::device));
}
API
cudaFreeHost(void *pointer) {
  Lock held(lock);
  if (int e = drain()) return error(e);
  return error(release(pointer, Kind::host));
}
API
cudaHostRegister(void *, size_t, unsigned) { return cudaSuccess; }
API
cudaHostUnregister(void *) { return cudaSuccess; }
API
cudaMemGetInfo(size_t *free, size_t *total) {
  *total = options.memory;
  *free = options.memory - bytes_in_use();
  return cudaSuccess;
}
API
cudaPointerGetAttributes(cudaPointerAttributes *out, const void *pointer) {
  memset(out, 0, sizeof *out);
  const Allocation allocation = find(pointer);
  const Kind kind = allocation.kind;
  out->type = kind == Kind::device ? cudaMemoryTypeDevice
              : kind == Kind::host ? cudaMemoryTypeHost
                                   : cudaMemoryTypeUnregistered;
  out->device = kind == Kind::unknown ? -2 : allocation.device;  // cudaInvalidDeviceId
  if (kind != Kind::unknown) out->devicePointer = (void *)pointer;
  if (kind != Kind::device) out->hostPointer = (void *)pointer;
  return cudaSuccess;
}

static bool on_device(const void *pointer) { return find(pointer).kind == Kind::device; }
// The direction must be that of the memory, and device memory must hold all of it.
static bool allowed(void *to, const void *from, size_t size, cudaMemcpyKind kind) {
  bool allowed = true;
  if (kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice) allowed &= inside(to, size, "memcpy to");
  if (kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice) allowed &= inside(from, size, "memcpy from");
  if (kind == cudaMemcpyHostToDevice && on_device(from)) {
    report("memcpy from the host: %p is memory of the device", from);
    allowed = false;
  }
  if (kind == cudaMemcpyDeviceToHost && on_device(to)) {
    report("memcpy to the host: %p is memory of the device", to);
    allowed = false;
  }
  return allowed;
}
static std::vector<Use> uses(void *to, const void *from) {
  std::vector<Use> all;
  if (!options.races) return all;
  if (Allocation allocation = find(to); allocation.kind != Kind::unknown) all.push_back({allocation.address, true});
  if (Allocation allocation = find(from); allocation.kind != Kind::unknown) all.push_back({allocation.address, false});
  return all;
}
API
cudaMemcpyAsync(void *to, const void *from, size_t size, cudaMemcpyKind kind, cudaStream_t stream) {
  Lock held(lock);
  if (!size) return cudaSuccess;
  if (!allowed(to, from, size, kind)) return error(INVALID_VALUE);
  ++counts[kind == cudaMemcpyHostToDevice   ? COPIES_TO_DEVICE
           : kind == cudaMemcpyDeviceToHost ? COPIES_TO_HOST
                                            : COPIES_ON_DEVICE];
  // Pageable memory of the host is read before the call returns; what goes to it is there when the call returns.
  const bool capture = capture_status(stream);
  const bool pageable_to = find(to).kind == Kind::unknown, pageable_from = find(from).kind == Kind::unknown;
  Work work = [=] {
    memmove(to, from, size);
    return OK;
  };
  if (pageable_from && options.lazy && !capture) {
    auto copy = std::make_shared<std::vector<char>>((const char *)from, (const char *)from + size);
    work = [=] {
      memcpy(to, copy->data(), size);
      return OK;
    };
  }
  int result = submit(stream, "memcpy", work, uses(to, from));
  if (!result && pageable_to && !capture) result = synchronize(stream);
  return error(result);
}
API
cudaMemcpy(void *to, const void *from, size_t size, cudaMemcpyKind kind) {
  Lock held(lock);
  if (int e = refused_in_capture()) return error(e);
  cudaError_t result = cudaMemcpyAsync(to, from, size, kind, nullptr);
  if (!result && kind != cudaMemcpyDeviceToDevice) result = error(synchronize(nullptr));
  return result;
}
API
cudaMemcpyPeer(void *to, int, const void *from, int, size_t size) {
  return cudaMemcpy(to, from, size, cudaMemcpyDeviceToDevice);
}
API
cudaMemcpyPeerAsync(void *to, int, const void *from, int, size_t size, cudaStream_t stream) {
  return cudaMemcpyAsync(to, from, size, cudaMemcpyDeviceToDevice, stream);
}
API
cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width, size_t height,
                  cudaMemcpyKind kind, cudaStream_t stream) {
  Lock held(lock);
  for (size_t row = 0; row < height; ++row)
    if (cudaError_t e =
            cudaMemcpyAsync((char *)to + row * to_pitch, (const char *)from + row * from_pitch, width, kind, stream))
      return e;
  return cudaSuccess;
}
API
cudaMemcpy2D(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width, size_t height,
             cudaMemcpyKind kind) {
  Lock held(lock);
  for (size_t row = 0; row < height; ++row)
    if (cudaError_t e = cudaMemcpy((char *)to + row * to_pitch, (const char *)from + row * from_pitch, width, kind))
      return e;
  return cudaSuccess;
}
API
cudaMemsetAsync(void *to, int value, size_t size, cudaStream_t stream) {
  Lock held(lock);
  if (!inside(to, size, "memset")) return error(INVALID_VALUE);
  ++counts[MEMSETS];
  return error(submit(
      stream, "memset",
      [=] {
        memset(to, value, size);
        return OK;
      },
      uses(to, nullptr)));
}
API
cudaMemset(void *to, int value, size_t size) {
  int e = refused_in_capture();
  return e ? error(e) : cudaMemsetAsync(to, value, size, nullptr);
}
