// The CUDA runtime interface (libcudart) as CuPy calls it: streams, events and graphs.
#include "runtime.h"

#include <chrono>

using namespace cuda_on_cpu;

API
cudaStreamCreateWithPriority(cudaStream_t *out, unsigned flags, int priority) {
  if (lacks_memory()) return error(OUT_OF_MEMORY);
  *out = (cudaStream_t)stream_create(!(flags & cudaStreamNonBlocking), flags, priority);
  return cudaSuccess;
}
API
cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags) { return cudaStreamCreateWithPriority(out, flags, 0); }
API
cudaStreamCreate(cudaStream_t *out) { return cudaStreamCreateWithPriority(out, 0, 0); }
API
cudaStreamGetFlags(cudaStream_t stream, unsigned *flags) {
  *flags = resolve(stream)->flags;
  return cudaSuccess;
}
API
cudaStreamGetPriority(cudaStream_t stream, int *priority) {
  *priority = resolve(stream)->priority;
  return cudaSuccess;
}
API
cudaStreamDestroy(cudaStream_t stream) { return error(stream_destroy(stream)); }
API
cudaStreamSynchronize(cudaStream_t stream) { return error(synchronize(stream)); }
API
cudaStreamQuery(cudaStream_t stream) { return error(query((void *)stream)); }
API
cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) { return error(wait(stream, (Event *)event)); }
API
cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t call, void *data) {
  return error(submit(stream, "a function of the host", [=] {
    call(data);
    return OK;
  }));
}
API
cudaStreamAddCallback(cudaStream_t stream, cudaStreamCallback_t call, void *data, unsigned) {
  return error(submit(stream, "a function of the host", [=] {
    call(stream, cudaSuccess, data);
    return OK;
  }));
}

API
cudaEventCreateWithFlags(cudaEvent_t *out, unsigned) {
  if (lacks_memory()) return error(OUT_OF_MEMORY);
  *out = (cudaEvent_t) new Event;
  return cudaSuccess;
}
API
cudaEventCreate(cudaEvent_t *out) { return cudaEventCreateWithFlags(out, 0); }
API
cudaEventDestroy(cudaEvent_t event) {
  delete (Event *)event;
  return cudaSuccess;
}
API
cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  ((Event *)event)->time = std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  return error(record((Event *)event, stream));
}
API
cudaEventSynchronize(cudaEvent_t event) { return error(synchronize_event((Event *)event)); }
API
cudaEventQuery(cudaEvent_t event) { return error(query_event((Event *)event)); }
API
cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to) {
  *ms = 1e3 * (((Event *)to)->time - ((Event *)from)->time);
  return cudaSuccess;
}

// Handles of graphs hold a shared pointer to what was captured.
using Graph = std::shared_ptr<Capture>;
API
cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) { return error(begin_capture(stream, mode)); }
API
cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out) {
  Graph graph;
  const int result = end_capture(stream, &graph);
  *out = result ? nullptr : (cudaGraph_t) new Graph(graph);
  return error(result);
}
API
cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus *out) {
  *out = (cudaStreamCaptureStatus)capture_status(stream);
  return cudaSuccess;
}
API
cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long) {
  if (lacks_memory()) return error(OUT_OF_MEMORY);
  *out = (cudaGraphExec_t) new Graph(*(Graph *)graph);
  return cudaSuccess;
}
API
cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) { return error(launch_graph(*(Graph *)graph, stream)); }
API
cudaGraphUpload(cudaGraphExec_t, cudaStream_t) { return cudaSuccess; }
API
cudaGraphDestroy(cudaGraph_t graph) {
  delete (Graph *)graph;
  return cudaSuccess;
}
API
cudaGraphExecDestroy(cudaGraphExec_t graph) {
  delete (Graph *)graph;
  return cudaSuccess;
}
