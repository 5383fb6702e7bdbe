"""The graph of a traced function: its operations in order, with inputs, shape and dtype of each."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np


class Untraceable(Exception):
    """A function used something that a graph cannot represent, such as the value of an entry."""


class RowsNeeded(Untraceable):
    """A function computes with the number of rows, so it must be traced once for each number."""


class Rows:
    """The symbolic number of rows in shapes: unknown while tracing, an argument of the compiled function.

    It stands for at least one row, so its truth value is true. Any other computation with it raises `RowsNeeded`.
    """

    def __repr__(self) -> str:
        return "n"

    def __eq__(self, other: object) -> bool:
        return self is other or self.refuse()

    def __hash__(self) -> int:
        return id(self)

    def refuse(self, *_: object) -> Any:
        """Raise `RowsNeeded`."""
        raise RowsNeeded("the number of rows")

    def __bool__(self) -> bool:
        return True

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = refuse
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = __divmod__ = __neg__ = __abs__ = refuse
    __int__ = __index__ = __float__ = __lt__ = __le__ = __gt__ = __ge__ = refuse


N = Rows()  # the single instance
Dim = int | Rows


def long(dim: Dim) -> bool:
    """Whether an axis may have more than one entry."""
    return dim is N or dim != 1


def empty(shape: Iterable[Dim]) -> bool:
    """Whether an axis has no entries."""
    return any(dim is not N and dim == 0 for dim in shape)


def has_rows(shape: Iterable[Dim]) -> bool:
    """Whether an axis has the symbolic length `N`. (``N in shape`` would compare other lengths with it.)"""
    return any(dim is N for dim in shape)


def same_shape(first: "Shape", second: "Shape") -> bool:
    """Whether two shapes are equal for every number of rows."""
    pairs = zip(first, second, strict=False)
    return len(first) == len(second) and all(
        dim is other_dim or (dim is not N and other_dim is not N and dim == other_dim) for dim, other_dim in pairs
    )


Shape = tuple[Dim, ...]


def concrete(shape: Shape, rows: int) -> tuple[int, ...]:
    """The shape with `N` replaced by a number of rows."""
    return tuple(dim if isinstance(dim, int) else rows for dim in shape)


@dataclass(frozen=True, eq=False)
class Node:
    """One operation: its result has ``shape`` and ``dtype``; ``attributes`` are its arguments that are not arrays.

    ``kind`` is how it is scheduled: "input", "constant", "elementwise", "reduce", "view", "matmul", "concat", "take"
    or "draw". ``label`` names the class and function that created it.
    """

    name: str
    kind: str
    inputs: tuple["Node", ...]
    shape: Shape
    dtype: np.dtype
    attributes: tuple = ()
    label: str = ""
    number: int = 0

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def __str__(self) -> str:
        arguments = ", ".join(
            [f"%{operand.number}" for operand in self.inputs] + [f"{k}={v}" for k, v in self.attributes]
        )
        shape = "x".join(map(str, self.shape))
        return f"%{self.number} = {self.name}({arguments}) {self.dtype}[{shape}]  # {self.label}"


class Graph:
    """Nodes in the order of creation; the same operation on the same nodes is one node.

    Constants are never merged: if two that happen to be equal became one node, the printed text would depend on
    their values.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.outputs: list[Node] = []
        self._known: dict[tuple, Node] = {}

    def add(
        self, name: str, kind: str, inputs: Iterable[Node], shape: Shape, dtype: Any, label: str = "", **words: Any
    ) -> Node:
        """The node of this operation, created if it does not exist yet."""
        operands, attributes = tuple(inputs), tuple(words.items())
        dtype = np.dtype(dtype)
        key = (name, operands, shape, dtype, repr(attributes))
        if key not in self._known or kind in ("input", "constant"):
            node = Node(name, kind, operands, shape, dtype, attributes, label, len(self.nodes))
            self.nodes.append(node)
            self._known[key] = node
        return self._known[key]

    def needed(self) -> list[Node]:
        """The nodes that the outputs depend on, in order, and all inputs."""
        reached = {node for node in self.nodes if node.kind == "input"}
        pending = list(self.outputs)
        while pending:
            node = pending.pop()
            if node not in reached:
                reached.add(node)
                pending += node.inputs
        return [node for node in self.nodes if node in reached]

    def __str__(self) -> str:
        lines = [str(node) for node in self.needed()]
        return "\n".join([*lines, "return " + ", ".join(f"%{node.number}" for node in self.outputs)])


def label() -> str:
    """The calling function outside this package, such as ``Linear.forward``."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("mlpcore.compiler"):
        frame = frame.f_back
    owner = frame.f_locals.get("self")
    name = frame.f_code.co_name
    return name if owner is None else f"{type(owner).__name__}.{name}"
