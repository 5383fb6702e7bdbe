// libcublas: products of real matrices in all their forms, and the dot product. CuPy's `matmul`, `dot` and `tensordot`
// call these and no others.
#include <memory>

#include "gemm.h"

using namespace cuda_on_cpu;

namespace {
enum { SUCCESS = 0, ALLOC_FAILED = 3, INVALID = 7, FAILED = 13, UNSUPPORTED = 15 };
constexpr int TF32_MATH = 3;
struct Handle {
  void *stream;
  int math, pointers;  // pointers: 1 where alpha, beta and results of one number lie on the device
};
struct Batch {  // of products that lie `a`, `b`, `c` elements apart, or at the addresses of arrays on the device
  int count = 1;
  long long a = 0, b = 0, c = 0;
  const void *const *as = nullptr, *const *bs = nullptr;
  void *const *cs = nullptr;
};

std::vector<Use> uses_of(std::initializer_list<std::pair<const void *, bool>> pointers) {
  std::vector<Use> uses;
  if (options.races)
    for (auto [pointer, writes] : pointers)
      if (Allocation allocation = find(pointer); allocation.kind != Kind::unknown)
        uses.push_back({allocation.address, writes});
  return uses;
}

int gemm(Handle *h, Product x, Batch batch = {}) {
  Lock held(lock);
  const Matrix &a = x.a, &b = x.b;
  if (x.m < 0 || x.n < 0 || x.k < 0 || batch.count < 0) return INVALID;
  if (a.ld < std::max(1, a.transposed ? x.k : x.m) || b.ld < std::max(1, b.transposed ? x.n : x.k) ||
      x.ldc < std::max(1, x.m)) {
    report("gemm: a leading dimension is too small");
    return INVALID;
  }
  if (!x.m || !x.n || !batch.count) return SUCCESS;
  ++counts[PRODUCTS];
  auto scalars = std::make_shared<std::vector<char>>(16);
  if (!h->pointers) {  // numbers on the host are read now
    memcpy(scalars->data(), x.alpha, bytes_of(x.scalar));
    memcpy(scalars->data() + 8, x.beta, bytes_of(x.scalar));
    x.alpha = scalars->data();
    x.beta = scalars->data() + 8;
  }
  auto work = [=] {
    for (int i = 0; i < batch.count; ++i) {
      Product one = x;
      one.a.at = batch.as ? batch.as[i] : (const char *)x.a.at + i * batch.a * bytes_of(x.a.type);
      one.b.at = batch.bs ? batch.bs[i] : (const char *)x.b.at + i * batch.b * bytes_of(x.b.type);
      one.c = batch.cs ? batch.cs[i] : (char *)x.c + i * batch.c * bytes_of(x.type);
      if (!fits(one)) return (int)ILLEGAL_ADDRESS;
      x.scalar == R64F ? multiply<double>(one) : multiply<float>(one);
    }
    (void)scalars;  // alive as long as the work
    return (int)OK;
  };
  const auto uses = batch.as ? std::vector<Use>{} : uses_of({{a.at, false}, {b.at, false}, {x.c, true}});
  return submit(h->stream, "gemm", work, uses) ? FAILED : SUCCESS;
}

template <class T>
int dot(Handle *h, int n, const T *x, int ix, const T *y, int iy, T *out) {
  Lock held(lock);
  auto work = [=] {
    T sum(0);
    for (int from = 0; from < n; from += 256) {
      T part(0);
      for (int i = from; i < n && i < from + 256; ++i) part += x[(long)i * ix] * y[(long)i * iy];
      sum += part;
    }
    *out = sum;
    return (int)OK;
  };
  return submit(h->stream, "dot", work, uses_of({{x, false}, {y, false}, {out, true}})) ? FAILED : SUCCESS;
}
}  // namespace

