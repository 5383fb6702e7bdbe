"""The text around the printed steps: types, functions that C lacks, and the walk over the steps of a chunk."""

from mlpcore.compiler import elementary

PREAMBLE = """\
#include <math.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

typedef int64_t I;
typedef void (*Gemm)(int, int, int, I, I, I, float, const float *, I, const float *, I, float, float *, I);
typedef void (*Gemmd)(int, int, int, I, I, I, double, const double *, I, const double *, I, double, double *, I);

ELEMENTARY
static inline float remainder_off(float x, float y) { float r = fmodf(x, y); return r && (r < 0) != (y < 0) ? r + y : r ? r : copysignf(0, y); }
static inline double remainder_of(double x, double y) { double r = fmod(x, y); return r && (r < 0) != (y < 0) ? r + y : r ? r : copysign(0, y); }
static inline float floor_dividef(float x, float y) { return floorf((x - remainder_off(x, y)) / y + 0.5f); }
static inline double floor_divide(double x, double y) { return floor((x - remainder_of(x, y)) / y + 0.5); }
static inline float logaddexpf(float x, float y) { float m = x > y ? x : y; return x == y ? x + 0.693147180559945309f : m + mlp_log1pf(mlp_expf(-fabsf(x - y))); }
static inline double logaddexp(double x, double y) { double m = x > y ? x : y; return x == y ? x + 0.693147180559945309 : m + mlp_log1p(mlp_exp(-fabs(x - y))); }
""".replace("ELEMENTARY", elementary.text("float") + elementary.text("double"))  # noqa: E501

CHUNK = """
// Steps, until the time is up: the rows of each are gathered, its draws read where they lie.
typedef struct {
  I parts, draws, steps, loss_bytes, *order, *row_bytes, *draw_bytes, *draw_at;
  char **data, **batch, **drawn, *losses, *loss;
  double seconds;
} Chunk;

void mlpcore_call(void **p, const double *c, I n, Gemm gemm, Gemmd gemmd) { one_step(p, c, n, gemm, gemmd); }

I mlpcore_run(void **p, const double *c, I n, Gemm gemm, Gemmd gemmd, const Chunk *k) {
  struct timespec begin, now;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  for (I s = 0; s < k->steps; s++) {
    const I *rows = k->order + s * n;
    for (I part = 0; part < k->parts; part++) {
      const I bytes = k->row_bytes[part];
      for (I i = 0; i < n; i++) memcpy(k->batch[part] + i * bytes, k->data[part] + rows[i] * bytes, bytes);
    }
    for (I d = 0; d < k->draws; d++) p[k->draw_at[d]] = k->drawn[d] + s * k->draw_bytes[d];
    one_step(p, c, n, gemm, gemmd);
    memcpy(k->losses + s * k->loss_bytes, k->loss, k->loss_bytes);
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec - begin.tv_sec + 1e-9 * (now.tv_nsec - begin.tv_nsec) > k->seconds) return s + 1;
  }
  return k->steps;
}
"""
