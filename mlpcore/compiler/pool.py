"""The thread pool that runs the tiles of a phase: a small C library, called by address from the compiled steps."""

import ctypes
import os
from functools import cache
from pathlib import Path

from mlpcore.compiler.build import CompilerError, build

TEXT = """
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>

typedef int64_t I;
typedef void (*Phase)(const void *, I);

enum { MOST = 64, SPINS = 3000 };

// One phase at a time. The ticket is the number of the phase in its upper half, and in the lower how many of its tiles
// nobody has taken yet: where that is 0, the other fields may change.
static struct {
  _Atomic(Phase) phase;
  _Atomic(const void *) context;
  _Atomic I tiles, threads, undone;
  _Atomic uint64_t ticket;
  _Atomic int taken, asleep, awaited;
  I workers;
  pthread_mutex_t lock;
  pthread_cond_t begun, ended;
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER, .begun = PTHREAD_COND_INITIALIZER, .ended = PTHREAD_COND_INITIALIZER };

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static int has_work(I worker) {
  return (uint32_t)atomic_load(&pool.ticket) && worker < atomic_load(&pool.threads) - 1;
}

// Runs one tile, if one is left. The caller is worker -1.
static int run_one(I worker) {
  uint64_t ticket = atomic_load(&pool.ticket);
  Phase phase;
  const void *context;
  I tile;
  do {
    const I left = (uint32_t)ticket;
    phase = atomic_load(&pool.phase);
    context = atomic_load(&pool.context);
    tile = atomic_load(&pool.tiles) - left;
    if (!left || worker >= atomic_load(&pool.threads) - 1) return 0;
  } while (!atomic_compare_exchange_weak(&pool.ticket, &ticket, ticket - 1));
  phase(context, tile);
  if (atomic_fetch_sub(&pool.undone, 1) == 1 && atomic_load(&pool.awaited)) {
    pthread_mutex_lock(&pool.lock);
    pthread_cond_signal(&pool.ended);
    pthread_mutex_unlock(&pool.lock);
  }
  return 1;
}

static void *work(void *number) {
  const I worker = (intptr_t)number;
  for (;;) {
    for (int spin = 0; spin < SPINS && !has_work(worker); spin++) relax();
    if (!has_work(worker)) {
      pthread_mutex_lock(&pool.lock);
      atomic_fetch_add(&pool.asleep, 1);
      while (!has_work(worker)) pthread_cond_wait(&pool.begun, &pool.lock);
      atomic_fetch_sub(&pool.asleep, 1);
      pthread_mutex_unlock(&pool.lock);
    }
    while (run_one(worker)) {}
  }
  return 0;
}

// Signals are for the threads of the program. Where no thread can be had, those that there are do.
static void hire(I wanted) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  while (pool.workers < wanted && pool.workers < MOST) {
    pthread_t thread;
    if (pthread_create(&thread, 0, work, (void *)(intptr_t)pool.workers)) break;
    pthread_detach(thread);
    pool.workers++;
  }
  pthread_sigmask(SIG_SETMASK, &before, 0);
}

// Runs phase(context, 0) to phase(context, tiles - 1) on so many threads, the caller among them. While another caller
// has the threads, this one does its tiles alone.
void mlpcore_tiles(Phase phase, const void *context, I tiles, I threads) {
  if (threads < 2 || atomic_exchange(&pool.taken, 1)) {
    for (I tile = 0; tile < tiles; tile++) phase(context, tile);
    return;
  }
  if (pool.workers < threads - 1) hire(threads - 1);
  atomic_store(&pool.phase, phase);
  atomic_store(&pool.context, context);
  atomic_store(&pool.tiles, tiles);
  atomic_store(&pool.threads, threads);
  atomic_store(&pool.undone, tiles);
  atomic_store(&pool.ticket, (((atomic_load(&pool.ticket) >> 32) + 1) << 32) | (uint64_t)tiles);
  if (atomic_load(&pool.asleep)) {
    pthread_mutex_lock(&pool.lock);
    pthread_cond_broadcast(&pool.begun);
    pthread_mutex_unlock(&pool.lock);
  }
  while (run_one(-1)) {}
  for (int spin = 0; spin < SPINS && atomic_load(&pool.undone); spin++) relax();
  if (atomic_load(&pool.undone)) {
    pthread_mutex_lock(&pool.lock);
    atomic_store(&pool.awaited, 1);
    while (atomic_load(&pool.undone)) pthread_cond_wait(&pool.ended, &pool.lock);
    atomic_store(&pool.awaited, 0);
    pthread_mutex_unlock(&pool.lock);
  }
  atomic_store(&pool.taken, 0);
}

// A child process has none of the threads, and nobody who holds the lock.
static void in_child(void) {
  const pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  const pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  pool.lock = lock;
  pool.begun = pool.ended = condition;
  pool.workers = 0;
  atomic_store(&pool.ticket, 0);
  atomic_store(&pool.asleep, 0);
  atomic_store(&pool.awaited, 0);
  atomic_store(&pool.taken, 0);
}

__attribute__((constructor)) static void at_load(void) { pthread_atfork(0, 0, in_child); }
"""


@cache
def address() -> int | None:
    """The address of the function that runs tiles; None where it cannot be compiled, so that one thread runs them.

    The threads start with the first call and sleep between calls.
    """
    try:
        return ctypes.cast(build(TEXT).mlpcore_tiles, ctypes.c_void_p).value
    except CompilerError:
        return None


def threads() -> int:
    """The number of threads of a step: ``MLPCORE_NUM_THREADS``, else the number of cores that this process may use.

    Hardware threads of one core count once, because one thread of matrix products keeps a core busy.
    """
    setting = os.environ.get("MLPCORE_NUM_THREADS", "")
    if setting.isdigit() and int(setting):
        return int(setting)
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    return len({_core(number) for number in os.sched_getaffinity(0)})


def _core(number: int) -> str:
    """A name for the core of a hardware thread: the list of its hardware threads, as Linux writes it."""
    try:
        return Path(f"/sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list").read_text()
    except OSError:
        return str(number)
