// The types of matrices and of computations in cuBLAS, and how numbers are loaded, rounded and stored.
#pragma once
#include <cstring>

#include "../include/stand-ins/cuda_bf16.h"
#include "device.h"

namespace cuda_on_cpu {
enum Type { R32F = 0, R64F = 1, R16BF = 14 };  // cudaDataType
enum class Rounding { none, tf32, bfloat16 };  // of the factors of a product

inline size_t bytes_of(int type) { return type == R64F ? 8 : type == R32F ? 4 : 2; }
inline float tf32(float x) {  // 10 bits of mantissa, to nearest, ties away from zero: cvt.rna.tf32
  unsigned u;
  memcpy(&u, &x, 4);
  if ((u & 0x7f800000) != 0x7f800000) u = (u + 0x1000) & ~0x1fffu;
  memcpy(&x, &u, 4);
  return x;
}
inline double rounded(double x, Rounding) { return x; }
inline float rounded(float x, Rounding rounding) {
  return rounding == Rounding::tf32 ? tf32(x) : rounding == Rounding::bfloat16 ? (float)__nv_bfloat16(x) : x;
}
template <class T>
T load(const void *from, size_t i, int type) {
  if (type == R64F) return T(((const double *)from)[i]);
  if (type == R32F) return T(((const float *)from)[i]);
  return T((float)((const __nv_bfloat16 *)from)[i]);
}
template <class T>
void store(void *to, size_t i, int type, T x) {
  if (type == R64F)
    ((double *)to)[i] = x;
  else if (type == R32F)
    ((float *)to)[i] = x;
  else
    ((__nv_bfloat16 *)to)[i] = __nv_bfloat16((float)x);
}

// cublasComputeType_t: the type of the scalars and the rounding. False where it is not emulated.
inline bool computation(int compute, bool tf32_allowed, int type, int &scalar, Rounding &rounding) {
  rounding = Rounding::none;
  scalar = R32F;
  switch (compute) {
    case 68:  // 32F
      if (tf32_allowed && type == R32F) rounding = Rounding::tf32;
      return true;
    case 69: return true;  // 32F_PEDANTIC
    case 75: rounding = Rounding::bfloat16; return true;
    case 77: rounding = type == R32F ? Rounding::tf32 : Rounding::none; return true;
    case 70:
    case 71: scalar = R64F; return true;
  }
  report("gemm: compute type %d is not emulated", compute);
  return false;
}
}  // namespace cuda_on_cpu
