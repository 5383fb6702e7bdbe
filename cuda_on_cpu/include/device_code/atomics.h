// Atomic operations: no two threads run at once, so that plain ones do. CuPy's own headers and kernels use them.
#pragma once

#define ATOMIC(T)                         \
  static inline T atomicExch(T *p, T x) { \
    T old = *p;                           \
    *p = x;                               \
    return old;                           \
  }
#define ATOMIC_SUM(T)                    \
  static inline T atomicAdd(T *p, T x) { \
    T old = *p;                          \
    *p = old + x;                        \
    return old;                          \
  }
#define ATOMIC_INTEGER(T)                           \
  static inline T atomicSub(T *p, T x) {            \
    T old = *p;                                     \
    *p = old - x;                                   \
    return old;                                     \
  }                                                 \
  static inline T atomicMin(T *p, T x) {            \
    T old = *p;                                     \
    if (x < old) *p = x;                            \
    return old;                                     \
  }                                                 \
  static inline T atomicMax(T *p, T x) {            \
    T old = *p;                                     \
    if (old < x) *p = x;                            \
    return old;                                     \
  }                                                 \
  static inline T atomicAnd(T *p, T x) {            \
    T old = *p;                                     \
    *p = old & x;                                   \
    return old;                                     \
  }                                                 \
  static inline T atomicOr(T *p, T x) {             \
    T old = *p;                                     \
    *p = old | x;                                   \
    return old;                                     \
  }                                                 \
  static inline T atomicXor(T *p, T x) {            \
    T old = *p;                                     \
    *p = old ^ x;                                   \
    return old;                                     \
  }                                                 \
  static inline T atomicCAS(T *p, T compare, T x) { \
    T old = *p;                                     \
    if (old == compare) *p = x;                     \
    return old;                                     \
  }
ATOMIC(int)
ATOMIC(unsigned)
ATOMIC(unsigned long long)
ATOMIC(float)
ATOMIC_SUM(int)
ATOMIC_SUM(unsigned)
ATOMIC_SUM(unsigned long long)
ATOMIC_SUM(float)
ATOMIC_SUM(double)
ATOMIC_INTEGER(int)
ATOMIC_INTEGER(unsigned)
ATOMIC_INTEGER(unsigned long long)
static inline long long atomicMin(long long *p, long long x) {
  long long old = *p;
  if (x < old) *p = x;
  return old;
}
static inline long long atomicMax(long long *p, long long x) {
  long long old = *p;
  if (old < x) *p = x;
  return old;
}
static inline unsigned short atomicCAS(unsigned short *p, unsigned short compare, unsigned short x) {
  unsigned short old = *p;
  if (old == compare) *p = x;
  return old;
}
static inline unsigned atomicInc(unsigned *p, unsigned top) {
  unsigned old = *p;
  *p = old >= top ? 0 : old + 1;
  return old;
}
static inline unsigned atomicDec(unsigned *p, unsigned top) {
  unsigned old = *p;
  *p = old == 0 || old > top ? top : old - 1;
  return old;
}
#undef ATOMIC
#undef ATOMIC_SUM
#undef ATOMIC_INTEGER
