"""A schedule as C: its loops, its products as calls of BLAS, and the walk over the steps of a chunk."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlpcore.compiler.chunk import CHUNK
from mlpcore.compiler.draws import TEXT
from mlpcore.compiler.formulas import HELD, STORED
from mlpcore.compiler.graph import Node, Shape
from mlpcore.compiler.loops import LoopPrinter
from mlpcore.compiler.operands import Operands
from mlpcore.compiler.places import ZERO, Place, as_it_lies, packed, size
from mlpcore.compiler.preamble import PREAMBLE
from mlpcore.compiler.schedule import Loop, Member, Schedule
from mlpcore.compiler.storage import Storage


class Printer:
    """The text of a schedule. ``pairs`` are (new value, the input that it replaces)."""

    def __init__(self, schedule: Schedule, pairs: Sequence[tuple[Node, Node]] = ()) -> None:
        self.schedule, self.storage = schedule, Storage(schedule, pairs)

    def text(self) -> str:
        """The whole file; `storage` then says with which arrays and numbers its functions are called."""
        body: list[str] = []
        for item in self.schedule.items:
            body += [""]
            if isinstance(item, Loop):
                body += LoopPrinter(self.storage, item).print()
            else:
                printed = {"matmul": self._product, "concat": self._concatenation, "draw": self._draws}
                body += printed[item.kind](item)
        for new, old in self.storage.copies:
            (name, begin), (target, _) = self.storage.array(new), self.storage.array(old)
            body.append(f"memcpy({target}, {name} + {begin}, sizeof *{target} * {size(old.shape)});")
        for one in self.schedule.graph.outputs:
            self.storage.array(self.storage.places[one].root)
        head = [f"{STORED[str(one.dtype)]} *restrict const a{i} = p[{i}];" for i, one in enumerate(self.storage.arrays)]
        for i, one in enumerate(self.storage.numbers):
            kind = HELD[str(one.dtype)]
            head.append(f"const {kind} c{i} = ({kind})c[{i}];")
        opening = "static void one_step(void **p, const double *c, I n, Gemm gemm, Gemmd gemmd) {"
        draws = any(isinstance(item, Node) and item.kind == "draw" for item in self.schedule.items)
        return "\n".join(
            [PREAMBLE, TEXT * draws, opening, *(f"  {line}" if line else "" for line in (*head, *body)), "}", CHUNK]
        )

    def _product(self, node: Node) -> list[str]:
        left, right = (self.schedule.source(node, one) for one in node.inputs)
        m, k, n = node.shape[-2], node.inputs[0].shape[-1], node.shape[-1]
        stack = node.shape[:-2]

        def start(place: Place) -> str:
            strides = (ZERO,) * (node.ndim - len(place.strides)) + place.strides
            return "&" + self.storage.entry(place, strides[: len(stack)])

        (one, lda), (other, ldb) = map(_order, (left, right), [given.shape for given in node.inputs])
        made = start(Place(node, ZERO, packed(node.shape)))
        call = "gemm" if node.dtype == np.float32 else "gemmd"
        return [
            f"// {node.label}: {m} x {k} times {k} x {n}",
            *(f"for (I i{axis} = 0; i{axis} < {dim}; i{axis}++)" for axis, dim in enumerate(stack)),
            f"{call}(101, {one}, {other}, {m}, {n}, {k}, 1, {start(left)}, {lda}, {start(right)}, {ldb}, "
            f"0, {made}, {n});",
        ]

    def _draws(self, node: Node) -> list[str]:
        kind = STORED[str(node.dtype)]
        whole, key, step = (
            self.storage.entry(Place(one, ZERO, ()), ()) for one in (node, *(given for given in node.inputs))
        )
        members, count = size(node.shape[:-2]), size(node.shape[-2:])
        return [f"// {node.label}", f"factors_{kind}(&{whole}, {members}, {count}, &{key}, {step});"]

    def _concatenation(self, node: Node) -> list[str]:
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


def _order(place: Place, shape: Shape) -> tuple[int, Any]:
    found = as_it_lies(shape, place.strides)
    assert found is not None, "the factor of a product is copied where BLAS cannot read it"
    return found
