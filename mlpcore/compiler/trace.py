"""The Array API namespace of traced arrays: each function adds a node to a graph instead of computing."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mlpcore.compiler.arrays import TracedArray
from mlpcore.compiler.graph import Dim, Graph, N, Node, Untraceable, has_rows, label, same_shape
from mlpcore.compiler.reductions import Reductions
from mlpcore.compiler.shaping import Shaping, broadcast

Scalar = bool | int | float
FLOATS = (np.dtype("float32"), np.dtype("float64"))  # in the byte order of the machine
ARITHMETIC = ("add", "subtract", "multiply", "divide", "pow", "remainder", "floor_divide")
COMPARISONS = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
LOGICAL = ("logical_and", "logical_or", "logical_xor", "logical_not")
BITWISE = ("bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_invert", "bitwise_left_shift", "bitwise_right_shift")
FLOATING = (
    *("acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cos", "cosh", "exp", "expm1", "hypot", "log"),
    *(
        "log1p",
        "log2",
        "log10",
        "logaddexp",
        "reciprocal",
        "rsqrt",
        "sin",
        "sinh",
        "sqrt",
        "tan",
        "tanh",
        "copysign",
        "nextafter",
    ),
)
NUMERIC = ("abs", "ceil", "floor", "maximum", "minimum", "negative", "positive", "round", "sign", "square", "trunc")
PREDICATES = ("isfinite", "isinf", "isnan", "signbit")


class Tracer(Shaping, Reductions):
    """The namespace. Every function adds a node to ``graph``; shape and dtype follow the Array API standard.

    ``precision`` is the arithmetic of float32 matrix products: "highest" (float32), "tf32" or "bfloat16".
    """

    pi, e, inf, nan, newaxis = math.pi, math.e, math.inf, math.nan, None
    __name__ = "mlpcore.compiler.trace"

    def __init__(self, precision: str = "highest") -> None:
        self.precision = precision
        self.graph = Graph()
        self.data: dict[Node, np.ndarray] = {}  # the values of constant arrays

    def __getattr__(self, name: str) -> Any:
        raise Untraceable(f"the function {name}")

    def wrap(self, node: Node) -> TracedArray:
        """The traced array of a node."""
        return TracedArray(self, node)

    def input(self, shape: Sequence[Dim], dtype: Any, label: str = "") -> TracedArray:
        """An argument of the traced function."""
        return self.wrap(self.graph.add("input", "input", (), tuple(shape), dtype, label))

    def asarray(self, x: Any, *, dtype: Any = None, device: Any = None, copy: Any = None) -> TracedArray:
        """A traced array, in ``dtype`` if given; a number or a NumPy array becomes a constant."""
        if isinstance(x, TracedArray):
            return x if dtype is None else self.astype(x, dtype)
        values = np.asarray(x, dtype=dtype)
        if has_rows(values.flat):
            N.refuse()
        if values.dtype.kind not in "biuf":
            raise Untraceable(f"an array of {values.dtype}")
        node = self.graph.add("array", "constant", (), values.shape, values.dtype, label())
        self.data[node] = values
        return self.wrap(node)

    # --- elementwise

    def elementwise(self, name: str, *args: Any, dtype: Any = None) -> TracedArray:
        """The elementwise function ``name`` of arrays that broadcast; Python numbers take the dtype of the arrays."""
        nodes = self._operands(name, args)
        return self._entrywise(name, nodes, nodes[0].dtype if dtype is None else dtype)

    def _operands(self, name: str, args: Sequence[Any]) -> list[Node]:
        """The arguments as nodes of one dtype: the promoted dtype of the arrays among them."""
        scalars = [arg for arg in args if isinstance(arg, Scalar)]
        if len(scalars) == len(args):
            raise Untraceable(f"{name} of numbers without an array")
        arrays = {i: self.asarray(arg) for i, arg in enumerate(args) if not isinstance(arg, Scalar)}
        common = promoted(name, [array.dtype for array in arrays.values()], scalars)
        return [
            self.astype(arrays[i], common).node if i in arrays else self._scalar(arg, common)
            for i, arg in enumerate(args)
        ]

    def _scalar(self, value: Scalar, dtype: np.dtype) -> Node:
        return self.graph.add("number", "constant", (), (), dtype, value=np.asarray(value, dtype).item())

    def _entrywise(self, name: str, nodes: Sequence[Node], dtype: Any) -> TracedArray:
        shape = broadcast([node.shape for node in nodes])
        return self.wrap(self.graph.add(name, "elementwise", nodes, shape, dtype, label()))

    def astype(self, x: TracedArray, dtype: Any, *, copy: Any = True, device: Any = None) -> TracedArray:
        """x converted to a dtype."""
        x = self.asarray(x)
        return x if x.dtype == dtype else self._entrywise("astype", [x.node], dtype)

    def where(self, condition: Any, x: Any, y: Any) -> TracedArray:
        """x where the condition is true, y elsewhere."""
        x_node, y_node = self._operands("where", (x, y))
        nodes = [self.asarray(condition).node, x_node, y_node]
        if x_node is y_node and same_shape(broadcast([node.shape for node in nodes]), x_node.shape):
            return self.wrap(x_node)  # both branches are the same array
        return self._entrywise("where", nodes, x_node.dtype)

    def clip(self, x: TracedArray, /, min: Any = None, max: Any = None) -> TracedArray:
        """x limited to the range from min to max, each of which may be None; NaN stays NaN."""
        x = x if min is None else self.maximum(x, min)
        return x if max is None else self.minimum(x, max)

    # --- matrix products, dtypes

    def matmul(self, x: TracedArray, y: TracedArray, /) -> TracedArray:
        """The matrix product; leading axes broadcast."""
        x, y = self.asarray(x), self.asarray(y)
        if x.ndim == 0 or y.ndim == 0:
            raise ValueError("a product with an array without axes")
        if x.ndim == 1:
            return self.squeeze(self.matmul(self.expand_dims(x, axis=0), y), -2 if y.ndim > 1 else -1)
        if y.ndim == 1:
            return self.squeeze(self.matmul(x, self.expand_dims(y, axis=1)), -1)
        nodes = self._operands("matmul", (x, y))
        if nodes[0].dtype.kind != "f":
            raise Untraceable(f"a product of matrices of {nodes[0].dtype}")
        if not same_shape(x.shape[-1:], y.shape[-2:-1]):
            if (x.shape[-1] is N) != (y.shape[-2] is N):
                N.refuse()  # the shapes fit for a single number of rows only
            raise ValueError(f"a product of the shapes {x.shape} and {y.shape}")
        shape = (*broadcast([x.shape[:-2], y.shape[:-2]]), x.shape[-2], y.shape[-1])
        dtype, words = nodes[0].dtype, {}
        if dtype == np.float32 and self.precision != "highest":
            words["precision"] = self.precision
            if self.precision == "bfloat16":
                nodes = [self._bfloat16(node) for node in nodes]
        return self.wrap(self.graph.add("matmul", "matmul", nodes, shape, dtype, label(), **words))

    def _bfloat16(self, factor: Node) -> Node:
        """The factor rounded to bfloat16, as bits (uint16). The bits of a transpose are a transposed view."""
        if factor.name != "permute_dims":
            return self._entrywise("bfloat16_bits", [factor], "uint16").node
        (matrix,) = factor.inputs
        return self.permute_dims(self.wrap(self._bfloat16(matrix)), dict(factor.attributes)["axes"]).node

    def isdtype(self, dtype: Any, kind: Any) -> bool:
        """Whether the dtype is of the kind, by the standard's names of kinds."""
        kinds = kind if isinstance(kind, tuple) else (kind,)
        names = {"bool": "b", "signed integer": "i", "unsigned integer": "u", "integral": "iu"}
        names |= {"real floating": "f", "complex floating": "c", "numeric": "iufc"}
        return any(np.dtype(dtype).kind in names[name] if name in names else np.dtype(dtype) == name for name in kinds)

    def finfo(self, dtype: Any, /) -> Any:
        """The limits of a floating dtype."""
        return np.finfo(getattr(dtype, "dtype", dtype))

    def iinfo(self, dtype: Any, /) -> Any:
        """The limits of an integer dtype."""
        return np.iinfo(getattr(dtype, "dtype", dtype))

    def result_type(self, *operands: Any) -> np.dtype:
        """The promoted dtype of arrays, dtypes and numbers."""
        scalars = [operand for operand in operands if isinstance(operand, Scalar)]
        dtypes = [
            np.dtype(getattr(operand, "dtype", operand)) for operand in operands if not isinstance(operand, Scalar)
        ]
        return promoted("result_type", dtypes, scalars)


