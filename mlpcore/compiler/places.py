"""Where the entries of a node lie: in which array, from which offset on, and how far apart along every axis."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from mlpcore.compiler.graph import Dim, Graph, N, Node, RowsNeeded, Shape


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
        strides.append(ZERO if dim is not N and dim == 1 else step)
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
    for node in graph.needed():
        if node.kind == "matmul":
            for one in node.inputs:
                if not readable(one.shape, found[one].strides):
                    copy = Node(
                        "copy",
                        "elementwise",
                        (one,),
                        one.shape,
                        one.dtype,
                        (),
                        one.label,
                        len(graph.nodes) + len(computed),
                    )
                    computed.append(copy)
                    found[copy] = Place(copy, ZERO, packed(copy.shape))
                    found[(node, one)] = found[copy]
        if node.kind != "view":
            computed.append(node)
            found[node] = Place(node, ZERO, packed(node.shape))
            continue
        (source,) = node.inputs
        place = _viewed(node, found[source])
        if place is None:
            copy = Node(
                "copy",
                "elementwise",
                (source,),
                source.shape,
                source.dtype,
                (),
                source.label,
                len(graph.nodes) + len(computed),
            )
            computed.append(copy)
            found[copy] = Place(copy, ZERO, packed(copy.shape))
            place = _viewed(node, found[copy])
            assert place is not None, f"{node} of a packed array"
        found[node] = place
    return computed, found


def readable(shape: Shape, strides: tuple[Size, ...]) -> bool:
    """Whether BLAS can read a matrix as it lies: its rows, or its columns, packed."""
    (rows, columns), (row, column) = shape[-2:], strides[-2:]

    def short(dim: Dim) -> bool:
        return dim is not N and dim == 1

    by_rows = (column == ONE or short(columns)) and (row != ZERO or short(rows))
    by_columns = (row == ONE or short(rows)) and (column != ZERO or short(columns))
    return by_rows or by_columns


def _viewed(node: Node, source: Place) -> Place | None:
    words, (given,) = dict(node.attributes), node.inputs
    if node.name == "permute_dims":
        return Place(source.root, source.offset, tuple(source.strides[i] for i in words["axes"]))
    if node.name == "broadcast_to":
        before = (ZERO,) * (node.ndim - given.ndim)
        pairs = zip(source.strides, given.shape, strict=True)
        return Place(source.root, source.offset, before + tuple(ZERO if d is not N and d == 1 else s for s, d in pairs))
    if node.name == "slice":
        offset = source.offset
        cut: list[Size] = []
        for start, step, stride, dim in zip(words["starts"], words["steps"], source.strides, node.shape, strict=True):
            offset = offset.plus(stride.times(start))
            cut.append(ZERO if dim is not N and dim == 1 else stride.times(step))
        return Place(source.root, offset, tuple(cut))
    strides = _reshaped(given.shape, source.strides, node.shape)
    return None if strides is None else Place(source.root, source.offset, strides)


def _reshaped(old: Shape, strides: tuple[Size, ...], new: Shape) -> tuple[Size, ...] | None:
    """The strides under another shape, or None: axes that are joined or split must lie one behind the other."""
    here = [(dim, stride) for dim, stride in zip(old, strides, strict=True) if dim is N or dim != 1]
    there = [(i, dim) for i, dim in enumerate(new) if dim is N or dim != 1]
    made: dict[int, Size] = {}
    while here or there:
        group, wanted = [here.pop(0)] if here else [], [there.pop(0)] if there else []
        while size(tuple(d for d, _ in group)) != size(tuple(d for _, d in wanted)):
            if _smaller(size(tuple(d for d, _ in group)), size(tuple(d for _, d in wanted))):
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


def _smaller(one: Size, other: Size) -> bool:
    return (one.per_row, one.fixed) < (other.per_row, other.fixed)
