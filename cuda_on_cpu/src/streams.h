// Streams, events, captures and the race checker's clocks, as the interfaces of CUDA use them.
#pragma once
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "device.h"

namespace cuda_on_cpu {
struct Stream;
using Clock = std::map<Stream *, uint64_t>;  // of each stream, how much of its work is known to be done
struct Point {                               // in a stream's work: all up to the count-th piece
  Stream *stream = nullptr;
  uint64_t count = 0;
};
struct Item {  // work that waits in a stream for others
  std::vector<Point> after;
  Work work;
};
struct Node {  // work that a capture holds
  std::string name;
  Work work;
  std::vector<Use> uses;
};
struct Capture {  // and, once ended, the graph
  Stream *origin;
  int mode;
  std::thread::id thread;
  std::vector<Node> nodes;
  bool broken = false, open = true;
};
struct Stream {  // counts what was issued to it and what was done
  bool blocking;
  unsigned flags = 0;
  int priority = 0;
  int device = 0;
  std::deque<Item> queue;
  uint64_t issued = 0, done = 0;
  std::vector<Point> waits;  // for the next work
  std::shared_ptr<Capture> capture;
  Clock clock;
};
struct Event {
  Point point;
  std::shared_ptr<Capture> capture;
  Clock clock;
  double time = 0;
};

// streams.cpp
Stream *resolve(void *handle);
std::vector<Stream *> all_streams();
bool is_default(const Stream *stream);
Stream &default_of(const Stream *stream);                     // of the stream's device
bool waits_for_default(const Stream *other, const Stream *);  // and the other way round
std::vector<Point> predecessors(Stream *stream);              // what new work on the stream has to come after
void *stream_create(bool blocking, unsigned flags, int priority);
int stream_destroy(void *stream);
int advance(Stream *stream, uint64_t until);  // does work, and first what that work waits for
int query(void *stream);

// events.cpp
int record(Event *event, void *stream);
int wait(void *stream, Event *event);
int synchronize_event(Event *event);
int query_event(Event *event);

// graphs.cpp
bool capturing();
int begin_capture(void *stream, int mode);
int end_capture(void *stream, std::shared_ptr<Capture> *out);
int capture_status(void *stream);
int launch_graph(std::shared_ptr<Capture> graph, void *stream);
int refuse_capture(Stream *stream, const char *why);  // breaks the stream's capture

// races.cpp
Clock &host_clock();  // of the calling thread
void merge(Clock &into, const Clock &from);
void note_uses(Stream *stream, const char *name, const std::vector<Use> &uses);
void forget_uses(uintptr_t address);
}  // namespace cuda_on_cpu