def promoted(name: str, dtypes: list[np.dtype], scalars: list[Scalar]) -> np.dtype:
    """The promoted dtype by the standard's rules: kinds do not mix, and a Python number takes the arrays' dtype."""
    kinds = {"f" if dtype.kind == "f" else "b" if dtype.kind == "b" else "i" for dtype in dtypes}
    if len(kinds) > 1:
        raise Untraceable(f"{name} of arrays of {' and '.join(sorted({str(dtype) for dtype in dtypes}))}")
    common = np.result_type(*dtypes)
    if common.kind == "f" and any(dtype not in FLOATS for dtype in dtypes):
        raise Untraceable(f"{name} of {common}")
    order = "bif"
    for value in scalars:
        kind = "b" if isinstance(value, bool) else "i" if isinstance(value, int) else "f"
        if order.index(kind) > order.index("f" if common.kind == "f" else "b" if common.kind == "b" else "i"):
            raise Untraceable(f"{name} of an array of {common} and the number {value!r}")
    return common


def _named(name: str, dtype: str | None = None) -> Any:
    """The method of `Tracer` for an elementwise function; its result has ``dtype``, or that of the operands."""

    def function(self: Tracer, *args: Any) -> TracedArray:
        return self.elementwise(name, *args, dtype=dtype)

    function.__doc__ = f"``{name}`` of every entry."
    return function


for _name in (*ARITHMETIC, *BITWISE, *FLOATING, *NUMERIC):
    setattr(Tracer, _name, _named(_name))
for _name in (*COMPARISONS, *LOGICAL, *PREDICATES):
    setattr(Tracer, _name, _named(_name, "bool"))
for _name in ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"):
    setattr(Tracer, _name, np.dtype(_name))
