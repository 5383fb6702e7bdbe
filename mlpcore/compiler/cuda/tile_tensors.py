"""Matrix products of the rows of a tile by tensor cores: factors of tf32 or bfloat16, sums of float32.

A warp has 16 rows and up to 16 columns of the result. The layout of the fragments is that of PTX: lane l has rows l / 4
and l / 4 + 8 of the first factor and of the result, and column l / 4 of the second factor.
"""

from mlpcore.compiler.cuda.schedule import BLOCK, WARP

_TEXT = """
// A word of a factor: entry k as tf32 (nearest, ties away from zero), or entries k and k + 1 as bfloat16; both are
// 0 from `depth` on.
template <int STEP, bool WIDE> static __device__ inline uint32_t word(const float *from, int k, int depth) {
  const float x = k < depth ? from[k * STEP] : 0;
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return x != x ? bits : (bits + 0x1000) & ~0x1FFFu;
}
template <int STEP, bool WIDE> static __device__ inline uint32_t word(const uint16_t *from, int k, int depth) {
  if (WIDE && k + 1 < depth) return *(const uint32_t *)(from + k);
  const uint32_t low = k < depth ? from[k * STEP] : 0, high = k + 1 < depth ? from[(k + 1) * STEP] : 0;
  return low | high << 16;
}

#if defined(__CUDACC_RTC__) && __CUDA_ARCH__ >= 800
// sums (16, 8) += a (16, 8 words) b (8 words, 8)
template <int TERMS>
static __device__ inline void multiply(float (&sums)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  if constexpr (TERMS == 1)
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  else
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#else
// The same without tensor cores: lanes hand each other their words.
static __device__ inline float term(uint32_t word, int terms, int number) {
  const uint32_t bits = terms == 1 ? word : word >> 16 * number << 16;
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}
template <int TERMS>
static __device__ inline void multiply(float (&sums)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  const int lane = threadIdx.x % WARP, row = lane / 4 * 4, column = lane % 4 * 8;
  for (int k = 0; k < 8; k++) {
    uint32_t x[2], y[2];
    for (int i = 0; i < 2; i++) {
      x[i] = __shfl_sync(0xffffffffu, a[k / 4 * 2 + i], row + k % 4, 32);
      y[i] = __shfl_sync(0xffffffffu, b[k / 4], column + 4 * i + k % 4, 32);
    }
    for (int p = 0; p < TERMS; p++)
      for (int q = 0; q < 4; q++) sums[q] = fused(term(x[q / 2], TERMS, p), term(y[q % 2], TERMS, p), sums[q]);
  }
}
#endif

// out[i][c] = sum_k a[i][k] b[k][c] for i < rows <= MOST, c < COLUMNS, k < depth; added to out unless it is `fresh`.
template <int MOST, int COLUMNS, int A_DOWN, int A_RIGHT, bool A_WIDE, int B_DOWN, int B_RIGHT, bool B_WIDE,
          int OUT_ROW, typename F>
static __device__ inline void tensor_product(float *out, const F *a, const F *b, int rows, int depth, bool fresh) {
  constexpr int TERMS = 4 / sizeof(F), WIDE = COLUMNS > 8 && parts(MOST, 16) * parts(COLUMNS, 16) >= WARPS ? 2 : 1;
  constexpr int ACROSS = parts(COLUMNS, 8 * WIDE);
  const int lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4;
  for (int part = threadIdx.x / WARP; part < ACROSS * parts(rows, 16); part += WARPS) {
    const int top = part / ACROSS * 16 + g, left = part % ACROSS * 8 * WIDE;
    float sums[WIDE][4];
#pragma unroll
    for (int j = 0; j < WIDE; j++)
#pragma unroll
      for (int q = 0; q < 4; q++) {
        const int i = top + q / 2 * 8, c = left + 8 * j + 2 * t + q % 2;
        sums[j][q] = !fresh && i < rows && c < COLUMNS ? out[i * OUT_ROW + c] : 0;
      }
    for (int k = 0; k < depth; k += 8 * TERMS) {
      uint32_t x[4], y[2];
#pragma unroll
      for (int q = 0; q < 4; q++) {
        const int i = top + q % 2 * 8;
        x[q] = word<A_RIGHT, A_WIDE>(a + i * A_DOWN, k + (t + q / 2 * 4) * TERMS, i < rows ? depth : 0);
      }
#pragma unroll
      for (int j = 0; j < WIDE; j++) {
        const int c = left + 8 * j + g;
#pragma unroll
        for (int q = 0; q < 2; q++)
          y[q] = word<B_DOWN, B_WIDE>(b + c * B_RIGHT, k + (t + q * 4) * TERMS, c < COLUMNS ? depth : 0);
        multiply<TERMS>(sums[j], x, y);
      }
    }
#pragma unroll
    for (int j = 0; j < WIDE; j++)
#pragma unroll
      for (int q = 0; q < 4; q++) {
        const int i = top + q / 2 * 8, c = left + 8 * j + 2 * t + q % 2;
        if (i < rows && c < COLUMNS) out[i * OUT_ROW + c] = sums[j][q];
      }
  }
}
"""
FUNCTIONS = _TEXT.replace("WARPS", str(BLOCK // WARP)).replace("WARP", str(WARP))
