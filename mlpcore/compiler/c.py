"""A schedule as C: a function for each of its phases, and the step that runs them in their order."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlpcore.compiler.chunk import CHUNK, STEP
from mlpcore.compiler.draws import TEXT
from mlpcore.compiler.formulas import STORED, join
from mlpcore.compiler.graph import N, Node, Shape, empty
from mlpcore.compiler.loops import LoopPrinter
from mlpcore.compiler.operands import Operands
from mlpcore.compiler.phases import Phase
from mlpcore.compiler.places import ZERO, Place, as_it_lies, packed, size
from mlpcore.compiler.pointers import Pointers
from mlpcore.compiler.preamble import PREAMBLE
from mlpcore.compiler.schedule import Loop, Member, Schedule
from mlpcore.compiler.storage import Storage
from mlpcore.compiler.tiling import DEFAULT, Tiling

MANY = 1 << 15  # entries of partial results from which on adding them up is work for several threads


class Printer:
    """The text of a schedule. ``pairs`` are (new value, the input that it replaces)."""

    def __init__(self, schedule: Schedule, pairs: Sequence[tuple[Node, Node]] = (), tiling: Tiling = DEFAULT) -> None:
        self.schedule, self.storage = schedule, Storage(schedule, pairs, tiling)
        self.most = tiling.most
        self.sums: list[int] = []  # bytes of the partial results of a tile, by phase

    def text(self) -> str:
        """The whole file; `storage` then says with which arrays and numbers its functions are called."""
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
            (name, begin), (target, _) = self.storage.array(new), self.storage.array(old)
            kind, count = STORED[str(old.dtype)], size(old.shape)
            calls.append(f"memcpy(s->p[{target[1:]}], ({kind} *)s->p[{name[1:]}] + {begin}, sizeof({kind}) * {count});")
        for one in self.schedule.graph.outputs:
            self.storage.array(self.storage.places[one].root)
        calls = ["const I n = s->rows;", *calls]
        draws = TEXT * any(isinstance(item, Node) and item.kind == "draw" for item in self.schedule.items)
        step = _function("static void one_step(const Step *s)", calls)
        return "\n".join([PREAMBLE, STEP, draws, *functions, *step, CHUNK])

    def _phase(self, number: int, phase: Phase) -> list[str]:
        pointers = self.storage.enter(number)
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
        """How many pieces the addition of partial results is cut into."""
        return self.most if sum(size(node.shape).fixed for node in phase.sums) >= MANY else 1

    def _sums(self, number: int, phase: Phase, tiles: str, parts: int) -> list[str]:
        """The function that adds up the partial results of tiles in their order, in equal pieces of every array."""
        pointers: Pointers = self.storage.enter(number)
        lines = ["const Step *s = context;"]
        for node in phase.sums:
            kind, count = STORED[str(node.dtype)], size(node.shape).fixed
            each = -(-count // parts)
            whole, start = self.storage.whole(node)
            argument = self.storage.arrays.index(whole)
            lines += [
                f"// {node.label}",
                f"for (I t = 0; t + 1 < {tiles}; t++) {{",
                f"  {kind} *restrict const a = ({kind} *)s->p[{argument}] + {start};",
                f"  const {kind} *restrict const b = "
                f"(const {kind} *)(s->sums[{number}] + t * {pointers.bytes} + {pointers.offsets[node]});",
                f"  const I end = (part + 1) * {each} < {count} ? (part + 1) * {each} : {count};",
                f"  for (I i = part * {each}; i < end; i++) a[i] = {join(node).format('a[i]', 'b[i]')};",
                "}",
            ]
        return _function(f"static PHASE void sums{number}(const void *context, I part)", lines)

    def _product(self, node: Node, phase: Phase) -> list[str]:
        left, right = (self.schedule.source(node, one) for one in node.inputs)
        m, k, n = node.shape[-2], node.inputs[0].shape[-1], node.shape[-1]
        stack = node.shape[:-2]
        if empty(node.inputs[0].shape) or empty(node.inputs[1].shape):  # BLAS refuses rows without entries
            begin = self.storage.entry(Place(node, ZERO, packed(node.shape)), (ZERO,) * node.ndim)
            return [] if empty(node.shape) else [f"memset(&{begin}, 0, ({size(node.shape)}) * sizeof {begin});"]

        def start(place: Place) -> str:
            strides = (ZERO,) * (node.ndim - len(place.strides)) + place.strides
            return "&" + self.storage.entry(place, strides[: len(stack)])

        (one, lda), (other, ldb) = map(_order, (left, right), [given.shape for given in node.inputs])
        made = start(Place(node, ZERO, packed(node.shape)))
        call = "s->gemm" if node.dtype == np.float32 else "s->gemmd"
        # Where columns are cut, n is the number of those of a tile.
        rows = "rows" if isinstance(phase.length, int) else "n"
        columns, terms = ("n", "rows") if isinstance(phase.length, int) else (n, k)
        lda, ldb = (rows if one is N else one for one in (lda, ldb))
        return [
            f"// {node.label}: {m} x {k} times {k} x {n}",
            *(f"for (I i{axis} = 0; i{axis} < {dim}; i{axis}++)" for axis, dim in enumerate(stack)),
            f"{call}(101, {one}, {other}, {m}, {columns}, {terms}, 1, {start(left)}, {lda}, {start(right)}, {ldb}, "
            f"0, {made}, {n});",
        ]

    def _draws(self, node: Node, phase: Phase) -> list[str]:
        kind = STORED[str(node.dtype)]
        whole, key, step = (
            self.storage.entry(Place(one, ZERO, ()), ()) for one in (node, *(given for given in node.inputs))
        )
        members, count = size(node.shape[:-2]), size(node.shape[-2:])
        start = 0 if phase.length is None else f"first * {node.shape[-1]}"
        return [f"// {node.label}", f"factors_{kind}(&{whole}, {members}, {start}, {count}, &{key}, {step});"]

    def _concatenation(self, node: Node, _: Phase) -> list[str]:
        """Copies of the parts that are not made in their place."""
        axis, begin, lines = dict(node.attributes)["axis"], 0, []
        whole = packed(node.shape)
        for part in node.inputs:
            offset = size((begin, *node.shape[axis + 1 :])) if begin else ZERO
            if self.storage.home.get(self.storage.places[part].root, (None, ZERO)) != (node, offset):
                copy = Node("copy", "elementwise", (part,), part.shape, part.dtype, (), node.label)
                loop = Loop(part.shape)
                member = Member(copy, whole, tuple(range(part.ndim)), part.ndim, 0, False)
                value = Operands(self.storage, loop).read(member, 0)
                lines += [f"for (I i{i} = 0; i{i} < {dim}; i{i}++)" for i, dim in enumerate(part.shape)]
                lines.append(f"{self.storage.entry(Place(node, offset, whole), whole)} = {value};")
            begin += part.shape[axis]
        return lines


def _function(head: str, lines: Sequence[str]) -> list[str]:
    return ["", head + " {", *(f"  {line}" if line else "" for line in lines), "}"]


def _order(place: Place, shape: Shape) -> tuple[int, Any]:
    found = as_it_lies(shape, place.strides)
    assert found is not None, "the factor of a product is copied where BLAS cannot read it"
    return found
