// Events: points in the work of a stream, for which the host and other streams can wait.
#include "streams.h"

namespace cuda_on_cpu {

int record(Event *event, void *handle) {
  Lock held(lock);
  Stream *stream = resolve(handle);
  event->capture = stream->capture;
  if (stream->capture) return OK;
  if (options.lazy) {
    stream->queue.push_back({predecessors(stream), nullptr});
    ++stream->issued;
  }
  event->point = {stream, stream->issued};
  if (options.races) event->clock = stream->clock;
  return OK;
}

int wait(void *handle, Event *event) {
  Lock held(lock);
  Stream *stream = resolve(handle);
  if (event->capture) {
    if (!event->capture->open) {
      report("a stream waits for an event of a capture that has ended");
      return CAPTURE_ISOLATION;
    }
    stream->capture = event->capture;
    return OK;
  }
  if (stream->capture) {
    refuse_capture(stream, "a captured stream waits for an event from outside");
    return CAPTURE_ISOLATION;
  }
  if (event->point.stream && event->point.stream != stream) {
    stream->waits.push_back(event->point);
    if (options.races) merge(stream->clock, event->clock);
  }
  return OK;
}

int synchronize_event(Event *event) {
  Lock held(lock);
  ++counts[WAITS];
  if (event->capture) return CAPTURE_UNSUPPORTED;
  if (!event->point.stream) return OK;
  const int result = advance(event->point.stream, event->point.count);
  if (options.races) merge(host_clock(), event->clock);
  return result;
}

int query_event(Event *event) {  // as `query`
  Lock held(lock);
  if (event->capture) return CAPTURE_UNSUPPORTED;
  const Point &point = event->point;
  if (!point.stream) return OK;
  if (point.stream->done < point.count) advance(point.stream, point.stream->done + 1);
  if (point.stream->done < point.count) return NOT_READY;
  if (options.races) merge(host_clock(), event->clock);
  return OK;
}
}  // namespace cuda_on_cpu
