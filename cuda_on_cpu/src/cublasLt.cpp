// libcublasLt: products of column-major matrices with float results and an epilogue. The numbers of attributes and of
// epilogues are those of cublasLt.h. What the library refuses is refused, with a report that says why.
#include <cmath>

#include "gemm.h"
#include "streams.h"

using namespace cuda_on_cpu;

namespace {
enum { SUCCESS = 0, INVALID = 7, FAILED = 13, UNSUPPORTED = 15 };
enum Epilogue { RELU = 2, BIAS = 4, DRELU = 8, BGRAD = 16, GELU = 32, DGELU = 64, AUX = 128, BGRADA = 256 };
enum { KNOWN = RELU | BIAS | DRELU | BGRAD | GELU | DGELU | AUX | BGRADA | 1 };
struct Desc {  // cublasLtMatmulDesc_t
  int compute, scale, transpose[2] = {0, 0}, epilogue = 1;
  void *vector = nullptr, *saved = nullptr;  // the bias or the sums; bits for ReLU, numbers for GELU
  int64_t vector_stride = 0, saved_ld = 0, saved_stride = 0;
};
struct Layout {
  int type;
  uint64_t rows, columns;
  int64_t ld;
  int count = 1;
  int64_t stride = 0;
};
struct Preference {
  size_t workspace = 0;
  uint32_t alignment[4] = {256, 256, 256, 256};
};
struct Result {
  uint64_t algorithm[8];
  size_t workspace;
  int state;
  float waves;
  int reserved[4];
};
struct Call {
  Desc desc;
  Layout a, b, c;
  const void *a_at, *b_at;
  void *c_at;
  float alpha;
  Rounding rounding;
};

template <class T>
int set(T &field, const void *from, size_t size) {
  if (size != sizeof(T)) return INVALID;
  memcpy(&field, from, size);
  return SUCCESS;
}

constexpr double ROOT = 0.7978845608028654, CUBIC = 0.044715;  // sqrt(2 / pi)
float gelu(double x) { return 0.5 * x * (1 + std::tanh(ROOT * (x + CUBIC * x * x * x))); }
float gelu_slope(double x) {
  const double t = std::tanh(ROOT * (x + CUBIC * x * x * x));
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * ROOT * (1 + 3 * CUBIC * x * x);
}

// The epilogue of entry (i, j) of the result; ReLU turns NaN into 0.
float finished(const Desc &d, float x, int i, int j, const float *vector, char *saved) {
  if (d.epilogue & BIAS) x += vector[i];
  unsigned char *byte = (unsigned char *)saved + (j * d.saved_ld + i) / 8;
  if (d.epilogue & RELU) {
    if (d.epilogue & AUX) *byte = x > 0 ? *byte | 1 << i % 8 : *byte & ~(1 << i % 8);
    x = x > 0 ? x : 0;
  }
  float *argument = (float *)saved + j * d.saved_ld + i;
  if (d.epilogue & GELU) {
    if (d.epilogue & AUX) *argument = x;
    x = gelu(x);
  }
  if (d.epilogue & DRELU) x = *byte >> i % 8 & 1 ? x : 0;
  if (d.epilogue & DGELU) x *= gelu_slope(*argument);
  return x;
}

int multiply(const Call &call, int member) {
  const Desc &d = call.desc;
  const int m = call.c.rows, n = call.c.columns, k = d.transpose[0] ? call.a.rows : call.a.columns;
  auto at = [member](const void *first, const Layout &x) {
    return (char *)first + member * x.stride * (int64_t)bytes_of(x.type);
  };
  const Matrix a{at(call.a_at, call.a), (int)call.a.ld, call.a.type, d.transpose[0] != 0};
  const Matrix b{at(call.b_at, call.b), (int)call.b.ld, call.b.type, d.transpose[1] != 0};
  const float zero = 0;
  std::vector<float> made((size_t)m * n), sums(m);
  Product product{m, n, k, &call.alpha, &zero, a, b, made.data(), m, R32F, R32F, call.rounding};
  void *out = at(call.c_at, call.c);
  float *vector = (float *)d.vector + member * d.vector_stride;
  const bool bits = d.epilogue & (RELU | DRELU);
  char *saved = (char *)d.saved + (bits ? member * d.saved_stride / 8 : member * d.saved_stride * 4);
  const size_t saved_bytes = bits ? n * d.saved_ld / 8 : n * d.saved_ld * 4;
  if (!fits(a.at, a.ld, call.a.rows, call.a.columns, a.type, "cublasLt's A") ||
      !fits(b.at, b.ld, call.b.rows, call.b.columns, b.type, "cublasLt's B") ||
      !fits(out, call.c.ld, m, n, R32F, "cublasLt's D") ||
      (d.epilogue & (BIAS | BGRAD | BGRADA) && !inside(vector, m * 4, "cublasLt's bias")) ||
      (d.epilogue & AUX && !inside(saved, saved_bytes, "cublasLt's auxiliary matrix")))
    return ILLEGAL_ADDRESS;
  cuda_on_cpu::multiply<float>(product);
  for (int j = 0; j < n; ++j)
    for (int i = 0; i < m; ++i) {
      const float x = finished(d, made[(size_t)j * m + i], i, j, vector, saved);
      sums[i] += x;
      store(out, (size_t)j * call.c.ld + i, R32F, x);
    }
  if (d.epilogue & BGRADA) {
    const auto factor = packed<float>(a, m, k, Rounding::none);
    std::fill(sums.begin(), sums.end(), 0.f);
    for (int p = 0; p < k; ++p)
      for (int i = 0; i < m; ++i) sums[i] += factor[(size_t)p * m + i];
  }
  if (d.epilogue & (BGRAD | BGRADA)) std::copy(sums.begin(), sums.end(), vector);
  return OK;
}

int refusal(const Desc &d, const Layout &a, const Layout &b, const Layout &c) {
  const uint64_t m = d.transpose[0] ? a.columns : a.rows, k = d.transpose[0] ? a.rows : a.columns;
  const uint64_t n = d.transpose[1] ? b.rows : b.columns;
  const char *why = nullptr;
  for (const Layout *x : {&a, &b, &c})
    if (x->ld < (int64_t)x->rows) why = "a leading dimension is too small";
  if (k != (d.transpose[1] ? b.columns : b.rows) || m != c.rows || n != c.columns) why = "shapes do not fit";
  if (a.count != c.count || b.count != c.count) why = "the numbers of matrices differ";
  if (c.type != R32F || a.type != b.type || d.epilogue & ~KNOWN) why = "types or epilogue are not emulated";
  if (d.epilogue & (BIAS | BGRAD | BGRADA) && !d.vector) why = "the epilogue needs a bias";
  const int64_t unit = d.epilogue & (RELU | DRELU) ? 128 : 8;
  if (d.epilogue & AUX && (!d.saved || (uintptr_t)d.saved % 16 || d.saved_ld < (int64_t)m || d.saved_ld % unit))
    why = "the auxiliary matrix is not aligned, or its leading dimension too small or not a multiple of 128 or 8";
  if (why) report("cublasLt: %s", why);
  return why ? INVALID : SUCCESS;
}
}  // namespace

