"""The place of a node in memory: the array that holds its entries, an offset and a stride for every axis."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from mlpcore.compiler.graph import Dim, Graph, N, Node, RowsNeeded, Shape, empty, long


class Size(NamedTuple):
    """A number of entries, ``fixed + per_row * n`` for n rows."""

    fixed: int
    per_row: int = 0

    def times(self, dim: Dim) -> "Size":
        """The product with a length; `RowsNeeded` where that is the square of the number of rows."""
        if dim is not N:
            return Size(self.fixed * dim, self.per_row * dim)
        if self.per_row:
            raise RowsNeeded("an array with two axes of rows")
        return Size(0, self.fixed)

    def plus(self, other: "Size") -> "Size":
        """The sum."""
        return Size(self.fixed + other.fixed, self.per_row + other.per_row)

    def at(self, rows: int) -> int:
        """The number of entries for a number of rows."""
        return self.fixed + self.per_row * rows

    def __str__(self) -> str:
        if not self.per_row:
            return str(self.fixed)
        rows = "n" if self.per_row == 1 else f"{self.per_row} * n"
        return rows if not self.fixed else f"({self.fixed} + {rows})"


ZERO, ONE = Size(0), Size(1)


def entry(name: str, offset: Size, strides: Iterable[Size]) -> str:
    """An entry of an array as a C expression, from strides along the axes of a loop with the indices ``i0``, ``i1``."""
    terms = [f"i{a}" if s == ONE else f"i{a} * {s}" for a, s in enumerate(strides) if s != ZERO]
    if offset != ZERO or not terms:
        terms.append(str(offset))
    return f"{name}[{' + '.join(terms)}]"


def size(shape: Shape) -> Size:
    """The number of entries of a shape."""
    count = ONE
    for dim in shape:
        count = count.times(dim)
    return count


def packed(shape: Shape) -> tuple[Size, ...]:
    """The strides of a C-contiguous array, 0 for axes of length 1."""
    strides, step = [], ONE
    for dim in reversed(shape):
        strides.append(step if long(dim) else ZERO)
        step = step.times(dim)
    return tuple(reversed(strides))


@dataclass(frozen=True)
class Place:
    """Entry ``(i, j)`` of a node is entry ``offset + i strides[0] + j strides[1]`` of the array of ``root``."""

    root: Node
    offset: Size
    strides: tuple[Size, ...]


def places(graph: Graph) -> tuple[list[Node], dict[Any, Place]]:
    """The nodes that are computed, in order, and the place of every node.

    A view is a place in the array of another node. A view that strides cannot express, such as a reshape of a
    transpose, becomes a view of a packed copy; so does a factor of a matrix product that has no unit stride.
    """
    computed: list[Node] = []
    place_of: dict[Any, Place] = {}  # of nodes, and of (product, factor) where the factor is copied

    def add(node: Node) -> Place:
        computed.append(node)
        return place_of.setdefault(node, Place(node, ZERO, packed(node.shape)))

    def copied(node: Node) -> Place:
        number = len(graph.nodes) + len(computed)
        return add(Node("copy", "elementwise", (node,), node.shape, node.dtype, (), node.label, number))

    for node in graph.needed():
        if node.kind == "matmul":
            for operand in node.inputs:
                if blas_order(operand.shape, place_of[operand].strides) is None:
                    place_of[(node, operand)] = copied(operand)
        if node.kind != "view":
            add(node)
            continue
        (source,) = node.inputs
        place = _viewed(node, place_of[source]) or _viewed(node, copied(source))
        assert place is not None, f"{node} of a packed array"
        place_of[node] = place
    return computed, place_of


def blas_order(shape: Shape, strides: tuple[Size, ...]) -> tuple[int, Size | Dim] | None:
    """How BLAS reads a matrix: the CBLAS constant (111 for packed rows, 112 for packed columns) and the leading
    dimension. None where neither rows nor columns are packed, or a stride is negative."""
    (rows, columns), (row, column) = shape[-2:], strides[-2:]
    if min(*row, *column) < 0:
        return None
    if (column == ONE or not long(columns)) and (row != ZERO or not long(rows)):
        return 111, row if row != ZERO else columns
    if (row == ONE or not long(rows)) and (column != ZERO or not long(columns)):
        return 112, column if column != ZERO else rows
    return None


def _viewed(node: Node, source: Place) -> Place | None:
    """The place of a view, whose operand lies at ``source``; None where strides cannot express it."""
    attributes, (operand,) = dict(node.attributes), node.inputs
    if node.name == "permute_dims":
        return Place(source.root, source.offset, tuple(source.strides[i] for i in attributes["axes"]))
    if node.name == "broadcast_to":
        before = (ZERO,) * (node.ndim - operand.ndim)
        pairs = zip(source.strides, operand.shape, strict=True)
        return Place(source.root, source.offset, before + tuple(s if long(d) else ZERO for s, d in pairs))
    if node.name == "slice":
        offset = source.offset
        steps: list[Size] = []
        starts = attributes["starts"]
        for start, step, stride, dim in zip(starts, attributes["steps"], source.strides, node.shape, strict=True):
            offset = offset.plus(stride.times(start))
            steps.append(stride.times(step) if long(dim) else ZERO)
        return Place(source.root, offset, tuple(steps))
    strides = _reshaped(operand.shape, source.strides, node.shape)
    return None if strides is None else Place(source.root, source.offset, strides)


def _reshaped(old: Shape, strides: tuple[Size, ...], new: Shape) -> tuple[Size, ...] | None:
    """The strides in another shape, or None: axes that are merged or split must be contiguous."""
    if empty(new):
        return packed(new)
    old_axes = [(dim, stride) for dim, stride in zip(old, strides, strict=True) if long(dim)]
    new_axes = [(i, dim) for i, dim in enumerate(new) if long(dim)]
    result: dict[int, Size] = {}
    while old_axes:  # both shapes have as many entries, so what is left of them has too
        old_group, new_group = [old_axes.pop(0)], [new_axes.pop(0)]
        while (old_size := size(tuple(d for d, _ in old_group))) != (new_size := size(tuple(d for _, d in new_group))):
            if (old_size.per_row, old_size.fixed) < (new_size.per_row, new_size.fixed):
                old_group.append(old_axes.pop(0))
            else:
                new_group.append(new_axes.pop(0))
        for (_, outer), (dim, inner) in pairwise(old_group):
            if outer != inner.times(dim):
                return None
        step = old_group[-1][1]
        for i, dim in reversed(new_group):
            result[i] = step
            step = step.times(dim)
    return tuple(result.get(i, ZERO) for i in range(len(new)))
