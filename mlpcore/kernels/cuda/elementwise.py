"""From the trace of an elementwise formula to one CUDA kernel with 16-byte accesses, and the arithmetic of its launch.

The operands broadcast to a box of ``outer x inner x columns``; each of them runs along some of these three directions
and stands still along the others. A thread does one vector of neighbouring columns.
"""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from mlpcore.kernels.cuda import BLOCK, Source
from mlpcore.kernels.cuda.tracing import C_TYPES, Trace, Untraceable

ACCESS = 16  # bytes of the widest load there is

Uses = tuple[bool, bool, bool]  # whether an operand runs along outer, inner, columns


class Box(NamedTuple):
    """The three lengths, and what each operand uses of them."""

    outer: int
    inner: int
    columns: int
    uses: tuple[Uses, ...]

    @property
    def rows(self) -> int:
        """Runs of columns."""
        return self.outer * self.inner


def box(shapes: Sequence[tuple[int, ...]], whole: tuple[int, ...]) -> Box:
    """The box of operands of these shapes, which broadcast to ``whole``; Untraceable where three lengths do not do.

    Neighbouring axes along which every operand does the same are one.
    """
    lengths: list[int] = []
    patterns: list[tuple[bool, ...]] = []
    for axis, length in enumerate(whole):
        if length == 1:
            continue
        back = axis - len(whole)
        pattern = tuple(len(shape) >= -back and shape[back] == length for shape in shapes)
        if patterns and patterns[-1] == pattern:
            lengths[-1] *= length
        else:
            lengths.append(length)
            patterns.append(pattern)
    if len(lengths) > 3:
        raise Untraceable(f"operands of shapes {', '.join(map(str, shapes))}")
    missing = 3 - len(lengths)
    if missing == 3:  # numbers alone are a row of one column
        return Box(1, 1, 1, tuple((True, True, True) for _ in shapes))
    patterns = [patterns[0]] * missing + patterns
    outer, inner, columns = [1] * missing + lengths
    return Box(outer, inner, columns, tuple((p[0], p[1], p[2]) for p in zip(*patterns, strict=True)))


