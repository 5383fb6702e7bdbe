// Streams: work runs when it is issued, or (CUDA_ON_CPU_LAZY=1) when the host or another stream has to wait for it.
#include <set>

#include "streams.h"

namespace cuda_on_cpu {

static auto &created = *new std::set<Stream *>;
// Of each device the default stream (handles 0 and 1) and the one of a thread (handle 2).
static std::vector<Stream> &defaults = *[] {
  auto *both = new std::vector<Stream>(2 * MOST_DEVICES, Stream{true});
  for (int i = 0; i < 2 * MOST_DEVICES; ++i) (*both)[i].device = i / 2;
  return both;
}();

Stream *resolve(void *handle) {
  const auto number = (uintptr_t)handle;
  return number < 3 ? &defaults[2 * current_device + number / 2] : (Stream *)handle;
}
std::vector<Stream *> all_streams() {
  std::vector<Stream *> all;
  for (Stream &stream : defaults) all.push_back(&stream);
  all.insert(all.end(), created.begin(), created.end());
  return all;
}
bool is_default(const Stream *stream) {
  return stream >= &defaults.front() && stream <= &defaults.back() && (stream - &defaults.front()) % 2 == 0;
}
Stream &default_of(const Stream *stream) { return defaults[2 * stream->device]; }
bool waits_for_default(const Stream *other, const Stream *stream) {
  return other != stream && other->blocking && other->device == stream->device;
}

void *stream_create(bool blocking, unsigned flags, int priority) {
  Lock held(lock);
  auto *stream = new Stream{blocking, flags, priority, current_device};
  created.insert(stream);
  return stream;
}
int stream_destroy(void *handle) {
  Lock held(lock);
  Stream *stream = resolve(handle);
  if (!created.count(stream)) return INVALID_HANDLE;
  advance(stream, stream->issued);  // CUDA lets the work finish
  created.erase(stream);            // the object stays, small as it is: events may point at it
  return OK;
}

int advance(Stream *stream, uint64_t until) {
  int result = OK;
  while (stream->done < until) {
    Item item = std::move(stream->queue.front());
    stream->queue.pop_front();
    for (const Point &point : item.after)
      if (int error = advance(point.stream, point.count)) result = error;
    if (item.work)
      if (int error = item.work()) result = error;
    ++stream->done;
  }
  return result;
}

std::vector<Point> predecessors(Stream *stream) {
  std::vector<Point> after = std::move(stream->waits);
  stream->waits.clear();
  Stream &legacy = default_of(stream);
  if (is_default(stream)) {
    for (Stream *other : all_streams())
      if (waits_for_default(other, stream) && other->issued > other->done) after.push_back({other, other->issued});
  } else if (stream->blocking && legacy.issued > legacy.done)
    after.push_back({&legacy, legacy.issued});
  return after;
}

bool immediate(void *handle) {
  Stream *stream = resolve(handle);
  return !options.lazy && !stream->capture && stream->device == current_device && !(is_default(stream) && capturing());
}

int submit(void *handle, const char *name, Work work, std::vector<Use> uses) {
  Lock held(lock);
  Stream *stream = resolve(handle);
  if (stream->device != current_device) {
    report("%s on a stream of device %d while device %d is the current one", name, stream->device, current_device);
    return INVALID_HANDLE;
  }
  if (stream->capture) {
    if (stream->capture->broken) return CAPTURE_INVALIDATED;
    stream->capture->nodes.push_back({name, std::move(work), std::move(uses)});
    return OK;
  }
  if (is_default(stream))
    for (Stream *other : all_streams())
      if (other->capture && waits_for_default(other, stream)) {
        other->capture->broken = true;
        report("%s on the default stream while a stream is being captured", name);
        return CAPTURE_IMPLICIT;
      }
  if (options.races) note_uses(stream, name, uses);
  if (!options.lazy) return work();
  stream->queue.push_back({predecessors(stream), std::move(work)});
  ++stream->issued;
  return OK;
}

int synchronize(void *handle) {
  Lock held(lock);
  Stream *stream = resolve(handle);
  ++counts[WAITS];
  if (stream->capture) return refuse_capture(stream, "synchronize on a stream being captured");
  int result = OK;
  if (is_default(stream))
    for (const Point &point : predecessors(stream))
      if (int error = advance(point.stream, point.count)) result = error;
  if (int error = advance(stream, stream->issued)) result = error;
  if (options.races) merge(host_clock(), stream->clock);
  return result;
}
int drain() {
  Lock held(lock);
  if (int error = refused_in_capture()) return error;
  int result = OK;
  for (Stream *stream : all_streams())
    if (int error = advance(stream, stream->issued)) result = error;
  return result;
}
int synchronize_all() {
  Lock held(lock);
  ++counts[WAITS];
  const int result = drain();
  if (options.races)
    for (Stream *stream : all_streams()) merge(host_clock(), stream->clock);
  return result;
}
int query(void *handle) {  // each look lets one piece of work be done, so that a loop of looks ends
  Lock held(lock);
  Stream *stream = resolve(handle);
  if (stream->capture) return refuse_capture(stream, "a query of a stream being captured");
  if (stream->done < stream->issued) advance(stream, stream->done + 1);
  if (stream->done < stream->issued) return NOT_READY;
  if (options.races) merge(host_clock(), stream->clock);
  return OK;
}
}  // namespace cuda_on_cpu