API cublasLtCreate(void **out) {
  *out = new int(0);
  return SUCCESS;
}
API cublasLtMatmulDescCreate(Desc **out, int compute, int scale) {
  *out = new Desc{compute, scale};
  return SUCCESS;
}
API cublasLtMatmulDescDestroy(Desc *d) {
  delete d;
  return SUCCESS;
}
API cublasLtMatmulDescSetAttribute(Desc *d, int name, const void *from, size_t size) {
  switch (name) {
    case 3:
    case 4: return set(d->transpose[name - 3], from, size);
    case 7: return set(d->epilogue, from, size);
    case 8: return set(d->vector, from, size);
    case 10: return set(d->vector_stride, from, size);
    case 11: return set(d->saved, from, size);
    case 12: return set(d->saved_ld, from, size);
    case 13: return set(d->saved_stride, from, size);
  }
  report("cublasLtMatmulDescSetAttribute: attribute %d is not emulated", name);
  return UNSUPPORTED;
}
API cublasLtMatrixLayoutCreate(Layout **out, int type, uint64_t rows, uint64_t columns, int64_t ld) {
  *out = new Layout{type, rows, columns, ld};
  return SUCCESS;
}
API cublasLtMatrixLayoutDestroy(Layout *x) {
  delete x;
  return SUCCESS;
}
API cublasLtMatrixLayoutSetAttribute(Layout *x, int name, const void *from, size_t size) {
  return name == 5 ? set(x->count, from, size) : name == 6 ? set(x->stride, from, size) : UNSUPPORTED;
}
API cublasLtMatmulPreferenceCreate(Preference **out) {
  *out = new Preference;
  return SUCCESS;
}
API cublasLtMatmulPreferenceDestroy(Preference *preference) {
  delete preference;
  return SUCCESS;
}
API cublasLtMatmulPreferenceSetAttribute(Preference *p, int name, const void *from, size_t size) {
  return name == 1 ? set(p->workspace, from, size)
                   : name >= 5 && name <= 8 ? set(p->alignment[name - 5], from, size) : UNSUPPORTED;
}
API cublasLtMatmulAlgoGetHeuristic(void *, const Desc *d, const Layout *a, const Layout *b, const Layout *c,
                                   const Layout *, const Preference *preference, int most, Result *results,
                                   int *found) {
  Lock held(lock);
  *found = 0;
  if (capturing()) {
    report("cublasLtMatmulAlgoGetHeuristic: not while a stream is captured");
    return FAILED;
  }
  if (int error = refusal(*d, *a, *b, *c)) return error;
  if (most > 0) {
    results[0] = {};
    // Who keeps the promised alignment and memory in `algorithm` is checked when the product runs.
    for (int i = 0; i < 4; ++i) results[0].algorithm[i] = preference->alignment[i];
    results[0].workspace = std::min<size_t>(preference->workspace, 1024);
    *found = 1;
  }
  return SUCCESS;
}
API cublasLtMatmul(void *, const Desc *desc, const float *alpha, const void *a, const Layout *la, const void *b,
                   const Layout *lb, const float *beta, const void *, const Layout *, void *out, const Layout *lc,
                   const uint64_t *algorithm, void *workspace, size_t workspace_size, void *stream) {
  Lock held(lock);
  if (int error = refusal(*desc, *la, *lb, *lc)) return error;
  int scalar;
  Call call{*desc, *la, *lb, *lc, a, b, out, *alpha};
  if (!computation(desc->compute, false, la->type, scalar, call.rounding) || *beta != 0) return UNSUPPORTED;
  if (algorithm) {
    const void *pointers[] = {a, b, out, desc->epilogue & (BIAS | BGRAD | BGRADA) ? desc->vector : out};
    for (int i = 0; i < 4; ++i)
      if ((uintptr_t)pointers[i] % algorithm[i]) {
        report("cublasLt: matrix %d is not aligned as was said when the algorithm was chosen", i);
        return INVALID;
      }
    if (workspace_size < 1024 || !inside(workspace, 1024, "cublasLt's workspace")) return INVALID;
  }
  ++counts[PRODUCTS];
  auto work = [call] {
    for (int i = 0; i < call.c.count; ++i)
      if (int error = multiply(call, i)) return error;
    return (int)OK;
  };
  std::vector<Use> uses;
  if (options.races) {
    uses = {{find(a).address, false}, {find(b).address, false}, {find(out).address, true}};
    if (workspace) uses.push_back({find(workspace).address, true});
    if (desc->vector) uses.push_back({find(desc->vector).address, (desc->epilogue & (BGRAD | BGRADA)) != 0});
    if (desc->saved) uses.push_back({find(desc->saved).address, (desc->epilogue & (RELU | GELU)) != 0});
  }
  return submit(stream, "cublasLtMatmul", work, uses) ? FAILED : SUCCESS;
}
