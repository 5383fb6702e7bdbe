"""Where the entries of a node lie: in which array, from which offset on, and how far apart along every axis."""

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
        """So many times as much; a square of the number of rows is `RowsNeeded`."""
        if dim is not N:
            return Size(self.fixed * dim, self.per_row * dim)
        if self.per_row:
            raise RowsNeeded("an array with two axes of rows")
        return Size(0, self.fixed)

    def plus(self, other: "Size") -> "Size":
        """The sum."""
        return Size(self.fixed + other.fixed, self.per_row + other.per_row)

    def at(self, rows: int) -> int:
        """The number for so many rows."""
        return self.fixed + self.per_row * rows

    def __str__(self) -> str:
        if not self.per_row:
            return str(self.fixed)
        rows = "n" if self.per_row == 1 else f"{self.per_row} * n"
        return rows if not self.fixed else f"({self.fixed} + {rows})"


ZERO, ONE = Size(0), Size(1)


def entry(name: str, begin: Size, strides: Iterable[Size]) -> str:
    """An entry of an array in C, for strides along the axes of a loop, whose indices are ``i0``, ``i1`` and so on."""
    terms = [f"i{a}" if s == ONE else f"i{a} * {s}" for a, s in enumerate(strides) if s != ZERO]
    if begin != ZERO or not terms:
        terms.append(str(begin))
    return f"{name}[{' + '.join(terms)}]"


def size(shape: Shape) -> Size:
    """The number of entries of a shape."""
    count = ONE
    for dim in shape:
        count = count.times(dim)
    return count


def packed(shape: Shape) -> tuple[Size, ...]:
    """The strides of an array whose entries lie one behind the other, 0 for axes of length 1."""
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

    A view is a place in the array of another node. One that no strides can express, such as a reshape of a transpose,
    is a view of a packed copy, and so is the factor of a product that no row or column of which is packed.
    """
    computed: list[Node] = []
    found: dict[Any, Place] = {}  # of nodes, and of (product, factor) where it is a copy

    def add(node: Node) -> Place:
        computed.append(node)
        return found.setdefault(node, Place(node, ZERO, packed(node.shape)))

    def copied(node: Node) -> Place:
        number = len(graph.nodes) + len(computed)
        return add(Node("copy", "elementwise", (node,), node.shape, node.dtype, (), node.label, number))

    for node in graph.needed():
        if node.kind == "matmul":
            for one in node.inputs:
                if as_it_lies(one.shape, found[one].strides) is None:
                    found[(node, one)] = copied(one)
        if node.kind != "view":
            add(node)
            continue
        (source,) = node.inputs
        place = _viewed(node, found[source]) or _viewed(node, copied(source))
        assert place is not None, f"{node} of a packed array"
        found[node] = place
    return computed, found


def as_it_lies(shape: Shape, strides: tuple[Size, ...]) -> tuple[int, Size | Dim] | None:
    """How BLAS can read a matrix: 111 where its rows are packed, 112 where its columns are, as CBLAS calls a matrix and
    its transpose, and how far apart these lie. None where neither is, or where they lie in reverse."""
    (rows, columns), (row, column) = shape[-2:], strides[-2:]
    if min(*row, *column) < 0:
        return None
    if (column == ONE or not long(columns)) and (row != ZERO or not long(rows)):
        return 111, row if row != ZERO else columns
    if (row == ONE or not long(rows)) and (column != ZERO or not long(columns)):
        return 112, column if column != ZERO else rows
    return None


def _viewed(node: Node, source: Place) -> Place | None:
    words, (given,) = dict(node.attributes), node.inputs
    if node.name == "permute_dims":
        return Place(source.root, source.offset, tuple(source.strides[i] for i in words["axes"]))
    if node.name == "broadcast_to":
        before = (ZERO,) * (node.ndim - given.ndim)
        pairs = zip(source.strides, given.shape, strict=True)
        return Place(source.root, source.offset, before + tuple(s if long(d) else ZERO for s, d in pairs))
    if node.name == "slice":
        offset = source.offset
        cut: list[Size] = []
        for start, step, stride, dim in zip(words["starts"], words["steps"], source.strides, node.shape, strict=True):
            offset = offset.plus(stride.times(start))
            cut.append(stride.times(step) if long(dim) else ZERO)
        return Place(source.root, offset, tuple(cut))
    strides = _reshaped(given.shape, source.strides, node.shape)
    return None if strides is None else Place(source.root, source.offset, strides)


def _reshaped(old: Shape, strides: tuple[Size, ...], new: Shape) -> tuple[Size, ...] | None:
    """The strides under another shape, or None: axes that are joined or split must lie one behind the other."""
    if empty(new):
        return packed(new)
    here = [(dim, stride) for dim, stride in zip(old, strides, strict=True) if long(dim)]
    there = [(i, dim) for i, dim in enumerate(new) if long(dim)]
    made: dict[int, Size] = {}
    while here or there:
        group, wanted = [here.pop(0)] if here else [], [there.pop(0)] if there else []
        while (have := size(tuple(d for d, _ in group))) != (want := size(tuple(d for _, d in wanted))):
            if (have.per_row, have.fixed) < (want.per_row, want.fixed):
                if not here:
                    return None
                group.append(here.pop(0))
            elif there:
                wanted.append(there.pop(0))
            else:
                return None
        for (_, outer), (dim, inner) in pairwise(group):
            if outer != inner.times(dim):
                return None
        step = group[-1][1] if group else ZERO
        for i, dim in reversed(wanted):
            made[i] = step
            step = step.times(dim)
    return tuple(made.get(i, ZERO) for i in range(len(new)))
