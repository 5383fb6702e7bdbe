"""Writes every operation of a rewritten graph as one or a few ONNX operators."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from mlpcore.compiler.graph import N, Node, Shape, has_rows
from mlpcore.onnx.nodes import Nodes

END = np.iinfo(np.int64).max  # the stop of a slice up to the end
WITH_WHERE = ("float32", "float64", "int32", "int64", "uint8")  # dtypes of onnxruntime's Where


class Operation(NamedTuple):
    """An operation to be written; ``rows()`` returns the name of an array (1,) with the number of rows."""

    nodes: Nodes
    node: Node
    operands: list[str]  # the names of their values
    known: list[np.ndarray | None]  # the values of those that are constant
    rows: Callable[[], str]

    def write(self, operator: str, *operands: str, **attributes: Any) -> str:
        """Add a node; returns the name of its output."""
        return self.nodes.node(operator, operands, self.node.label, **attributes)

    def constant(self, values: Any, dtype: Any = "int64") -> str:
        """Add a constant; returns its name."""
        return self.nodes.constant(np.asarray(values, dtype))

    def cast(self, operand: str, dtype: Any) -> str:
        """Add a cast to another dtype; returns the name of its output."""
        return self.write("Cast", operand, to=self.nodes.kind(dtype))

    def shape(self, shape: Shape) -> str:
        """The name of an array that holds a shape."""
        if not has_rows(shape):
            return self.constant(shape)
        return self.write("Concat", *[self.rows() if dim is N else self.constant([dim]) for dim in shape], axis=0)

    def attribute(self, name: str) -> Any:
        """An argument of the operation that is not an array."""
        return dict(self.node.attributes)[name]


ELEMENTWISE = {
    **{"pow": "Pow", "maximum": "Max", "minimum": "Min", "relu": "Relu", "matmul": "MatMul"},
    **{"quotient": "Div", "remainder": "Mod"},  # of integers
    **{"less": "Less", "less_equal": "LessOrEqual", "greater": "Greater", "greater_equal": "GreaterOrEqual"},
    **{"equal": "Equal", "logical_and": "And", "logical_or": "Or", "logical_xor": "Xor", "logical_not": "Not"},
    **{"bitwise_and": "And", "bitwise_or": "Or", "bitwise_xor": "Xor", "bitwise_invert": "Not"},  # of bools
    **{"abs": "Abs", "negative": "Neg", "sign": "Sign", "floor": "Floor", "ceil": "Ceil", "round": "Round"},
    **{"sqrt": "Sqrt", "reciprocal": "Reciprocal", "exp": "Exp", "log": "Log", "isnan": "IsNaN", "isinf": "IsInf"},
    **{"sin": "Sin", "cos": "Cos", "tan": "Tan", "asin": "Asin", "acos": "Acos", "atan": "Atan"},
    **{"sinh": "Sinh", "cosh": "Cosh", "tanh": "Tanh", "asinh": "Asinh", "acosh": "Acosh", "atanh": "Atanh"},
}
REDUCTIONS = {"max": "ReduceMax", "min": "ReduceMin", "mean": "ReduceMean", "prod": "ReduceProd"}


def _elementwise(operator: str) -> Callable[[Operation], str]:
    return lambda op: op.write(operator, *op.operands)


def _nearly(op: Operation, number: float) -> tuple[str, float] | None:
    """The other operand and a constant that is ``number`` when rounded to float32, but not in float64; else None.

    onnxruntime (1.32) takes it for the number, and leaves out the operator, which it then believes to change nothing.
    """
    places = (1, 0) if op.node.name in ("add", "multiply") else (1,)
    for place in places:
        value = op.known[place]
        if value is not None and value.dtype == np.float64 and value.size == 1 and value.item() != number:
            with np.errstate(over="ignore", under="ignore"):
                if np.float32(value.item()) == number:
                    return op.operands[1 - place], value.item()
    return None


def _add(op: Operation) -> str:
    """Add or Sub; nearly 0 is what x is subtracted from."""
    adds = op.node.name == "add"
    if (found := _nearly(op, 0.0)) is None:
        return op.write("Add" if adds else "Sub", *op.operands)
    x, number = found
    return op.write("Neg", op.write("Sub", op.constant(-number if adds else number, "float64"), x))


def _multiply(op: Operation) -> str:
    """Mul or Div; with nearly 1, x is halved first."""
    operator = "Mul" if op.node.name == "multiply" else "Div"
    if (found := _nearly(op, 1.0)) is None:
        return op.write(operator, *op.operands)
    x, number = found
    half = op.write("Mul", x, op.constant(0.5, "float64"))
    return op.write(operator, half, op.constant(2 * number if operator == "Mul" else number / 2, "float64"))


def _not_equal(op: Operation) -> str:
    return op.write("Not", op.write("Equal", *op.operands))


def _square(op: Operation) -> str:
    return op.write("Mul", *op.operands * 2)


def _fmod(op: Operation) -> str:
    return op.write("Mod", *op.operands, fmod=1)


def _where(op: Operation) -> str:
    if str(op.node.dtype) in WITH_WHERE:
        return op.write("Where", *op.operands)
    condition, *branches = op.operands
    return op.cast(
        op.write("Where", condition, *[op.cast(branch, "int64") for branch in branches]),
        op.node.dtype,
    )


def _astype(op: Operation) -> str:
    return op.cast(op.operands[0], op.node.dtype)


def _rows(op: Operation) -> str:
    return op.cast(op.write("Squeeze", op.rows(), op.constant([0])), op.node.dtype)


def _reduction(operator: str) -> Callable[[Operation], str]:
    return lambda op: op.write(operator, *op.operands, axes=list(op.attribute("axes")), keepdims=1)


def _sum(op: Operation) -> str:
    return op.write("ReduceSum", *op.operands, op.constant(op.attribute("axes")), keepdims=1)


def _any(op: Operation) -> str:
    """Whether an entry is true: whether the sum of the bools is not 0."""
    count = op.write("ReduceSum", op.cast(op.operands[0], "int32"), op.constant(op.attribute("axes")))
    return op.cast(count, "bool")


def _all(op: Operation) -> str:
    """Whether no entry is false."""
    return op.write("Not", _any(op._replace(operands=[op.write("Not", *op.operands)])))


def _argmax(op: Operation) -> str:
    (axis,) = op.attribute("axes")
    return op.write("ArgMax", *op.operands, axis=axis, keepdims=1)


def _reshape(op: Operation) -> str:
    """A reshape. The number of rows is written as -1, unless another length is 0: then -1 would be undefined."""
    shape = op.node.shape
    if 0 not in [dim for dim in shape if dim is not N] and sum(dim is N for dim in shape) < 2:
        return op.write("Reshape", *op.operands, op.constant([-1 if dim is N else dim for dim in shape]))
    return op.write("Reshape", *op.operands, op.shape(shape), allowzero=1)


def _broadcast(op: Operation) -> str:
    return op.write("Expand", *op.operands, op.shape(op.node.shape))


def _slice(op: Operation) -> str:
    slices = []
    shapes = zip(op.node.inputs[0].shape, op.node.shape, strict=True)
    for axis, (start, step, (before, count)) in enumerate(
        zip(op.attribute("starts"), op.attribute("steps"), shapes, strict=True)
    ):
        if before is not N and (start, step, before) != (0, 1, count):
            stop = start + count * step
            slices.append((start, stop if stop >= 0 else -END, axis, step))
    return op.write("Slice", *op.operands, *map(op.constant, zip(*slices, strict=True)))


def _take(op: Operation) -> str:
    x, places = op.operands
    if str(op.node.inputs[1].dtype) not in ("int32", "int64"):
        places = op.cast(places, "int64")
    return op.write("Gather", x, places, axis=op.attribute("axis"))


OPERATORS: dict[str, Callable[[Operation], str]] = {
    **{name: _elementwise(operator) for name, operator in ELEMENTWISE.items()},
    **{name: _reduction(operator) for name, operator in REDUCTIONS.items()},
    **{"add": _add, "subtract": _add, "multiply": _multiply, "divide": _multiply},
    **{"not_equal": _not_equal, "square": _square, "fmod": _fmod, "where": _where},
    **{"astype": _astype, "rows": _rows, "sum": _sum, "any": _any, "all": _all, "argmax": _argmax},
    **{"reshape": _reshape, "broadcast_to": _broadcast, "slice": _slice, "take": _take},
    "permute_dims": lambda op: op.write("Transpose", *op.operands, perm=list(op.attribute("axes"))),
    "concat": lambda op: op.write("Concat", *op.operands, axis=op.attribute("axis")),
    "softmax": lambda op: op.write("Softmax", *op.operands, axis=op.attribute("axes")[0]),
}
