"""What every operation of a rewritten graph is in ONNX: one operator, or a few."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from mlpcore.compiler.graph import N, Node, Shape, has_rows
from mlpcore.onnx.nodes import Nodes

END = np.iinfo(np.int64).max  # a slice up to the end
WITH_WHERE = ("float32", "float64", "int32", "int64", "uint8")  # dtypes for which onnxruntime chooses


class Operation(NamedTuple):
    """An operation, the names of its operands, and ``rows``, that of an array of the number of rows (1,)."""

    nodes: Nodes
    node: Node
    operands: list[str]
    rows: Callable[[], str]

    def write(self, operator: str, *operands: str, **attributes: Any) -> str:
        """A node for it; the name of its result is returned."""
        return self.nodes.node(operator, operands, self.node.label, **attributes)

    def constant(self, values: Any, dtype: Any = "int64") -> str:
        """The name of a constant."""
        return self.nodes.constant(np.asarray(values, dtype))

    def cast(self, operand: str, dtype: Any) -> str:
        """An operand in another dtype."""
        return self.write("Cast", operand, to=self.nodes.kind(dtype))

    def shape(self, shape: Shape) -> str:
        """The name of a shape."""
        if not has_rows(shape):
            return self.constant(shape)
        return self.write("Concat", *[self.rows() if dim is N else self.constant([dim]) for dim in shape], axis=0)

    def attribute(self, name: str) -> Any:
        """What the operation takes besides arrays."""
        return dict(self.node.attributes)[name]


ENTRYWISE = {
    **{"add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "pow": "Pow"},
    **{"maximum": "Max", "minimum": "Min", "relu": "Relu", "matmul": "MatMul"},
    **{"quotient": "Div", "remainder": "Mod"},  # of whole numbers
    **{"less": "Less", "less_equal": "LessOrEqual", "greater": "Greater", "greater_equal": "GreaterOrEqual"},
    **{"equal": "Equal", "logical_and": "And", "logical_or": "Or", "logical_xor": "Xor", "logical_not": "Not"},
    **{"bitwise_and": "And", "bitwise_or": "Or", "bitwise_xor": "Xor", "bitwise_invert": "Not"},  # of truths
    **{"abs": "Abs", "negative": "Neg", "sign": "Sign", "floor": "Floor", "ceil": "Ceil", "round": "Round"},
    **{"sqrt": "Sqrt", "reciprocal": "Reciprocal", "exp": "Exp", "log": "Log", "isnan": "IsNaN", "isinf": "IsInf"},
    **{"sin": "Sin", "cos": "Cos", "tan": "Tan", "asin": "Asin", "acos": "Acos", "atan": "Atan"},
    **{"sinh": "Sinh", "cosh": "Cosh", "tanh": "Tanh", "asinh": "Asinh", "acosh": "Acosh", "atanh": "Atanh"},
}
REDUCTIONS = {"max": "ReduceMax", "min": "ReduceMin", "mean": "ReduceMean", "prod": "ReduceProd"}


def _entrywise(operator: str) -> Callable[[Operation], str]:
    return lambda given: given.write(operator, *given.operands)


def _not_equal(given: Operation) -> str:
    return given.write("Not", given.write("Equal", *given.operands))


def _square(given: Operation) -> str:
    return given.write("Mul", *given.operands * 2)


def _fmod(given: Operation) -> str:
    return given.write("Mod", *given.operands, fmod=1)


def _where(given: Operation) -> str:
    if str(given.node.dtype) in WITH_WHERE:
        return given.write("Where", *given.operands)
    condition, *others = given.operands
    return given.cast(given.write("Where", condition, *[given.cast(one, "int64") for one in others]), given.node.dtype)


def _astype(given: Operation) -> str:
    return given.cast(given.operands[0], given.node.dtype)


def _rows(given: Operation) -> str:
    return given.cast(given.write("Squeeze", given.rows(), given.constant([0])), given.node.dtype)


def _reduction(operator: str) -> Callable[[Operation], str]:
    return lambda given: given.write(operator, *given.operands, axes=list(given.attribute("axes")), keepdims=1)


def _sum(given: Operation) -> str:
    return given.write("ReduceSum", *given.operands, given.constant(given.attribute("axes")), keepdims=1)


def _any(given: Operation) -> str:
    """Whether truths add up to something."""
    count = given.write("ReduceSum", given.cast(given.operands[0], "int32"), given.constant(given.attribute("axes")))
    return given.cast(count, "bool")


def _all(given: Operation) -> str:
    """Whether there is none that does not hold."""
    return given.write("Not", _any(given._replace(operands=[given.write("Not", *given.operands)])))


def _argmax(given: Operation) -> str:
    (axis,) = given.attribute("axes")
    return given.write("ArgMax", *given.operands, axis=axis, keepdims=1)


def _reshape(given: Operation) -> str:
    """An unknown number of rows is what is left for it, -1, unless no entries are left for anything."""
    shape = given.node.shape
    if 0 not in [dim for dim in shape if dim is not N] and sum(dim is N for dim in shape) < 2:
        return given.write("Reshape", *given.operands, given.constant([-1 if dim is N else dim for dim in shape]))
    return given.write("Reshape", *given.operands, given.shape(shape), allowzero=1)


def _broadcast(given: Operation) -> str:
    return given.write("Expand", *given.operands, given.shape(given.node.shape))


def _slice(given: Operation) -> str:
    cuts = []
    shapes = zip(given.node.inputs[0].shape, given.node.shape, strict=True)
    for axis, (start, step, (before, count)) in enumerate(
        zip(given.attribute("starts"), given.attribute("steps"), shapes, strict=True)
    ):
        if before is not N and (start, step, before) != (0, 1, count):
            stop = start + count * step
            cuts.append((start, stop if stop >= 0 else -END, axis, step))
    return given.write("Slice", *given.operands, *map(given.constant, zip(*cuts, strict=True)))


def _take(given: Operation) -> str:
    x, places = given.operands
    if str(given.node.inputs[1].dtype) not in ("int32", "int64"):
        places = given.cast(places, "int64")
    return given.write("Gather", x, places, axis=given.attribute("axis"))


OPERATORS: dict[str, Callable[[Operation], str]] = {
    **{name: _entrywise(operator) for name, operator in ENTRYWISE.items()},
    **{name: _reduction(operator) for name, operator in REDUCTIONS.items()},
    **{"not_equal": _not_equal, "square": _square, "fmod": _fmod, "where": _where},
    **{"astype": _astype, "rows": _rows, "sum": _sum, "any": _any, "all": _all, "argmax": _argmax},
    **{"reshape": _reshape, "broadcast_to": _broadcast, "slice": _slice, "take": _take},
    "permute_dims": lambda given: given.write("Transpose", *given.operands, perm=list(given.attribute("axes"))),
    "concat": lambda given: given.write("Concat", *given.operands, axis=given.attribute("axis")),
    "softmax": lambda given: given.write("Softmax", *given.operands, axis=given.attribute("axes")[0]),
}
