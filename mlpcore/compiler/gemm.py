"""Products where NumPy has no BLAS with 64-bit integers: another BLAS behind the same call, or loops, compiled once."""

import ctypes
import re
from functools import cache
from typing import NamedTuple

from mlpcore.compiler.build import build

# T stands for the type, L for the letter that BLAS has for it. Rows lie one after the other ("101" in CBLAS), and 111
# says that a factor is not transposed. Dimensions that 32 bits do not hold go through the loops.
_TEXT = """
// c = alpha a b + beta c. Every entry is one sum over k in its order, whatever the shapes: the same bits everywhere.
void Lgemm_loops(int order, int ta, int tb, I m, I n, I k, T alpha, const T *a, I lda, const T *b, I ldb, T beta,
                 T *c, I ldc) {
  enum { WIDE = 64, DEEP = 64 };
  T part[DEEP][WIDE], sums[WIDE];  // a part of b with its rows one after the other; entries of a row of c
  (void)order;
  for (I i = 0; i < m; i++)
    for (I j = 0; j < n; j++) c[i * ldc + j] = beta == 0 ? 0 : beta * c[i * ldc + j];
  for (I j0 = 0; j0 < n; j0 += WIDE) {
    const I wide = n - j0 < WIDE ? n - j0 : WIDE;
    for (I p0 = 0; p0 < k; p0 += DEEP) {
      const I deep = k - p0 < DEEP ? k - p0 : DEEP;
      for (I p = 0; p < deep; p++)
        for (I j = 0; j < WIDE; j++)
          part[p][j] = j >= wide ? 0 : tb == 111 ? b[(p0 + p) * ldb + j0 + j] : b[(j0 + j) * ldb + p0 + p];
      for (I i = 0; i < m; i++) {
        T *row = c + i * ldc + j0;
        for (I j = 0; j < WIDE; j++) sums[j] = j < wide ? row[j] : 0;
        for (I p = 0; p < deep; p++) {
          const T x = alpha * (ta == 111 ? a[i * lda + p0 + p] : a[(p0 + p) * lda + i]);
          for (I j = 0; j < WIDE; j++) sums[j] += x * part[p][j];
        }
        memcpy(row, sums, wide * sizeof *row);
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


@cache
def _library() -> ctypes.CDLL:
    text = "#include <stdint.h>\n#include <string.h>\ntypedef int64_t I;\n"
    for letter, kind in (("s", "float"), ("d", "double")):
        part = _TEXT.replace("FIT", _FIT).replace("Lgemm", f"{letter}gemm").replace("_L", f"_{letter}")
        text += re.sub(r"(?<!')\bT\b", kind, part)  # 'T' is a word of BLAS
    return build(text)


def loops() -> Pair:
    """Products as loops, for machines without BLAS. `CompilerError` where they cannot be compiled, here and below."""
    return _addresses("loops")


def behind(way: str, functions: Pair) -> Pair:
    """BLAS functions with 32-bit integers behind calls with 64-bit ones; ``way`` is "cblas" or "fortran"."""
    for letter, function in zip("sd", functions, strict=True):
        getattr(_library(), f"{letter}gemm_bind_{way}")(ctypes.c_void_p(function))
    return _addresses(way)


def _addresses(way: str) -> Pair:
    functions = [getattr(_library(), f"{letter}gemm_{way}") for letter in "sd"]
    return Pair(*(ctypes.cast(function, ctypes.c_void_p).value or 0 for function in functions))
