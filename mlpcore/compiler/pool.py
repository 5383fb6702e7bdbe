"""The thread pool: a small C library that runs the tiles of a phase, called by address from compiled steps, or jobs."""

import ctypes
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mlpcore.compiler.build import CompilerError, build
from mlpcore.compiler.once import Once
from mlpcore.signals import signals_pass, signals_wait

TEXT = """
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

typedef int64_t I;
typedef void (*Phase)(const void *, I);

enum { MOST = 64, SPINS = 3000 };

// One phase at a time. The ticket is the number of the phase in its upper half, and in the lower how many of its tiles
// nobody has taken yet: where that is 0, the other fields may change.
static struct {
  _Atomic(Phase) phase;
  _Atomic(const void *) context;
  _Atomic I tiles, threads, undone, callers;
  _Atomic uint64_t ticket;
  _Atomic int taken, asleep, awaited, unused;
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

// A caller that runs its tiles alone takes the place of a worker: several callers use no more threads than one.
static int may_work(I worker) { return worker < atomic_load(&pool.threads) - atomic_load(&pool.callers); }

static int has_work(I worker) { return (uint32_t)atomic_load(&pool.ticket) && may_work(worker); }

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
    if (!left || (worker >= 0 && !may_work(worker))) return 0;
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

// While more calls ask for no threads than ask for them again, every caller runs its tiles alone.
void mlpcore_use(int change) { atomic_fetch_sub(&pool.unused, change); }

// Runs phase(context, 0) to phase(context, tiles - 1) on so many threads, the caller among them. While another caller
// has the threads, this one does its tiles alone.
void mlpcore_tiles(Phase phase, const void *context, I tiles, I threads) {
  atomic_fetch_add(&pool.callers, 1);
  if (threads < 2 || atomic_load(&pool.unused) || atomic_exchange(&pool.taken, 1)) {
    for (I tile = 0; tile < tiles; tile++) phase(context, tile);
    atomic_fetch_sub(&pool.callers, 1);
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
  atomic_fetch_sub(&pool.callers, 1);
}

// C functions with their arguments, and the time after which no other begins.
typedef struct {
  void (*run)(const void *, const void *, double);
  const void *first, *second;
} Job;
typedef struct {
  const Job *jobs;
  double until;
} Jobs;

static void one_job(const void *context, I number) {
  const Jobs *all = context;
  const Job *job = all->jobs + number;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  if (number && now.tv_sec + 1e-9 * now.tv_nsec > all->until) return;
  job->run(job->first, job->second, all->until);
}

void mlpcore_jobs(const Job *jobs, I count, I threads, double until) {
  const Jobs all = {jobs, until};
  mlpcore_tiles(one_job, &all, count, threads);
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
  atomic_store(&pool.callers, 0);
}

__attribute__((constructor)) static void at_load(void) { pthread_atfork(0, 0, in_child); }
"""


class Job(NamedTuple):
    """A call of the C function at the address ``run`` with two addresses and the time after which it should end."""

    run: int
    first: int
    second: int


def run_jobs(jobs: Sequence[Job], until: float) -> None:
    """Run the jobs on all threads, each on one; past ``until``, a time of `time.monotonic`, only the first begins."""
    table = np.array(jobs, np.uint64)
    _library().mlpcore_jobs(
        ctypes.c_void_p(table.ctypes.data), ctypes.c_int64(len(jobs)), ctypes.c_int64(threads()), ctypes.c_double(until)
    )


@Once
def _library() -> ctypes.CDLL:
    return build(TEXT)


@cache
def address() -> int | None:
    """The address of the function that runs tiles; None where it cannot be compiled, so that one thread runs them.

    The threads start with the first call and sleep between calls.
    """
    try:
        return ctypes.cast(_library().mlpcore_tiles, ctypes.c_void_p).value
    except CompilerError:
        return None


@contextmanager
def unused() -> Iterator[None]:
    """A context in which compiled code runs its tiles on the calling thread, for callers with threads of their own.

    It holds for the whole process; the results are the same.
    """
    if address() is None:
        yield
        return
    use = _library().mlpcore_use
    leave, entered = partial(use, ctypes.c_int(1)), False
    try:
        with signals_wait():  # until it is known that the context is entered
            use(ctypes.c_int(-1))
            entered = True
        yield
    finally:
        if entered:
            leave()


def _number(name: str) -> int:
    """A number of threads in the environment, the first of a list such as "4,2"; 0 where there is none."""
    setting = os.environ.get(name, "").partition(",")[0].strip()
    return int(setting) if setting.isdecimal() else 0


# Read once, as OpenMP does: a process that starts workers of Dask finds their limit in its own environment afterwards.
_LIMIT = _number("OMP_NUM_THREADS")


def threads() -> int:
    """The number of threads of a step, on which its results do not depend.

    It is ``MLPCORE_NUM_THREADS`` where that is set. Else it is the number of cores that this process may use, or
    ``OMP_NUM_THREADS`` if that is less: joblib, Dask, torchrun and batch systems set it in the processes that they
    start, so that all of them together have one thread for each core. It is read when this module is imported.

    Hardware threads of one core count once, because one thread of matrix products keeps a core busy.
    """
    return _number("MLPCORE_NUM_THREADS") or (min(_LIMIT, _cores()) if _LIMIT else _cores())


def _cores() -> int:
    """The number of cores that this process may use."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    return len({_core(number) for number in os.sched_getaffinity(0)})


@cache  # a file each, and `threads` is read for every chunk of several networks
@signals_pass()
def _core(number: int) -> str:
    """A name for the core of a hardware thread: the list of its hardware threads, as Linux writes it."""
    try:
        return Path(f"/sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list").read_text()
    except OSError:
        return str(number)
