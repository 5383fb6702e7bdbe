"""The text before the printed step: types, and functions that C lacks."""

from mlpcore.compiler import elementary

PREAMBLE = """\
#include <math.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

typedef int64_t I;
// What a loop writes, no other iteration of it reads: the compiler need not look for arrays that overlap.
#ifdef __clang__
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#define LANEWISE INDEPENDENT
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#define LANEWISE _Pragma("GCC ivdep") _Pragma("GCC unroll 1")  // a loop over lanes becomes vectors, not copies
#endif
typedef void (*Gemm)(int, int, int, I, I, I, float, const float *, I, const float *, I, float, float *, I);
typedef void (*Gemmd)(int, int, int, I, I, I, double, const double *, I, const double *, I, double, double *, I);

ELEMENTARY
static inline float remainder_off(float x, float y) {
  float r = fmodf(x, y);
  return r && (r < 0) != (y < 0) ? r + y : r ? r : copysignf(0, y);
}
static inline double remainder_of(double x, double y) {
  double r = fmod(x, y);
  return r && (r < 0) != (y < 0) ? r + y : r ? r : copysign(0, y);
}
static inline float floor_dividef(float x, float y) { return floorf((x - remainder_off(x, y)) / y + 0.5f); }
static inline double floor_divide(double x, double y) { return floor((x - remainder_of(x, y)) / y + 0.5); }
static inline float logaddexpf(float x, float y) {
  float m = x > y ? x : y;
  return x == y ? x + 0.693147180559945309f : m + mlp_log1pf(mlp_expf(-fabsf(x - y)));
}
static inline double logaddexp(double x, double y) {
  double m = x > y ? x : y;
  return x == y ? x + 0.693147180559945309 : m + mlp_log1p(mlp_exp(-fabs(x - y)));
}
""".replace("ELEMENTARY", elementary.text("float") + elementary.text("double"))
