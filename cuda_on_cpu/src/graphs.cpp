// Captures of streams, and the graphs that they become: work in the order in which it was issued.
#include <set>

#include "streams.h"

namespace cuda_on_cpu {

enum Mode { GLOBAL = 0, THREAD_LOCAL = 1 };  // of cudaStreamCaptureMode; relaxed captures forbid nothing
static auto &captures = *new std::set<Capture *>;

bool capturing() { return !captures.empty(); }

int refuse_capture(Stream *stream, const char *why) {
  stream->capture->broken = true;
  report("%s", why);
  return CAPTURE_UNSUPPORTED;
}

int begin_capture(void *handle, int mode) {
  Lock held(lock);
  Stream *stream = resolve(handle);
  if (is_default(stream)) {
    report("the default stream cannot be captured");
    return CAPTURE_UNSUPPORTED;
  }
  if (stream->capture) return INVALID_VALUE;
  stream->capture = std::make_shared<Capture>(Capture{stream, mode, std::this_thread::get_id(), {}});
  captures.insert(stream->capture.get());
  return OK;
}

int end_capture(void *handle, std::shared_ptr<Capture> *out) {
  Lock held(lock);
  Stream *stream = resolve(handle);
  auto capture = stream->capture;
  if (!capture || capture->origin != stream) return CAPTURE_UNMATCHED;
  for (Stream *other : all_streams())
    if (other->capture == capture) other->capture.reset();
  captures.erase(capture.get());
  capture->open = false;
  if (capture->broken) return CAPTURE_INVALIDATED;
  *out = capture;
  return OK;
}

int capture_status(void *handle) {  // as cudaStreamCaptureStatus: none, active, invalidated
  Lock held(lock);
  const auto &capture = resolve(handle)->capture;
  return !capture ? 0 : capture->broken ? 2 : 1;
}

int launch_graph(std::shared_ptr<Capture> graph, void *stream) {
  Lock held(lock);
  for (const Node &node : graph->nodes)
    if (int error = submit(stream, node.name.c_str(), node.work, node.uses)) return error;
  return OK;
}

int refused_in_capture() {
  Lock held(lock);
  for (Capture *capture : captures)
    if (capture->mode == GLOBAL || (capture->mode == THREAD_LOCAL && capture->thread == std::this_thread::get_id())) {
      capture->broken = true;
      report("a call that is not allowed while a stream is being captured");
      return CAPTURE_UNSUPPORTED;
    }
  return OK;
}
}  // namespace cuda_on_cpu
