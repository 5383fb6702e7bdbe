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
static inline float floor_dividef(float x, float y) {
  float r = fmodf(x, y), q = (x - r) / y, down;
  if (y == 0) return x / y;
  if (r && (r < 0) != (y < 0)) q -= 1;
  down = floorf(q);
  return q ? down + (q - down > 0.5f) : copysignf(0, x / y);
}
static inline double floor_divide(double x, double y) {
  double r = fmod(x, y), q = (x - r) / y, down;
  if (y == 0) return x / y;
  if (r && (r < 0) != (y < 0)) q -= 1;
  down = floor(q);
  return q ? down + (q - down > 0.5) : copysign(0, x / y);
}
// Of whole numbers; over zero 0, as NumPy has it. The least number over -1 is itself.
static inline I remainder_of_whole(I x, I y) {
  I r = y == 0 || y == -1 ? 0 : x % y;
  return r != 0 && (r < 0) != (y < 0) ? r + y : r;
}
static inline I floor_divide_whole(I x, I y) {
  if (y == 0 || y == -1) return y ? (I)(0u - (uint64_t)x) : 0;
  return x / y - (x % y != 0 && (x % y < 0) != (y < 0));
}
static inline uint64_t remainder_of_unsigned(uint64_t x, uint64_t y) { return y ? x % y : 0; }
static inline uint64_t floor_divide_unsigned(uint64_t x, uint64_t y) { return y ? x / y : 0; }
static inline uint64_t power_of_whole(uint64_t x, uint64_t n) {
  uint64_t y = 1;
  for (; n; n >>= 1, x *= x) y *= n & 1 ? x : 1;
  return y;
}
static inline float logaddexpf(float x, float y) {
  float m = x > y ? x : y;
  return x == y ? x + 0.693147180559945309f : m + mlp_log1pf(mlp_expf(-fabsf(x - y)));
}
static inline double logaddexp(double x, double y) {
  double m = x > y ? x : y;
  return x == y ? x + 0.693147180559945309 : m + mlp_log1p(mlp_exp(-fabs(x - y)));
}
""".replace("ELEMENTARY", elementary.text("float") + elementary.text("double"))