API
cublasCreate_v2(void **out) {
  if (lacks_memory()) return ALLOC_FAILED;
  *out = new Handle{};
  return SUCCESS;
}
API
cublasDestroy_v2(Handle *h) {
  delete h;
  return SUCCESS;
}
API
cublasGetVersion_v2(void *, int *version) {
  *version = 130000;
  return SUCCESS;
}
API
cublasSetStream_v2(Handle *h, void *stream) {
  h->stream = stream;
  return SUCCESS;
}
API
cublasGetStream_v2(Handle *h, void **stream) {
  *stream = h->stream;
  return SUCCESS;
}
API
cublasSetMathMode(Handle *h, int mode) {
  h->math = mode;
  return SUCCESS;
}
API
cublasGetMathMode(Handle *h, int *mode) {
  *mode = h->math;
  return SUCCESS;
}
API
cublasSetPointerMode_v2(Handle *h, int mode) {
  h->pointers = mode;
  return SUCCESS;
}
API
cublasGetPointerMode_v2(Handle *h, int *mode) {
  *mode = h->pointers;
  return SUCCESS;
}
API
cublasSdot_v2(Handle *h, int n, const float *x, int ix, const float *y, int iy, float *out) {
  return dot(h, n, x, ix, y, iy, out);
}
API
cublasDdot_v2(Handle *h, int n, const double *x, int ix, const double *y, int iy, double *out) {
  return dot(h, n, x, ix, y, iy, out);
}

#define GEMM(L, T, type)                                                                                               \
  API                                                                                                                  \
  cublas##L##gemm_v2(Handle *h, int ta, int tb, int m, int n, int k, const T *alpha, const T *a, int lda, const T *b,  \
                     int ldb, const T *beta, T *c, int ldc) {                                                          \
    const Rounding how = type == R32F && h->math == TF32_MATH ? Rounding::tf32 : Rounding::none;                       \
    return gemm(h, {m, n, k, alpha, beta, {a, lda, type, ta != 0}, {b, ldb, type, tb != 0}, c, ldc, type, type, how}); \
  }                                                                                                                    \
  API                                                                                                                  \
  cublas##L##gemmBatched(Handle *h, int ta, int tb, int m, int n, int k, const T *alpha, const void *const *a,         \
                         int lda, const void *const *b, int ldb, const T *beta, void *const *c, int ldc, int count) {  \
    const Rounding how = type == R32F && h->math == TF32_MATH ? Rounding::tf32 : Rounding::none;                       \
    return gemm(h,                                                                                                     \
                {m,                                                                                                    \
                 n,                                                                                                    \
                 k,                                                                                                    \
                 alpha,                                                                                                \
                 beta,                                                                                                 \
                 {nullptr, lda, type, ta != 0},                                                                        \
                 {nullptr, ldb, type, tb != 0},                                                                        \
                 nullptr,                                                                                              \
                 ldc,                                                                                                  \
                 type,                                                                                                 \
                 type,                                                                                                 \
                 how},                                                                                                 \
                {count, 0, 0, 0, a, b, c});                                                                            \
  }                                                                                                                    \
  API                                                                                                                  \
  cublas##L##gemv_v2(Handle *h, int ta, int m, int n, const T *alpha, const T *a, int lda, const T *x, int incx,       \
                     const T *beta, T *y, int incy) {                                                                  \
    /* a product with a matrix of one row, whose columns are incx apart */                                             \
    return gemm(h, {1,                                                                                                 \
                    ta ? n : m,                                                                                        \
                    ta ? m : n,                                                                                        \
                    alpha,                                                                                             \
                    beta,                                                                                              \
                    {x, incx, type, false},                                                                            \
                    {a, lda, type, !ta},                                                                               \
                    y,                                                                                                 \
                    incy,                                                                                              \
                    type,                                                                                              \
                    type,                                                                                              \
                    Rounding::none});                                                                                  \
  }
GEMM(S, float, R32F)
GEMM(D, double, R64F)

API
cublasGemmStridedBatchedEx(Handle *h, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int a_type,
                           int lda, long long a_step, const void *b, int b_type, int ldb, long long b_step,
                           const void *beta, void *c, int type, int ldc, long long c_step, int count, int compute,
                           int) {
  int scalar;
  Rounding rounding;
  if (!computation(compute, h->math == TF32_MATH, a_type, scalar, rounding)) return UNSUPPORTED;
  return gemm(
      h, {m, n, k, alpha, beta, {a, lda, a_type, ta != 0}, {b, ldb, b_type, tb != 0}, c, ldc, type, scalar, rounding},
      {count, a_step, b_step, c_step});
}
API
cublasGemmEx(Handle *h, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int a_type, int lda,
             const void *b, int b_type, int ldb, const void *beta, void *c, int type, int ldc, int compute,
             int algorithm) {
  return cublasGemmStridedBatchedEx(h, ta, tb, m, n, k, alpha, a, a_type, lda, 0, b, b_type, ldb, 0, beta, c, type, ldc,
                                    0, 1, compute, algorithm);
}
