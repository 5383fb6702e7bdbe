// The bits of numbers: as other types, counted, and the high half of products.
#pragma once
#include <cstdint>
#include <cstring>

namespace cuda_on_cpu {
template <class To, class From>
static inline To bits(From x) {
  static_assert(sizeof(To) == sizeof(From));
  To y;
  std::memcpy(&y, &x, sizeof y);
  return y;
}
}  // namespace cuda_on_cpu
static inline int __float_as_int(float x) { return cuda_on_cpu::bits<int>(x); }
static inline unsigned __float_as_uint(float x) { return cuda_on_cpu::bits<unsigned>(x); }
static inline float __int_as_float(int x) { return cuda_on_cpu::bits<float>(x); }
static inline float __uint_as_float(unsigned x) { return cuda_on_cpu::bits<float>(x); }
static inline long long __double_as_longlong(double x) { return cuda_on_cpu::bits<long long>(x); }
static inline double __longlong_as_double(long long x) { return cuda_on_cpu::bits<double>(x); }
static inline int __double2hiint(double x) { return (int)(cuda_on_cpu::bits<uint64_t>(x) >> 32); }
static inline int __double2loint(double x) { return (int)cuda_on_cpu::bits<uint64_t>(x); }
static inline double __hiloint2double(int high, int low) {
  return cuda_on_cpu::bits<double>((uint64_t)(unsigned)high << 32 | (unsigned)low);
}
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
static inline int __clzll(long long x) { return x ? __builtin_clzll(x) : 64; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __ffsll(long long x) { return __builtin_ffsll(x); }
static inline unsigned __brev(unsigned x) {
  unsigned y = 0;
  for (int i = 0; i < 32; ++i) y = y << 1 | (x >> i & 1);
  return y;
}
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned long long)a * b >> 32; }
static inline int __mulhi(int a, int b) { return (long long)a * b >> 32; }
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return (unsigned __int128)a * b >> 64;
}
static inline long long __mul64hi(long long a, long long b) { return (__int128)a * b >> 64; }
static inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned n) {
  return ((unsigned long long)high << 32 | low) << (n & 31) >> 32;
}
template <class T>
static inline T __ldg(const T *p) {
  return *p;
}
