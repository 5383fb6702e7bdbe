"""Prints a schedule as C: a function for each phase, and the step that runs them in order."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlpcore.compiler.chunk import CHUNK, STEP
from mlpcore.compiler.draws import FACTORS
from mlpcore.compiler.formulas import STORED, combine
from mlpcore.compiler.graph import N, Node, Shape, empty
from mlpcore.compiler.loops import LoopPrinter
from mlpcore.compiler.operands import Operands
from mlpcore.compiler.phases import Phase
from mlpcore.compiler.places import ZERO, Place, blas_order, packed, size
from mlpcore.compiler.pointers import Pointers
from mlpcore.compiler.preamble import PREAMBLE
from mlpcore.compiler.schedule import Loop, Member, Schedule
from mlpcore.compiler.storage import Storage
from mlpcore.compiler.tiling import DEFAULT, Tiling

MANY = 1 << 15  # with this many entries of partial results, their addition runs in tiles


class CPrinter:
    """Prints a schedule as C. ``pairs`` are (new value, the input over which it is written)."""

    def __init__(self, schedule: Schedule, pairs: Sequence[tuple[Node, Node]] = (), tiling: Tiling = DEFAULT) -> None:
        self.schedule, self.storage = schedule, Storage(schedule, pairs, tiling)
        self.most = tiling.most
        self.sums: list[int] = []  # bytes of the partial results of a tile, by phase

    def text(self) -> str:
        """The whole file; `storage` then holds the arrays and numbers that are the arguments of its functions."""
        functions, calls = [], []
        for number, phase in enumerate(self.storage.phases):
            functions += self._phase(number, phase)
            tiles = "s->tiles" if phase.length is N else str(phase.tiles(1))
            calls.append(f"phase{number}(s, 0);" if phase.length is None else f"in_tiles(s, phase{number}, {tiles});")
            if phase.sums:
                parts = self._parts(phase)
                functions += self._sums(number, phase, tiles, parts)
                add = f"in_tiles(s, sums{number}, {parts});" if parts > 1 else f"sums{number}(s, 0);"
                calls.append(f"if ({tiles} > 1) {add}" if phase.length is N else add)
        self.storage.pointers = None
        for new, old in self.storage.copies:
            (name, offset), (target, _) = self.storage.array(new), self.storage.array(old)
            kind, count = STORED[str(old.dtype)], size(old.shape)
            calls.append(
                f"memcpy(s->p[{target[1:]}], ({kind} *)s->p[{name[1:]}] + {offset}, sizeof({kind}) * {count});"
            )
        for output in self.schedule.graph.outputs:
            self.storage.array(self.storage.places[output].root)
        calls = ["const I n = s->rows;", *calls]
        draws = FACTORS * any(isinstance(item, Node) and item.kind == "draw" for item in self.schedule.items)
        step = _function("static void one_step(const Step *s)", calls)
        return "\n".join([PREAMBLE, STEP, draws, *functions, *step, CHUNK])

    def _phase(self, number: int, phase: Phase) -> list[str]:
        pointers = self.storage.begin_phase(number)
        self.sums.append(pointers.bytes)
        body: list[str] = []
        for item in phase.items:
            body += [""]
            if isinstance(item, Loop):
                body += LoopPrinter(self.storage, item, phase.length is not None).print()
            else:
                printed = {"matmul": self._product, "concat": self._concatenation, "draw": self._draws}
                body += printed[item.kind](item, phase)
        head = f"static PHASE void phase{number}(const void *context, I tile)"
        return _function(head, ["const Step *s = context;", *pointers.lines(), *body])

    def _parts(self, phase: Phase) -> int:
        """The number of tiles of the addition of partial results."""
        return self.most if sum(size(node.shape).fixed for node in phase.sums) >= MANY else 1

    def _sums(self, number: int, phase: Phase, tiles: str, parts: int) -> list[str]:
        """The function that adds the partial results of the tiles to the result, in their order.

        It runs in ``parts`` tiles, each of which adds one range of every array.
        """
        pointers: Pointers = self.storage.begin_phase(number)
        lines = ["const Step *s = context;"]
        for node in phase.sums:
            kind, count = STORED[str(node.dtype)], size(node.shape).fixed
            each = -(-count // parts)
            owner, offset = self.storage.owner_of(node)
            argument = self.storage.arrays.index(owner)
            lines += [
                f"// {node.label}",
                f"for (I t = 0; t + 1 < {tiles}; t++) {{",
                f"  {kind} *restrict const a = ({kind} *)s->p[{argument}] + {offset};",
                f"  const {kind} *restrict const b = "
                f"(const {kind} *)(s->sums[{number}] + t * {pointers.bytes} + {pointers.offsets[node]});",
                f"  const I end = (part + 1) * {each} < {count} ? (part + 1) * {each} : {count};",
                f"  for (I i = part * {each}; i < end; i++) a[i] = {combine(node).format('a[i]', 'b[i]')};",
                "}",
            ]
        return _function(f"static PHASE void sums{number}(const void *context, I part)", lines)

    def _product(self, node: Node, phase: Phase) -> list[str]:
        left, right = (self.schedule.source(node, operand) for operand in node.inputs)
        m, k, n = node.shape[-2], node.inputs[0].shape[-1], node.shape[-1]
        stack = node.shape[:-2]
        if empty(node.inputs[0].shape) or empty(node.inputs[1].shape):  # BLAS refuses rows without entries
            entry = self.storage.entry(Place(node, ZERO, packed(node.shape)), (ZERO,) * node.ndim)
            return [] if empty(node.shape) else [f"memset(&{entry}, 0, ({size(node.shape)}) * sizeof {entry});"]

        def start(place: Place) -> str:
            strides = (ZERO,) * (node.ndim - len(place.strides)) + place.strides
            return "&" + self.storage.entry(place, strides[: len(stack)])

        (left_order, lda), (right_order, ldb) = map(_order, (left, right), [operand.shape for operand in node.inputs])
        result = start(Place(node, ZERO, packed(node.shape)))
        call = "s->gemm" if node.dtype == np.float32 else "s->gemmd"
        # In a phase that is cut by columns, n is the number of columns of a tile, and rows that of the rows.
        rows = "rows" if isinstance(phase.length, int) else "n"
        columns, terms = ("n", "rows") if isinstance(phase.length, int) else (n, k)
        lda, ldb = (rows if stride is N else stride for stride in (lda, ldb))
        return [
            f"// {node.label}: {m} x {k} times {k} x {n}",
            *(f"for (I i{axis} = 0; i{axis} < {dim}; i{axis}++)" for axis, dim in enumerate(stack)),
            f"{call}(101, {left_order}, {right_order}, {m}, {columns}, {terms}, 1, "
            f"{start(left)}, {lda}, {start(right)}, {ldb}, 0, {result}, {n});",
        ]

    def _draws(self, node: Node, phase: Phase) -> list[str]:
        kind = STORED[str(node.dtype)]
        factors, key, position = (
            self.storage.entry(Place(argument, ZERO, ()), ()) for argument in (node, *node.inputs)
        )
        members, count = size(node.shape[:-2]), size(node.shape[-2:])
        start = 0 if phase.length is None else f"first * {node.shape[-1]}"
        numbers = f"{members}, {start}, {count}, {node.shape[-1]}"
        return [f"// {node.label}", f"factors_{kind}(&{factors}, {numbers}, &{key}, &{position});"]

    def _concatenation(self, node: Node, _: Phase) -> list[str]:
        """Copies of the operands that are not computed in the memory of the concatenation."""
        axis, start, lines = dict(node.attributes)["axis"], 0, []
        strides = packed(node.shape)
        for operand in node.inputs:
            offset = size((start, *node.shape[axis + 1 :])) if start else ZERO
            if self.storage.placed.get(self.storage.places[operand].root, (None, ZERO)) != (node, offset):
                copy = Node("copy", "elementwise", (operand,), operand.shape, operand.dtype, (), node.label)
                loop = Loop(operand.shape)
                member = Member(copy, strides, tuple(range(operand.ndim)), operand.ndim, 0, False)
                value = Operands(self.storage, loop).read(member, 0)
                lines += [f"for (I i{i} = 0; i{i} < {dim}; i{i}++)" for i, dim in enumerate(operand.shape)]
                lines.append(f"{self.storage.entry(Place(node, offset, strides), strides)} = {value};")
            start += operand.shape[axis]
        return lines


def _function(head: str, lines: Sequence[str]) -> list[str]:
    return ["", head + " {", *(f"  {line}" if line else "" for line in lines), "}"]


def _order(place: Place, shape: Shape) -> tuple[int, Any]:
    """The CBLAS constant and the leading dimension of a factor."""
    order = blas_order(shape, place.strides)
    assert order is not None, "`places` copies every factor that BLAS cannot read"
    return order
