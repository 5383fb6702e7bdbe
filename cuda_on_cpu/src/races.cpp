// The race checker (CUDA_ON_CPU_RACES=1), by vector clocks: an allocation remembers its last writer and its readers
// since; new work whose clock does not hold them has no order with them.
#include <algorithm>

#include "streams.h"

namespace cuda_on_cpu {

struct User {
  Stream *stream = nullptr;
  uint64_t count = 0;
  std::string name;
};
struct Users {
  User writer;
  std::map<Stream *, User> readers;
};
static auto &users_of = *new std::map<uintptr_t, Users>;

Clock &host_clock() {
  static thread_local Clock clock;
  return clock;
}
void merge(Clock &into, const Clock &from) {
  for (auto [stream, count] : from) into[stream] = std::max(into[stream], count);
}
void forget_uses(uintptr_t address) { users_of.erase(address); }

static void check(const User &user, const char *did, Stream *stream, const char *name, const Use &use) {
  if (!user.stream || user.stream == stream) return;
  auto known = stream->clock.find(user.stream);
  if (known == stream->clock.end() || known->second < user.count)
    report("race: %s on stream %p %s memory at %#lx that %s on stream %p %s, with no event between", name,
           (void *)stream, use.writes ? "writes" : "reads", (long)use.address, user.name.c_str(), (void *)user.stream,
           did);
}

void note_uses(Stream *stream, const char *name, const std::vector<Use> &uses) {
  Clock &clock = stream->clock;
  merge(clock, host_clock());  // what the host has waited for came before what it issues now
  if (is_default(stream)) {
    for (Stream *other : all_streams())
      if (waits_for_default(other, stream)) merge(clock, other->clock);
  } else if (stream->blocking)
    merge(clock, default_of(stream).clock);
  const uint64_t now = ++clock[stream];
  for (const Use &use : uses) {
    Users &users = users_of[use.address];
    check(users.writer, "wrote", stream, name, use);
    if (use.writes) {
      for (auto &[_, reader] : users.readers) check(reader, "read", stream, name, use);
      users.readers.clear();
      users.writer = {stream, now, name};
    } else
      users.readers[stream] = {stream, now, name};
  }
}
}  // namespace cuda_on_cpu
