"""Matrix products of the rows of a tile, computed by the threads of a block from shared memory.

A warp has some rows and columns of the result; a thread has two to eight of the rows, and columns that are 32 apart.
Each entry is one sum in the order of its terms, with fused multiply-add: its bits do not depend on other entries.
"""

from collections.abc import Iterable

from mlpcore.compiler.cuda import tile_tensors
from mlpcore.compiler.cuda.schedule import BLOCK, WARP
from mlpcore.compiler.cuda.tile_memory import ROWS, Staged
from mlpcore.compiler.cuda.tile_text import TileText
from mlpcore.compiler.graph import Node
from mlpcore.compiler.places import ZERO, Place, Size, packed

_TEXT = """
static __device__ inline float fused(float a, float b, float c) { return fmaf(a, b, c); }
static __device__ inline double fused(double a, double b, double c) { return fma(a, b, c); }
// Four entries STEP apart, with one load where they are contiguous and WIDE says that they are aligned.
template <bool WIDE, int STEP, typename T>
static __device__ inline void four(T *to, const T *from) {
  if constexpr (WIDE) {
    const Entries<4, T> all = *(const Entries<4, T> *)from;
#pragma unroll
    for (int k = 0; k < 4; k++) to[k] = all.at[k];
  } else {
#pragma unroll
    for (int k = 0; k < 4; k++) to[k] = from[k * STEP];
  }
}

static constexpr __device__ int parts(int length, int part) { return (length + part - 1) / part; }
// The number of columns of a thread with which the warps are done first; of those, the most, as they share loads.
static constexpr __device__ int wide(int down, int columns, int most) {
  int best = 1;
  for (int w = 2; w <= most; w++)
    if (parts(down * parts(columns, WARP * w), WARPS) * w <= parts(down * parts(columns, WARP * best), WARPS) * best)
      best = w;
  return best;
}

// out[r][c] = sum_k a[r][k] b[k][c] for r < count <= TILE, c < COLUMNS, k < DEPTH.
template <int TILE, int DEPTH, int COLUMNS, int A_ROW, int A_STEP, bool A_WIDE, int B_STEP, int B_COLUMN, bool B_WIDE,
          int OUT_ROW, typename T>
static __device__ inline void tile_product(T *out, const T *a, const T *b, int count) {
  constexpr int HIGH = parts(TILE, 4) * parts(COLUMNS, WARP) < WARPS ? 2 : 4;
  constexpr int WIDE = wide(parts(TILE, HIGH), COLUMNS, 4), ACROSS = parts(COLUMNS, WARP * WIDE);
  const int lane = threadIdx.x % WARP;
  for (int part = threadIdx.x / WARP; part < ACROSS * parts(count, HIGH); part += WARPS) {
    const int top = part / ACROSS * HIGH, left = part % ACROSS * WARP * WIDE;
    const T *rows[HIGH], *columns[WIDE];
    T sums[HIGH][WIDE];
#pragma unroll
    for (int i = 0; i < HIGH; i++) {
      rows[i] = a + (top + i < count ? top + i : count - 1) * A_ROW;
#pragma unroll
      for (int j = 0; j < WIDE; j++) sums[i][j] = 0;
    }
#pragma unroll
    for (int j = 0; j < WIDE; j++) {
      const int c = left + lane + j * WARP;
      columns[j] = b + (c < COLUMNS ? c : COLUMNS - 1) * B_COLUMN;
    }
    int k = 0;
#pragma unroll 2
    for (; k + 4 <= DEPTH; k += 4) {
      T x[HIGH][4], y[WIDE][4];
#pragma unroll
      for (int i = 0; i < HIGH; i++) four<A_WIDE, A_STEP>(x[i], rows[i] + k * A_STEP);
#pragma unroll
      for (int j = 0; j < WIDE; j++) four<B_WIDE, B_STEP>(y[j], columns[j] + k * B_STEP);
#pragma unroll
      for (int q = 0; q < 4; q++)
#pragma unroll
        for (int i = 0; i < HIGH; i++)
#pragma unroll
          for (int j = 0; j < WIDE; j++) sums[i][j] = fused(x[i][q], y[j][q], sums[i][j]);
    }
    for (; k < DEPTH; k++)
#pragma unroll
      for (int j = 0; j < WIDE; j++) {
        const T y = columns[j][k * B_STEP];
#pragma unroll
        for (int i = 0; i < HIGH; i++) sums[i][j] = fused(rows[i][k * A_STEP], y, sums[i][j]);
      }
#pragma unroll
    for (int i = 0; i < HIGH; i++)
#pragma unroll
      for (int j = 0; j < WIDE; j++) {
        const int c = left + lane + j * WARP;
        if (top + i < count && c < COLUMNS) out[(top + i) * OUT_ROW + c] = sums[i][j];
      }
  }
}

// out[k][c] = sum_r a[r][k] b[r][c] for r < count, k < ROWS, c < COLUMNS; added to out unless it is `fresh`.
template <int ROWS, int COLUMNS, int A_ROW, int A_STEP, bool A_WIDE, int B_ROW, int B_STEP, typename T>
static __device__ inline void tile_sums(T *out, const T *a, const T *b, int count, bool fresh) {
  constexpr int HIGH = ROWS >= 64 ? 8 : 4, DOWN = parts(ROWS, HIGH);
  constexpr int WIDE = wide(DOWN, COLUMNS, 2), ACROSS = parts(COLUMNS, WARP * WIDE);
  const int lane = threadIdx.x % WARP;
  for (int part = threadIdx.x / WARP; part < ACROSS * DOWN; part += WARPS) {
    const int top = part / ACROSS * HIGH, left = part % ACROSS * WARP * WIDE;
    T sums[HIGH][WIDE];
    int columns[WIDE];
#pragma unroll
    for (int j = 0; j < WIDE; j++) {
      const int c = left + lane + j * WARP;
      columns[j] = c < COLUMNS ? c : COLUMNS - 1;
#pragma unroll
      for (int i = 0; i < HIGH; i++)
        sums[i][j] = fresh || top + i >= ROWS ? 0 : out[(top + i) * COLUMNS + columns[j]];
    }
#pragma unroll 2
    for (int r = 0; r < count; r++) {
      T x[HIGH], y[WIDE];
#pragma unroll
      for (int i = 0; i < HIGH; i += 4)
        if constexpr (A_WIDE) {  // past the last entry of a row are those that pad it
          four<true, 1>(x + i, a + r * A_ROW + (top + i < ROWS ? top + i : 0));
        } else {
#pragma unroll
          for (int q = i; q < i + 4; q++) x[q] = a[r * A_ROW + (top + q < ROWS ? top + q : ROWS - 1) * A_STEP];
        }
#pragma unroll
      for (int j = 0; j < WIDE; j++) y[j] = b[r * B_ROW + columns[j] * B_STEP];
#pragma unroll
      for (int i = 0; i < HIGH; i++)
#pragma unroll
        for (int j = 0; j < WIDE; j++) sums[i][j] = fused(x[i], y[j], sums[i][j]);
    }
#pragma unroll
    for (int i = 0; i < HIGH; i++)
#pragma unroll
      for (int j = 0; j < WIDE; j++) {
        const int c = left + lane + j * WARP;
        if (top + i < ROWS && c < COLUMNS) out[(top + i) * COLUMNS + c] = sums[i][j];
      }
  }
}
"""
FUNCTIONS = _TEXT.replace("WARPS", str(BLOCK // WARP)).replace("WARP", str(WARP))


def functions(nodes: Iterable[Node]) -> str:
    """The functions that the products among the nodes call."""
    return FUNCTIONS + tile_tensors.FUNCTIONS * any(_on_tensor_cores(node) for node in nodes)


def product(text: TileText, node: Node) -> str:
    """The call that computes a product with a row of the result for each row."""
    left, right = _factors(text, node)
    a, a_row, a_shared = text.first_row(left, left.strides[-2])
    out, out_row, _ = text.first_row(Place(node, ZERO, packed(node.shape)), packed(node.shape)[-2])
    b, b_step, b_column, b_shared = _weights(text, right, node.inputs[1].shape)
    step, depth, columns = left.strides[-1].fixed, node.inputs[0].shape[-1], node.shape[-1]
    a_words = [a_row, step, _wide(a_shared, a_row, step, left.offset)]
    b_words = [b_step, b_column, _wide(b_shared, b_column, b_step, ZERO)]
    if _on_tensor_cores(node):
        words = _joined([ROWS, columns, *a_words, *b_words, out_row])
        return f"tensor_product<{words}>({out}, {a}, {b}, count, {depth}, true);"
    return f"tile_product<{_joined([ROWS, depth, columns, *a_words, *b_words, out_row])}>({out}, {a}, {b}, count);"


def sums(text: TileText, node: Node) -> str:
    """The call that adds a tile's part of a product that is a sum over rows."""
    left, right = _factors(text, node)
    a, a_row, a_shared = text.first_row(left, left.strides[-1])
    b, b_row, _ = text.first_row(right, right.strides[-2])
    step, b_step, (rows, columns) = left.strides[-2].fixed, right.strides[-1].fixed, node.shape[-2:]
    if _on_tensor_cores(node):
        words = _joined([rows, columns, step, a_row, False, b_row, b_step, False, columns])
        return f"tensor_product<{words}>(g{node.number}, {a}, {b}, {rows}, count, fresh);"
    words = _joined([rows, columns, a_row, step, _wide(a_shared, a_row, step, left.offset), b_row, b_step])
    return f"tile_sums<{words}>(g{node.number}, {a}, {b}, count, fresh);"


def _on_tensor_cores(node: Node) -> bool:
    """Whether the factors of a product are rounded."""
    return dict(node.attributes).get("precision", "highest") != "highest"


def _factors(text: TileText, node: Node) -> list[Place]:
    return [text.storage.schedule.source(node, operand) for operand in node.inputs]


def _weights(text: TileText, place: Place, shape: tuple) -> tuple[str, int, int, bool]:
    """A pointer to a factor without rows, its strides, and whether it is in shared memory."""
    staged = Staged.of(place, shape)
    copy = None if staged is None else text.memory.weights.get(staged)
    down, right = place.strides[-2:]
    if copy is None or staged is None:
        return text.pointer(place), down.fixed, right.fixed, False
    transposed = shape[-2:] != (staged.rows, staged.columns) or down < right
    return (copy.name, 1, copy.step, True) if transposed else (copy.name, copy.step, 1, True)


def _wide(shared: bool, row: int, step: int, offset: Size) -> bool:
    """Whether four contiguous entries can be read at once."""
    return shared and step == 1 and row % 4 == 0 and offset.fixed % 4 == 0


def _joined(words: list) -> str:
    return ", ".join(str(word).lower() if isinstance(word, bool) else str(word) for word in words)
