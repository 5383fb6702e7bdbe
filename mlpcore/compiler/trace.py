"""The Array API namespace of traced arrays: every function writes down what is done instead of doing it."""

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
QUESTIONS = ("isfinite", "isinf", "isnan", "signbit")


class Tracer(Shaping, Reductions):
    """The namespace: every function adds a node to the graph, with shape and dtype as the standard has them.

    ``precision`` is what products of float32 are computed in: "highest" (float32), "tf32" or "bfloat16".
    """

    pi, e, inf, nan, newaxis = math.pi, math.e, math.inf, math.nan, None
    __name__ = "mlpcore.compiler.trace"

    def __init__(self, precision: str = "highest") -> None:
        self.precision = precision
        self.graph = Graph()
        self.data: dict[Node, np.ndarray] = {}  # the arrays that stand in the code, as constants

    def __getattr__(self, name: str) -> Any:
        raise Untraceable(f"the function {name}")

    def wrap(self, node: Node) -> TracedArray:
        """The array that a node is."""
        return TracedArray(self, node)

    def input(self, shape: Sequence[Dim], dtype: Any, label: str = "") -> TracedArray:
        """An argument of the traced function."""
        return self.wrap(self.graph.add("input", "input", (), tuple(shape), dtype, label))

    def asarray(self, x: Any, *, dtype: Any = None, device: Any = None, copy: Any = None) -> TracedArray:
        """A traced array as it is; a number or a host array as a constant."""
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
        """A function of the entries of arrays that broadcast; Python numbers take the dtype of the arrays."""
        nodes = self._operands(name, args)
        return self._entrywise(name, nodes, nodes[0].dtype if dtype is None else dtype)

    def _operands(self, name: str, args: Sequence[Any]) -> list[Node]:
        """The arguments as nodes of one dtype, that of the arrays among them."""
        scalars = [arg for arg in args if isinstance(arg, Scalar)]
        if len(scalars) == len(args):
            raise Untraceable(f"{name} of numbers without an array")
        arrays = {i: self.asarray(arg) for i, arg in enumerate(args) if not isinstance(arg, Scalar)}
        common = promoted(name, [one.dtype for one in arrays.values()], scalars)
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
        """Every entry in another dtype."""
        x = self.asarray(x)
        return x if x.dtype == dtype else self._entrywise("astype", [x.node], dtype)

    def where(self, condition: Any, x: Any, y: Any) -> TracedArray:
        """x where the condition holds, y elsewhere."""
        one, other = self._operands("where", (x, y))
        nodes = [self.asarray(condition).node, one, other]
        if one is other and same_shape(broadcast([node.shape for node in nodes]), one.shape):
            return self.wrap(one)  # no choice
        return self._entrywise("where", nodes, one.dtype)

    def clip(self, x: TracedArray, /, min: Any = None, max: Any = None) -> TracedArray:
        """x held between two bounds, each of which may be None; NaN stays."""
        x = x if min is None else self.maximum(x, min)
        return x if max is None else self.minimum(x, max)

    # --- the rest

    def matmul(self, x: TracedArray, y: TracedArray, /) -> TracedArray:
        """The product of matrices, or of stacks of matrices."""
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
                N.refuse()  # right for one number of rows
            raise ValueError(f"a product of the shapes {x.shape} and {y.shape}")
        shape = (*broadcast([x.shape[:-2], y.shape[:-2]]), x.shape[-2], y.shape[-1])
        dtype, words = nodes[0].dtype, {}
        if dtype == np.float32 and self.precision != "highest":
            words["precision"] = self.precision
            if self.precision == "bfloat16":
                nodes = [self._bfloat16(node) for node in nodes]
        return self.wrap(self.graph.add("matmul", "matmul", nodes, shape, dtype, label(), **words))

    def _bfloat16(self, factor: Node) -> Node:
        """The bits of a factor rounded to bfloat16; those of a transpose are the transpose of its matrix's."""
        if factor.name != "permute_dims":
            return self._entrywise("bfloat16_bits", [factor], "uint16").node
        (matrix,) = factor.inputs
        return self.permute_dims(self.wrap(self._bfloat16(matrix)), dict(factor.attributes)["axes"]).node

    def isdtype(self, dtype: Any, kind: Any) -> bool:
        """Whether the dtype is of the kind, as the standard names kinds."""
        kinds = kind if isinstance(kind, tuple) else (kind,)
        names = {"bool": "b", "signed integer": "i", "unsigned integer": "u", "integral": "iu"}
        names |= {"real floating": "f", "complex floating": "c", "numeric": "iufc"}
        return any(np.dtype(dtype).kind in names[one] if one in names else np.dtype(dtype) == one for one in kinds)

    def finfo(self, dtype: Any, /) -> Any:
        """The limits of a floating dtype."""
        return np.finfo(getattr(dtype, "dtype", dtype))

    def iinfo(self, dtype: Any, /) -> Any:
        """The limits of an integer dtype."""
        return np.iinfo(getattr(dtype, "dtype", dtype))

    def result_type(self, *given: Any) -> np.dtype:
        """The dtype that these become together."""
        scalars = [one for one in given if isinstance(one, Scalar)]
        dtypes = [np.dtype(getattr(one, "dtype", one)) for one in given if not isinstance(one, Scalar)]
        return promoted("result_type", dtypes, scalars)


def promoted(name: str, dtypes: list[np.dtype], scalars: list[Scalar]) -> np.dtype:
    """The common dtype by the standard's rules: kinds do not mix, and a Python number takes what the arrays have."""
    kinds = {"f" if one.kind == "f" else "b" if one.kind == "b" else "i" for one in dtypes}
    if len(kinds) > 1:
        raise Untraceable(f"{name} of arrays of {' and '.join(sorted({str(one) for one in dtypes}))}")
    common = np.result_type(*dtypes)
    if common.kind == "f" and any(one not in FLOATS for one in dtypes):
        raise Untraceable(f"{name} of {common}")
    order = "bif"
    for value in scalars:
        needed = "b" if isinstance(value, bool) else "i" if isinstance(value, int) else "f"
        if order.index(needed) > order.index("f" if common.kind == "f" else "b" if common.kind == "b" else "i"):
            raise Untraceable(f"{name} of an array of {common} and the number {value!r}")
    return common


def _named(name: str, dtype: str | None = None) -> Any:
    def function(self: Tracer, *args: Any) -> TracedArray:
        return self.elementwise(name, *args, dtype=dtype)

    function.__doc__ = f"``{name}`` of every entry."
    return function


for _name in (*ARITHMETIC, *BITWISE, *FLOATING, *NUMERIC):
    setattr(Tracer, _name, _named(_name))
for _name in (*COMPARISONS, *LOGICAL, *QUESTIONS):
    setattr(Tracer, _name, _named(_name, "bool"))
for _name in ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"):
    setattr(Tracer, _name, np.dtype(_name))
