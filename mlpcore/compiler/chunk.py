"""Runs the steps of a chunk in compiled code: the C text around the printed step, and its arguments."""

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mlpcore.compiler.graph import Node

STEP = """
// What a step is called with: its arrays, its numbers, and the tiles of its rows, which a function outside runs.
typedef void (*Phase)(const void *, I);
typedef struct {
  void **p;
  const double *c;
  I rows, each, tiles, threads;  // each: rows of a tile
  const I *strides;              // bytes from the memory of a tile to that of the next, by phase
  char *const *sums;             // partial results of all tiles but the first, by phase
  Gemm gemm;
  Gemmd gemmd;
  void (*run)(Phase, const void *, I tiles, I threads);  // NULL: one after the other
} Step;

#define PHASE __attribute__((noinline))

static inline void in_tiles(const Step *s, Phase phase, I tiles) {
  if (tiles > 1 && s->run) s->run(phase, s, tiles, s->threads);
  else for (I tile = 0; tile < tiles; tile++) phase(s, tile);
}
"""

CHUNK = """
// Steps: the rows of each are gathered, its draws read where they lie.
typedef struct {
  I parts, draws, steps, loss_bytes, *order, *row_bytes, *draw_bytes, *draw_at;
  char **data, **batch, **drawn, *losses, *loss;
  I *done;  // steps that are whole
} Chunk;

// Rows of a table one behind the other, without a call for each; the next is on its way to the cache meanwhile.
static void gather(char *restrict to, const char *restrict from, const I *rows, I n, I bytes) {
  if (bytes == 4)
    for (I i = 0; i < n; i++) memcpy(to + i * 4, from + rows[i] * 4, 4);
  else if (bytes == 8)
    for (I i = 0; i < n; i++) memcpy(to + i * 8, from + rows[i] * 8, 8);
  else
    for (I i = 0; i < n; i++, to += bytes) {
      const char *row = from + rows[i] * bytes, *next = from + rows[i + 1 < n ? i + 1 : i] * bytes;
      I b = 0;
      for (; b + 64 <= bytes; b += 64) {
        __builtin_prefetch(next + b);
        memcpy(to + b, row + b, 64);
      }
      for (; b + 4 <= bytes; b += 4) memcpy(to + b, row + b, 4);
      for (; b < bytes; b++) to[b] = row[b];
    }
}

void mlpcore_call(const Step *s) { one_step(s); }

// After the first step that ends later than `until`, a time of the clock, no other begins.
void mlpcore_run(const Step *step, const Chunk *k, double until) {
  const I n = step->rows;
  struct timespec now;
  for (I s = 0; s < k->steps; s++) {
    const I *rows = k->order + s * n;
    for (I part = 0; part < k->parts; part++) gather(k->batch[part], k->data[part], rows, n, k->row_bytes[part]);
    for (I d = 0; d < k->draws; d++) step->p[k->draw_at[d]] = k->drawn[d] + s * k->draw_bytes[d];
    one_step(step);
    memcpy(k->losses + s * k->loss_bytes, k->loss, k->loss_bytes);
    *k->done = s + 1;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec + 1e-9 * now.tv_nsec > until) return;
  }
}
"""


class StepStruct(ctypes.Structure):
    """The C struct ``Step``."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("p", "c")),
        *((name, ctypes.c_int64) for name in ("rows", "each", "tiles", "threads")),
        *((name, ctypes.c_void_p) for name in ("strides", "sums", "gemm", "gemmd", "run")),
    ]


class Steps(NamedTuple):
    """The steps of a chunk.

    Step i copies the rows ``order[i]`` of every packed array of ``data`` into ``inputs``, reads entry i of the packed
    ``draws`` and writes ``loss`` to ``losses[i]``. ``done`` (1,) counts the completed steps: after an exception the
    state is the one after that many steps.
    """

    data: Sequence[np.ndarray]
    inputs: Sequence[Node]
    order: np.ndarray
    draws: dict[Node, np.ndarray]
    loss: Node
    losses: np.ndarray
    done: np.ndarray


class ChunkStruct(ctypes.Structure):
    """The C struct ``Chunk``; its arrays must live as long as it is used."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("parts", "draws", "steps", "loss_bytes")),
        *((name, ctypes.c_void_p) for name in ("order", "row_bytes", "draw_bytes", "draw_at")),
        *((name, ctypes.c_void_p) for name in ("data", "batch", "drawn", "losses", "loss", "done")),
    ]


def chunk_struct(
    order: np.ndarray,
    data: Sequence[np.ndarray],
    batch: Sequence[np.ndarray],
    draws: dict[int, np.ndarray],
    losses: np.ndarray,
    loss: np.ndarray,
    done: np.ndarray,
) -> tuple[ChunkStruct, Sequence[Any]]:
    """The struct of a chunk of steps, and the arrays that it points to.

    Step i copies the rows ``order[i]`` of ``data`` into ``batch``; ``order`` is (steps, n). ``draws`` maps the number
    of an argument of the step to its array (steps, ...). ``losses`` (steps,) are filled from ``loss``; ``done`` (1,)
    counts completed steps.
    """
    order = np.ascontiguousarray(order, np.int64)
    drawn = [*draws.values()]
    owned = (  # ctypes makes short arrays several times as fast as NumPy
        _numbers([array.nbytes // len(array) for array in data]),
        _numbers([draw.nbytes // len(draw) for draw in drawn]),
        _numbers([*draws]),
        *(_numbers([array.ctypes.data for array in arrays]) for arrays in (data, batch, drawn)),
    )
    addresses = [order.ctypes.data, *map(ctypes.addressof, owned), *(a.ctypes.data for a in (losses, loss, done))]
    return ChunkStruct(len(data), len(drawn), len(order), loss.itemsize, *addresses), (order, *owned)


def _numbers(values: list[int]) -> Any:
    return (ctypes.c_int64 * len(values))(*values)
