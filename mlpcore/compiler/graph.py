"""The operations of a traced function in their order: what each reads, its shape and its dtype."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np


class Untraceable(Exception):
    """What a function asked for that no graph can hold, such as the value of an entry."""


class RowsNeeded(Untraceable):
    """A function computes with the number of rows: it is traced anew for every number."""


class Rows:
    """The number of rows, as it stands in shapes: not known while tracing, an argument of the compiled function.

    It stands for one row or more, and so it is true; a function of no rows is traced for them.
    """

    def __repr__(self) -> str:
        return "n"

    def __eq__(self, other: object) -> bool:
        return self is other or self.refuse()

    def __hash__(self) -> int:
        return id(self)

    def refuse(self, *_: object) -> Any:
        """What a computation with the number ends in."""
        raise RowsNeeded("the number of rows")

    def __bool__(self) -> bool:
        return True

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = refuse
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = __divmod__ = __neg__ = __abs__ = refuse
    __int__ = __index__ = __float__ = __lt__ = __le__ = __gt__ = __ge__ = refuse


N = Rows()  # the only one
Dim = int | Rows


def long(dim: Dim) -> bool:
    """Whether an axis may have more than one entry."""
    return dim is N or dim != 1


def empty(shape: Iterable[Dim]) -> bool:
    """Whether an axis has no entries."""
    return any(dim is not N and dim == 0 for dim in shape)


def has_rows(shape: Iterable[Dim]) -> bool:
    """Whether an axis is as long as there are rows. (``N in shape`` would compare numbers with the unknown number.)"""
    return any(dim is N for dim in shape)


def same_shape(one: "Shape", other: "Shape") -> bool:
    """Whether two shapes are equal whatever the number of rows is."""
    both = zip(one, other, strict=False)
    return len(one) == len(other) and all(a is b or (a is not N and b is not N and a == b) for a, b in both)


Shape = tuple[Dim, ...]


def known(shape: Shape, rows: int) -> tuple[int, ...]:
    """The shape for so many rows."""
    return tuple(dim if isinstance(dim, int) else rows for dim in shape)


@dataclass(frozen=True, eq=False)
class Node:
    """One operation: its result has ``shape`` and ``dtype``; ``attributes`` are what it takes besides arrays.

    ``kind`` is what the scheduler must know of it: "input", "constant", "elementwise", "reduce", "view", "matmul",
    "concat", "take" or "draw". ``label`` says which function of which class asked for it.
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
        given = ", ".join([f"%{one.number}" for one in self.inputs] + [f"{k}={v}" for k, v in self.attributes])
        shape = "x".join(map(str, self.shape))
        return f"%{self.number} = {self.name}({given}) {self.dtype}[{shape}]  # {self.label}"


class Graph:
    """Nodes in the order in which they were asked for; the same operation on the same nodes is one node.

    Constants stay apart: were two that are equal by chance one node, the printed text would depend on numbers.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.outputs: list[Node] = []
        self._known: dict[tuple, Node] = {}

    def add(
        self, name: str, kind: str, inputs: Iterable[Node], shape: Shape, dtype: Any, label: str = "", **words: Any
    ) -> Node:
        """The node of this operation, made anew where there is none yet."""
        given, attributes = tuple(inputs), tuple(words.items())
        dtype = np.dtype(dtype)
        key = (name, given, shape, dtype, repr(attributes))
        if key not in self._known or kind in ("input", "constant"):
            node = Node(name, kind, given, shape, dtype, attributes, label, len(self.nodes))
            self.nodes.append(node)
            self._known[key] = node
        return self._known[key]

    def needed(self) -> list[Node]:
        """The nodes that the outputs depend on, in order; the inputs all, needed or not."""
        wanted = {node for node in self.nodes if node.kind == "input"}
        waiting = list(self.outputs)
        while waiting:
            node = waiting.pop()
            if node not in wanted:
                wanted.add(node)
                waiting += node.inputs
        return [node for node in self.nodes if node in wanted]

    def __str__(self) -> str:
        lines = [str(node) for node in self.needed()]
        return "\n".join([*lines, "return " + ", ".join(f"%{node.number}" for node in self.outputs)])


def label() -> str:
    """The function that asks, outside this package: ``Linear.forward``."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("mlpcore.compiler"):
        frame = frame.f_back
    owner = frame.f_locals.get("self")
    name = frame.f_code.co_name
    return name if owner is None else f"{type(owner).__name__}.{name}"
