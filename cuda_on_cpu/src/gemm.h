// Products of matrices by plain loops. Matrices are column major.
//
// Products and sums are in float, or in double for double. Sums go along k in runs of 256, so their order is fixed and
// their error small.
#pragma once
#include <algorithm>
#include <vector>

#include "numbers.h"

namespace cuda_on_cpu {
struct Matrix {
  const void *at;
  int ld, type;
  bool transposed;
};
struct Product {  // c = alpha a b + beta c, of m rows and n columns
  int m, n, k;
  const void *alpha, *beta;
  Matrix a, b;
  void *c;
  int ldc, type, scalar;  // scalar: the type of alpha, beta and of the computation
  Rounding rounding;
};

template <class T>
std::vector<T> packed(const Matrix &x, int rows, int columns, Rounding rounding) {
  std::vector<T> values((size_t)rows * columns);
  for (int j = 0; j < columns; ++j)
    for (int i = 0; i < rows; ++i) {
      const size_t at = x.transposed ? (size_t)i * x.ld + j : (size_t)j * x.ld + i;
      values[(size_t)j * rows + i] = rounded(load<T>(x.at, at, x.type), rounding);
    }
  return values;
}
template <class T>
__attribute__((target_clones("avx2", "default"))) void add_column(T *__restrict__ sum, const T *__restrict__ a, T b,
                                                                  int m) {
  for (int i = 0; i < m; ++i) sum[i] += a[i] * b;
}

template <class T>
void multiply(const Product &x) {
  const int m = x.m, n = x.n, k = x.k;
  const auto a = packed<T>(x.a, m, k, x.rounding), b = packed<T>(x.b, k, n, x.rounding);
  const T alpha = load<T>(x.alpha, 0, x.scalar), beta = load<T>(x.beta, 0, x.scalar);
  std::vector<T> total(m), part(m);
  for (int j = 0; j < n; ++j) {
    std::fill(total.begin(), total.end(), T(0));
    for (int from = 0; from < k; from += 256) {
      std::fill(part.begin(), part.end(), T(0));
      for (int p = from; p < k && p < from + 256; ++p)
        add_column<T>(part.data(), &a[(size_t)p * m], b[(size_t)j * k + p], m);
      for (int i = 0; i < m; ++i) total[i] += part[i];
    }
    for (int i = 0; i < m; ++i) {
      const size_t at = (size_t)j * x.ldc + i;
      T value = alpha * total[i];
      if (beta != T(0)) value += beta * load<T>(x.c, at, x.type);  // with beta 0, c is not read: it may be NaN
      store(x.c, at, x.type, value);
    }
  }
}

inline bool fits(const void *at, int ld, int rows, int columns, int type, const char *what) {
  return !rows || !columns || inside(at, ((size_t)ld * (columns - 1) + rows) * bytes_of(type), what);
}
inline bool fits(const Product &x) {
  return fits(x.a.at, x.a.ld, x.a.transposed ? x.k : x.m, x.a.transposed ? x.m : x.k, x.a.type, "gemm's A") &&
         fits(x.b.at, x.b.ld, x.b.transposed ? x.n : x.k, x.b.transposed ? x.k : x.n, x.b.type, "gemm's B") &&
         fits(x.c, x.ldc, x.m, x.n, x.type, "gemm's C");
}
}  // namespace cuda_on_cpu