def vector(columns: int, rows: int, itemsize: int, address: int) -> int:
    """Elements a thread takes at once: up to 16 bytes, as far as every row begins where such an access may begin.

    ``itemsize`` is that of the widest array along the columns, ``address`` the bitwise or of where all of these begin.
    A single row may end in a piece of a vector, several must not.
    """
    length = max(1, ACCESS // itemsize)
    while length > 1 and (columns < length or address % (length * itemsize) or (rows > 1 and columns % length)):
        length //= 2
    return length


def threads(columns: int, rows: int, length: int) -> int:
    """Threads in all: one for every vector, and one for each element that is left of a single row."""
    return rows * (columns // length) + columns % length


def grid(items: int) -> tuple[tuple[int], tuple[int]]:
    """Blocks, and threads of a block."""
    block = BLOCK if items > 32 else 32
    return (-(-items // block),), (block,)


def write(trace: Trace, guard: bool, shape: Box, length: int) -> Source:
    """The kernel of the trace: pointers of the operands and of the outputs, then rows, inner and columns.

    With ``guard`` the last operand of the box is a boolean that the formula does not see: where it is false nothing
    is read or written. Built without contraction of products and sums, so that it rounds as the formula does.
    """
    inputs = [symbol.dtype.name for symbol in trace.operands]
    outputs = [symbol.dtype.name for symbol in trace.outputs]
    single = shape.rows == 1
    # Division of 64 bits costs far more, so it is left to boxes that need it.
    counted = "long long" if threads(shape.columns, shape.rows, length) >= 1 << 31 else "unsigned int"
    pointers = [f"const {C_TYPES[dtype]} *in{i}" for i, dtype in enumerate(inputs)]
    pointers += [f"{C_TYPES[dtype]} *out{i}" for i, dtype in enumerate(outputs)]
    pointers += ["const bool *ok"] if guard else []
    words = [f"const {C_TYPES[dtype]} x{i}" for i, dtype in enumerate(inputs)]
    words += [f"{C_TYPES[dtype]} &y{i}" for i, dtype in enumerate(outputs)]

    used = {i for output in trace.outputs for i in output.reads}

    def row_of(uses: Uses) -> str:
        """The row that an operand's element lies in."""
        if single or not (uses[0] or uses[1]):
            return "0"
        return "row" if uses[0] and uses[1] else f"row / ({counted})inner" if uses[0] else f"row % ({counted})inner"

    def begin(uses: Uses) -> str:
        """The place of an operand's element in column ``at``."""
        row = row_of(uses)
        return row if not uses[2] else "at" if row == "0" else f"(long long)({row}) * columns + at"

    scalars = [f"  const {C_TYPES[inputs[i]]} s{i} = in{i}[{begin(uses)}];"
               for i, uses in enumerate(shape.uses[: len(inputs)]) if not uses[2] and i in used]  # fmt: skip
    along = {i for i, uses in enumerate(shape.uses[: len(inputs)]) if uses[2] and i in used}
    loads = [f"  const Pack<{C_TYPES[inputs[i]]}> p{i} = load(in{i} + {begin(shape.uses[i])});" for i in sorted(along)]
    results = [f"  Pack<{C_TYPES[dtype]}> q{i};" for i, dtype in enumerate(outputs)]
    full = "at" if single else "(long long)row * columns + at"
    stores = [f"  store(out{i} + {full}, q{i});" for i in range(len(outputs))]

    def arguments(element: str, result: str) -> str:
        """What the formula is called with."""
        given = [
            element.format(i) if i in along else f"s{i}" if i in used else f"({C_TYPES[inputs[i]]})0"
            for i in range(len(inputs))
        ]
        return ", ".join(given + [result.format(i) for i in range(len(outputs))])

    if single:
        place = "  const long long row = 0, at = item * V;"
    else:
        place = f"""\
  const {counted} across = columns / V, row = ({counted})item / across;
  const long long at = ({counted})item % across * (long long)V;"""
    left = shape.columns % length  # known, so that a kernel without a rest holds no code for it
    rest = f"""
  if (item >= columns / V) {{
    const long long one = columns / V * V + item - columns / V;
    if (one < columns) formula({arguments("in{0}[one]", "out{0}[one]")});
    return;
  }}"""
    outside = "" if left else f"\n  if ({'at' if single else 'row'} >= {'columns' if single else 'rows'}) return;"
    # A division of 64 bits calls a function, around which fewer registers than these would be put by in memory.
    bounds = f"{BLOCK}, 4" if "float64" in inputs + outputs else str(BLOCK)
    code = f"""\
// {len(inputs)} operands, {len(outputs)} results, {length} columns at once
constexpr int V = {length};
template <class T> struct alignas(sizeof(T) * V) Pack {{ T v[V]; }};
template <class T> __device__ __forceinline__ Pack<T> load(const T *p) {{
  return *reinterpret_cast<const Pack<T> *>(p);
}}
template <class T> __device__ __forceinline__ void store(T *p, const Pack<T> &x) {{
  *reinterpret_cast<Pack<T> *>(p) = x;
}}

static __device__ __forceinline__ void formula({", ".join(words)}) {{
{trace.code()}
}}

extern "C" __global__ void __launch_bounds__({bounds}) elementwise({", ".join(pointers)},
    const long long rows, const long long inner, const long long columns) {{
  const long long item = blockIdx.x * (long long)blockDim.x + threadIdx.x;
{place}{outside}
{f"  if (!ok[{row_of(shape.uses[-1])}]) return;" if guard else ""}
{chr(10).join(scalars)}{rest if left else ""}
{chr(10).join(loads + results)}
#pragma unroll
  for (int j = 0; j < V; ++j) formula({arguments("p{0}.v[j]", "q{0}.v[j]")});
{chr(10).join(stores)}
}}
"""
    return Source("elementwise", code, ("--fmad=false",))


def launch_numbers(shape: Box) -> tuple[int, int, int]:
    """The numbers a kernel is given after its pointers."""
    return shape.rows, shape.inner, shape.columns


def covers(output_reads: frozenset[int], shapes: Sequence[tuple[int, ...]], whole: tuple[int, ...]) -> bool:
    """Whether a result that depends on these operands has the shape of the whole box, so that a kernel may store it."""
    return all(
        length == 1 or any(len(shapes[i]) >= -back and shapes[i][back] == length for i in output_reads)
        for back, length in ((axis - len(whole), length) for axis, length in enumerate(whole))
    )


def whole_shape(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The shape that the operands broadcast to."""
    rank = max(map(len, shapes), default=0)
    filled = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
    return tuple(max(lengths) if 0 not in lengths else 0 for lengths in zip(*filled, strict=True))


def elements(whole: tuple[int, ...]) -> int:
    """How many numbers there are in a box of that shape."""
    return prod(whole)
