"""Matrix products where NumPy has no BLAS with 64-bit integers: wrappers of another BLAS, or compiled loops."""

import ctypes
import re
from typing import NamedTuple

from mlpcore.compiler.build import build
from mlpcore.compiler.once import Once

# T stands for the type, L for its letter in BLAS names: s or d. Matrices are row-major (101 in CBLAS); 111 means that a
# factor is not transposed. Products with a dimension that does not fit in 32 bits are computed by the loops.
_TEXT = """
// c = alpha a b + beta c. Every entry is one sum over k in its order, whatever the shapes: the same bits everywhere.
typedef T V_L __attribute__((vector_size(32)));
void Lgemm_loops(int order, int ta, int tb, I m, I n, I k, T alpha, const T *a, I lda, const T *b, I ldb, T beta,
                 T *c, I ldc) {
  enum { ROWS = 4, WIDE = 64 / sizeof(T), DEEP = 256 };
  // Copies of a part of b and of four rows of alpha a, and these rows of c: eight vectors, which stay in registers.
  union { T x[DEEP][WIDE]; V_L v[DEEP][2]; } right;
  union { T x[ROWS][WIDE]; V_L v[ROWS][2]; } sums;
  T left[DEEP][ROWS];
  (void)order;
  for (I i = 0; i < m; i++)
    for (I j = 0; j < n; j++) c[i * ldc + j] = beta == 0 ? 0 : beta * c[i * ldc + j];
  for (I p0 = 0; p0 < k; p0 += DEEP) {
    const I deep = k - p0 < DEEP ? k - p0 : DEEP;
    for (I j0 = 0; j0 < n; j0 += WIDE) {
      const I wide = n - j0 < WIDE ? n - j0 : WIDE;
      for (I p = 0; p < deep; p++)
        for (I j = 0; j < WIDE; j++)
          right.x[p][j] = j >= wide ? 0 : tb == 111 ? b[(p0 + p) * ldb + j0 + j] : b[(j0 + j) * ldb + p0 + p];
      for (I i0 = 0; i0 < m; i0 += ROWS) {
        const I high = m - i0 < ROWS ? m - i0 : ROWS;
        for (I r = 0; r < ROWS; r++)
          for (I p = 0; p < deep; p++)
            left[p][r] = r >= high ? 0 : alpha * (ta == 111 ? a[(i0 + r) * lda + p0 + p] : a[(p0 + p) * lda + i0 + r]);
        memset(&sums, 0, sizeof sums);
        for (I r = 0; r < high; r++) memcpy(sums.x[r], c + (i0 + r) * ldc + j0, wide * sizeof *c);
        V_L s[ROWS][2];
        for (int r = 0; r < ROWS; r++) s[r][0] = sums.v[r][0], s[r][1] = sums.v[r][1];
        for (I p = 0; p < deep; p++)
          for (int r = 0; r < ROWS; r++) {
            s[r][0] += left[p][r] * right.v[p][0];
            s[r][1] += left[p][r] * right.v[p][1];
          }
        for (int r = 0; r < ROWS; r++) sums.v[r][0] = s[r][0], sums.v[r][1] = s[r][1];
        for (I r = 0; r < high; r++) memcpy(c + (i0 + r) * ldc + j0, sums.x[r], wide * sizeof *c);
      }
    }
  }
}

static void (*cblas_L)(int, int, int, int, int, int, T, const T *, int, const T *, int, T, T *, int);
void Lgemm_cblas(int order, int ta, int tb, I m, I n, I k, T alpha, const T *a, I lda, const T *b, I ldb, T beta,
                 T *c, I ldc) {
  if (!(FIT)) Lgemm_loops(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  else cblas_L(order, ta, tb, (int)m, (int)n, (int)k, alpha, a, (int)lda, b, (int)ldb, beta, c, (int)ldc);
}
void Lgemm_bind_cblas(void *function) { cblas_L = function; }

// Fortran has columns one after the other and takes addresses: it is asked for the transposed product.
static void (*fortran_L)(char *, char *, int *, int *, int *, T *, const T *, int *, const T *, int *, T *, T *, int *);
void Lgemm_fortran(int order, int ta, int tb, I m, I n, I k, T alpha, const T *a, I lda, const T *b, I ldb, T beta,
                   T *c, I ldc) {
  char left = tb == 111 ? 'N' : 'T', right = ta == 111 ? 'N' : 'T';
  int rows = (int)n, columns = (int)m, deep = (int)k, step_a = (int)lda, step_b = (int)ldb, step_c = (int)ldc;
  if (!(FIT)) Lgemm_loops(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  else fortran_L(&left, &right, &rows, &columns, &deep, &alpha, b, &step_b, a, &step_a, &beta, c, &step_c);
}
void Lgemm_bind_fortran(void *function) { fortran_L = function; }
"""
_FIT = " && ".join(f"{name} <= INT32_MAX" for name in ("m", "n", "k", "lda", "ldb", "ldc"))


class Pair(NamedTuple):
    """The addresses of a product in single and in double precision."""

    single: int
    double: int


@Once
def _library() -> ctypes.CDLL:
    text = "#include <stdint.h>\n#include <string.h>\ntypedef int64_t I;\n"
    for letter, kind in (("s", "float"), ("d", "double")):
        functions = _TEXT.replace("FIT", _FIT).replace("Lgemm", f"{letter}gemm").replace("_L", f"_{letter}")
        text += re.sub(r"(?<!')\bT\b", kind, functions)  # 'T' in quotes is BLAS's letter for a transposed factor
    return build(text)


def loops() -> Pair:
    """Products as loops, for machines without BLAS; `CompilerError` where they cannot be compiled."""
    return _addresses("loops")


def as_ilp64(interface: str, functions: Pair) -> Pair:
    """Functions with 64-bit integers that call BLAS functions with 32-bit ones; ``interface`` is "cblas" or "fortran".

    `CompilerError` where they cannot be compiled.
    """
    for letter, function in zip("sd", functions, strict=True):
        getattr(_library(), f"{letter}gemm_bind_{interface}")(ctypes.c_void_p(function))
    return _addresses(interface)


def _addresses(interface: str) -> Pair:
    functions = [getattr(_library(), f"{letter}gemm_{interface}") for letter in "sd"]
    return Pair(*(ctypes.cast(function, ctypes.c_void_p).value or 0 for function in functions))
