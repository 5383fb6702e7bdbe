"""The C text before the printed step: types, and functions that the C library lacks."""

from mlpcore.compiler import elementary

# T stands for float or double, and the F at the end of a function name for the suffix f of float, or nothing.
_REAL = """
static inline T remainder_ofF(T x, T y) {
  T r = fmodF(x, y);
  return r && (r < 0) != (y < 0) ? r + y : r ? r : copysignF((T)0, y);
}
static inline T floor_divideF(T x, T y) {
  T r = fmodF(x, y), q = (x - r) / y, down;
  if (y == 0) return x / y;
  if (r && (r < 0) != (y < 0)) q -= 1;
  down = floorF(q);
  return q ? down + (q - down > (T)0.5) : copysignF((T)0, x / y);
}
static inline T logaddexpF(T x, T y) {
  T m = x > y ? x : y;
  return x == y ? x + (T)0.693147180559945309 : m + mlp_log1pF(mlp_expF(-fabsF(x - y)));
}
"""

_HEAD = """\
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
// A whole number of which the compiler does not know how it was made: gcc 12, in vectors of AVX2 and AVX-512, takes
// wrong entries where it finds out that their places are 0 or 1 by a comparison.
static inline I as_it_is(I i) {
  __asm__("" : "+r"(i));
  return i;
}
typedef void (*Gemm)(int, int, int, I, I, I, float, const float *, I, const float *, I, float, float *, I);
typedef void (*Gemmd)(int, int, int, I, I, I, double, const double *, I, const double *, I, double, double *, I);

"""

# Functions that the C library lacks, for the CPU and for devices.
FUNCTIONS = """\
REAL
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
""".replace("REAL", "".join(elementary.text(kind) + elementary.typed(_REAL, kind) for kind in ("float", "double")))

PREAMBLE = _HEAD + FUNCTIONS
