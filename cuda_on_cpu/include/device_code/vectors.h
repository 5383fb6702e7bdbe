// CUDA's short vectors, aligned as on a device.
#pragma once

#define VECTORS(T, N, A2, A4)                                 \
  struct N##1 { T x; };                                       \
  struct alignas(A2) N##2 { T x, y; };                        \
  struct alignas(A4) N##4 { T x, y, z, w; };                  \
  static inline N##2 make_##N##2(T x, T y) { return {x, y}; } \
  static inline N##4 make_##N##4(T x, T y, T z, T w) { return {x, y, z, w}; }
VECTORS(float, float, 8, 16)
VECTORS(double, double, 16, 16)
VECTORS(int, int, 8, 16)
VECTORS(unsigned, uint, 8, 16)
VECTORS(long long, longlong, 16, 16)
VECTORS(unsigned long long, ulonglong, 16, 16)
VECTORS(short, short, 4, 8)
VECTORS(unsigned short, ushort, 4, 8)
VECTORS(signed char, char, 2, 4)
VECTORS(unsigned char, uchar, 2, 4)
#undef VECTORS
