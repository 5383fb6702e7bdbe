"""Traces a function of trees of arrays for abstract arrays: dtypes and shapes, in which ``N`` is the number of rows."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import Any

import numpy as np

from mlpcore.compiler.graph import N, Node, Shape, Untraceable, has_rows, same_shape
from mlpcore.compiler.program import Program
from mlpcore.compiler.trace import Tracer
from mlpcore.trees import leaves, tree_map
from mlpcore.typing import Tree


@dataclass(frozen=True)
class AbstractArray:
    """The shape and the dtype of an array."""

    shape: Shape
    dtype: np.dtype


class TracedFunction:
    """The program of ``function(*arguments)``, whose arguments are trees of abstract arrays.

    ``inputs`` and ``result`` are the trees of arguments and results with nodes of the graph as leaves. With
    ``in_place`` the function returns ``(new, rest)``: ``new`` is written over the first argument, and only ``rest`` is
    an output. ``program(tracer, outputs, replaced)`` makes the printed program, `Program` by default. ``precision`` is
    the arithmetic of float32 products. Errors: `Untraceable`, for example where a new value has another shape or dtype
    than the old one; `RowsNeeded` where the function computes with the number of rows.
    """

    def __init__(
        self,
        function: Callable[..., Tree],
        arguments: tuple[Tree, ...],
        in_place: bool = False,
        program: Callable[..., Any] = Program,
        precision: str = "highest",
    ) -> None:
        tracer = Tracer(precision)
        inputs = tree_map(lambda leaf: tracer.input(leaf.shape, leaf.dtype), arguments)
        result = tree_map(tracer.asarray, function(*inputs))
        new, result = result if in_place else ((), result)
        replaced = list(zip(leaves(new), leaves(inputs[0]), strict=True)) if in_place else []
        for new_leaf, old in replaced:
            if new_leaf.dtype != old.dtype or not same_shape(new_leaf.shape, old.shape):
                raise Untraceable(
                    f"new state {new_leaf.dtype} {new_leaf.shape} in the place of {old.dtype} {old.shape}"
                )
        self.program = program(tracer, leaves(result), replaced)
        self.inputs: Any = tree_map(lambda array: array.node, inputs)
        self.result: Tree = tree_map(lambda array: array.node, result)

    @cached_property
    def row_by_row(self) -> bool:
        """Whether every row of the result depends only on the same row of the inputs, so that blocks of rows can be
        computed separately."""
        return all(_keeps_rows(node) for node in self.program.tracer.graph.needed()) and all(
            has_rows(node.shape[:1]) for node in leaves(self.result)
        )


def _keeps_rows(node: Node) -> bool:
    """Whether row i of the result depends only on rows i of the operands."""
    attributes = dict(node.attributes)
    if node.kind == "reduce":
        return not any(node.inputs[0].shape[axis] is N for axis in attributes["axes"])
    if node.kind == "matmul":
        return node.inputs[0].shape[-1] is not N
    if node.kind == "take":
        return node.inputs[0].shape[attributes["axis"]] is not N
    if node.kind == "draw":
        return False
    if node.name == "reshape" and has_rows(node.shape):
        return _before_rows(node.shape) == _before_rows(node.inputs[0].shape)
    return node.name != "rows"


def _before_rows(shape: Shape) -> int:
    """The number of entries of the axes before the rows."""
    return math.prod(takewhile(lambda dim: dim is not N, shape))  # type: ignore[arg-type]  # no N is among them
