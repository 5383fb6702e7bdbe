"""An array without numbers, and the Array API namespace that writes down what is done with it."""

import math
import operator
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from mlpcore.compiler.graph import Dim, Graph, N, Node, Untraceable, same_shape
from mlpcore.compiler.shaping import Shaping, broadcast, normal_axis

Scalar = bool | int | float
ARITHMETIC = {
    "add": operator.add, "subtract": operator.sub, "multiply": operator.mul, "divide": operator.truediv,
    "pow": operator.pow, "remainder": operator.mod, "floor_divide": operator.floordiv,
}  # fmt: skip
COMPARISONS = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
LOGICAL = ("logical_and", "logical_or", "logical_xor", "logical_not")
BITWISE = ("bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_invert")
FLOATING = (
    *("acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cos", "cosh", "exp", "expm1", "hypot", "log"),
    *("log1p", "log2", "log10", "logaddexp", "reciprocal", "rsqrt", "sin", "sinh", "sqrt", "tan", "tanh", "copysign"),
)
NUMERIC = ("abs", "ceil", "floor", "maximum", "minimum", "negative", "positive", "round", "sign", "square", "trunc")
QUESTIONS = ("isfinite", "isinf", "isnan", "signbit")


class TracedArray:
    """The result of a node, as code that follows the Array API sees it. A look at its numbers is `Untraceable`."""

    def __init__(self, tracer: "Tracer", node: Node) -> None:
        self.tracer, self.node = tracer, node

    shape = property(lambda self: self.node.shape)
    dtype = property(lambda self: self.node.dtype)
    ndim = property(lambda self: len(self.node.shape))
    size = property(lambda self: math.prod(self.node.shape))
    device = property(lambda self: "cpu")

    @property
    def mT(self) -> "TracedArray":  # noqa: N802  # the standard's name
        """The last two axes exchanged."""
        order = list(range(self.ndim))
        order[-2:] = order[:-3:-1]
        return self.tracer.permute_dims(self, tuple(order))

    @property
    def T(self) -> "TracedArray":  # noqa: N802  # the standard's name
        """The transpose of a matrix."""
        if self.ndim != 2:
            raise Untraceable(f"T of {self.ndim} axes, which the standard has for two; take permute_dims")
        return self.mT

    def __array_namespace__(self, *, api_version: str | None = None) -> "Tracer":
        return self.tracer

    def __getitem__(self, key: Any) -> "TracedArray":
        return self.tracer.getitem(self, key if isinstance(key, tuple) else (key,))

    def __matmul__(self, other: "TracedArray") -> "TracedArray":
        return self.tracer.matmul(self, other)

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise Untraceable("a look at the numbers of an array, or a write into it")

    __bool__ = __float__ = __int__ = __index__ = __len__ = __iter__ = __setitem__ = __array__ = __complex__ = _refuse
    __eq__: Any
    __hash__ = object.__hash__


class Tracer(Shaping):
    """The namespace: every function adds a node to the graph, with shape and dtype as the standard has them."""

    bool, int32, int64, float32, float64 = map(np.dtype, ("bool", "int32", "int64", "float32", "float64"))
    uint8, uint32, uint64, int8, int16, uint16 = map(
        np.dtype, ("uint8", "uint32", "uint64", "int8", "int16", "uint16")
    )
    pi, e, inf, nan, newaxis = math.pi, math.e, math.inf, math.nan, None
    __name__ = "mlpcore.compiler.trace"

    def __init__(self) -> None:
        self.graph = Graph()
        self.data: dict[Node, np.ndarray] = {}  # the arrays that stand in the code, as constants

    def __getattr__(self, name: str) -> Any:
        raise Untraceable(f"the function {name}")

    def wrap(self, node: Node) -> TracedArray:
        """The array that a node is."""
        return TracedArray(self, node)

    def input(self, shape: Sequence[Dim], dtype: Any, label: str = "") -> TracedArray:
        """An argument of the traced function."""
        return TracedArray(self, self.graph.add("input", "input", (), tuple(shape), dtype, label))

    def asarray(self, x: Any, *, dtype: Any = None, device: Any = None, copy: Any = None) -> TracedArray:
        """A traced array as it is; a number or a host array as a constant."""
        if isinstance(x, TracedArray):
            return x if dtype is None else self.astype(x, dtype)
        values = np.asarray(x, dtype=dtype)
        if values.dtype.kind not in "biuf":
            raise Untraceable(f"an array of {values.dtype}")
        node = self.graph.add("array", "constant", (), values.shape, values.dtype, label())
        self.data[node] = values
        return self.wrap(node)

    # --- elementwise

    def elementwise(self, name: str, *args: Any, dtype: Any = None) -> TracedArray:
        """A function of the entries of arrays that broadcast; Python numbers take the dtype of the arrays."""
        arrays = [arg for arg in args if not isinstance(arg, Scalar)]
        if not arrays:
            raise Untraceable(f"{name} of numbers without an array")
        arrays = [self.asarray(one) for one in arrays]
        common = promoted(name, [one.dtype for one in arrays], [arg for arg in args if isinstance(arg, Scalar)])
        rest = iter(arrays)
        nodes = [self._scalar(arg, common) if isinstance(arg, Scalar) else next(rest).node for arg in args]
        nodes = [node if node.dtype == common else self._cast(node, common) for node in nodes]
        shape = broadcast([node.shape for node in nodes])
        node = self.graph.add(name, "elementwise", nodes, shape, common if dtype is None else dtype, label())
        return self.wrap(node)

    def _scalar(self, value: Scalar, dtype: np.dtype) -> Node:
        return self.graph.add("number", "constant", (), (), dtype, value=np.asarray(value, dtype).item())

    def _cast(self, node: Node, dtype: np.dtype) -> Node:
        return self.graph.add("astype", "elementwise", (node,), node.shape, dtype, label())

    def astype(self, x: TracedArray, dtype: Any, *, copy: Any = True, device: Any = None) -> TracedArray:
        """Every entry in another dtype."""
        return x if x.dtype == dtype else TracedArray(self, self._cast(x.node, np.dtype(dtype)))

    def where(self, condition: Any, x: Any, y: Any) -> TracedArray:
        """x where the condition holds, y elsewhere."""
        given = [arg for arg in (x, y) if not isinstance(arg, Scalar)]
        if not given:
            raise Untraceable("where with two numbers")
        common = promoted("where", [one.dtype for one in given], [arg for arg in (x, y) if isinstance(arg, Scalar)])
        one, other = (
            self._scalar(arg, common) if isinstance(arg, Scalar) else self.astype(arg, common).node for arg in (x, y)
        )
        nodes = (self.asarray(condition).node, one, other)
        shape = broadcast([node.shape for node in nodes])
        return TracedArray(self, self.graph.add("where", "elementwise", nodes, shape, common, label()))

    def clip(self, x: TracedArray, /, min: Any = None, max: Any = None) -> TracedArray:
        """x held between two bounds, each of which may be None; NaN stays."""
        x = x if min is None else self.maximum(x, min)
        return x if max is None else self.minimum(x, max)

    # --- reductions

    def reduction(
        self, name: str, x: TracedArray, axis: Any = None, keepdims: bool = False, dtype: Any = None
    ) -> TracedArray:
        """``name`` over the axes, all of them by default."""
        axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        axes = tuple(sorted(normal_axis(one, x.ndim) for one in axes))
        keep = tuple(1 if i in axes else d for i, d in enumerate(x.shape))
        node = self.graph.add(name, "reduce", (x.node,), keep, x.dtype if dtype is None else dtype, label(), axes=axes)
        made = TracedArray(self, node)
        return made if keepdims else self.squeeze(made, axes)

    def sum(self, x: TracedArray, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> TracedArray:
        """The sum; integers are added as int64, as the standard has it."""
        wide = dtype or (x.dtype if x.dtype.kind == "f" else np.dtype("u8" if x.dtype.kind == "u" else "i8"))
        return self.reduction("sum", self.astype(x, wide), axis, keepdims)

    def prod(self, x: TracedArray, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> TracedArray:
        """The product."""
        wide = dtype or (x.dtype if x.dtype.kind == "f" else np.dtype("u8" if x.dtype.kind == "u" else "i8"))
        return self.reduction("prod", self.astype(x, wide), axis, keepdims)

    def max(self, x: TracedArray, /, *, axis: Any = None, keepdims: bool = False) -> TracedArray:
        """The largest entry, NaN where there is one."""
        return self.reduction("max", x, axis, keepdims)

    def min(self, x: TracedArray, /, *, axis: Any = None, keepdims: bool = False) -> TracedArray:
        """The smallest entry, NaN where there is one."""
        return self.reduction("min", x, axis, keepdims)

    def any(self, x: TracedArray, /, *, axis: Any = None, keepdims: bool = False) -> TracedArray:
        """Whether an entry is true."""
        return self.reduction("any", self.astype(x, self.bool), axis, keepdims)

    def all(self, x: TracedArray, /, *, axis: Any = None, keepdims: bool = False) -> TracedArray:
        """Whether every entry is true."""
        return self.reduction("all", self.astype(x, self.bool), axis, keepdims)

    def argmax(self, x: TracedArray, /, *, axis: Any = None, keepdims: bool = False) -> TracedArray:
        """The place of the first largest entry along one axis."""
        if axis is None:
            raise Untraceable("argmax over all axes at once")
        last = self.moveaxis(x, axis, -1)
        places = self.reduction("argmax", last, -1, True, np.dtype("int64"))
        return self.moveaxis(places, -1, axis) if keepdims else self.squeeze(places, -1)

    def mean(self, x: TracedArray, /, *, axis: Any = None, keepdims: bool = False) -> TracedArray:
        """The sum over the number of entries."""
        total = self.sum(x, axis=axis, keepdims=keepdims)
        return total / self._count(x, axis)

    def var(self, x: TracedArray, /, *, axis: Any = None, correction: float = 0, keepdims: bool = False) -> TracedArray:
        """The mean square of the distance to the mean."""
        apart = x - self.mean(x, axis=axis, keepdims=True)
        return self.sum(apart * apart, axis=axis, keepdims=keepdims) / (self._count(x, axis) - correction)

    def std(self, x: TracedArray, /, *, axis: Any = None, correction: float = 0, keepdims: bool = False) -> TracedArray:
        """The root of `var`."""
        return self.sqrt(self.var(x, axis=axis, correction=correction, keepdims=keepdims))

    def _count(self, x: TracedArray, axis: Any) -> Any:
        axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        dims = [x.shape[i] for i in axes]
        count: Any = math.prod(d for d in dims if d is not N)
        if any(d is N for d in dims):
            rows = self.graph.add("rows", "elementwise", (), (), x.dtype, label())
            return TracedArray(self, rows) * float(count)
        return float(count)

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
        common = promoted("matmul", [x.dtype, y.dtype], [])
        if common.kind != "f":
            raise Untraceable(f"a product of matrices of {common}")
        if not same_shape(x.shape[-1:], y.shape[-2:-1]):
            if (x.shape[-1] is N) != (y.shape[-2] is N):
                N._refuse()  # right for one number of rows
            raise ValueError(f"a product of the shapes {x.shape} and {y.shape}")
        shape = (*broadcast([x.shape[:-2], y.shape[:-2]]), x.shape[-2], y.shape[-1])
        nodes = (self.astype(x, common).node, self.astype(y, common).node)
        return self.wrap(self.graph.add("matmul", "matmul", nodes, shape, common, label()))

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
        arrays = [getattr(one, "dtype", one) for one in given if not isinstance(one, Scalar)]
        return promoted("result_type", [np.dtype(one) for one in arrays], [one for one in given if isinstance(one, Scalar)])  # fmt: skip


def promoted(name: str, dtypes: list[np.dtype], scalars: list[Scalar]) -> np.dtype:
    """The common dtype by the standard's rules: kinds do not mix, and a Python number takes what the arrays have."""
    kinds = {"f" if one.kind == "f" else "b" if one.kind == "b" else "i" for one in dtypes}
    if len(kinds) > 1:
        raise Untraceable(f"{name} of arrays of {' and '.join(sorted({str(one) for one in dtypes}))}")
    common = np.result_type(*dtypes)
    if common.kind == "f" and not {str(one) for one in dtypes} <= {"float32", "float64"}:
        raise Untraceable(f"{name} of {common}")
    order = "bif"
    for value in scalars:
        needed = "b" if isinstance(value, bool) else "i" if isinstance(value, int) else "f"
        if order.index(needed) > order.index("f" if common.kind == "f" else "b" if common.kind == "b" else "i"):
            raise Untraceable(f"{name} of an array of {common} and the number {value!r}")
    return common


def label() -> str:
    """The function that asks, outside this package: ``Linear.forward``."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("mlpcore.compiler"):
        frame = frame.f_back
    owner = frame.f_locals.get("self")
    name = frame.f_code.co_name
    return name if owner is None else f"{type(owner).__name__}.{name}"


def _named(name: str, dtype: str | None = None) -> Any:
    def function(self: Tracer, *args: Any) -> TracedArray:
        return self.elementwise(name, *args, dtype=dtype)

    function.__doc__ = f"``{name}`` of every entry."
    return function


for _name in (*ARITHMETIC, *BITWISE, *FLOATING, *NUMERIC):
    setattr(Tracer, _name, _named(_name))
for _name in (*COMPARISONS, *LOGICAL, *QUESTIONS):
    setattr(Tracer, _name, _named(_name, "bool"))


def _operators() -> None:
    """Python's operators on traced arrays: each is a function of the namespace."""
    names = {"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "pow": "pow", "mod": "remainder"}
    names |= {"floordiv": "floor_divide", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor"}
    names |= {"lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal", "ne": "not_equal"}

    def two(name: str) -> Any:
        return lambda self, other: getattr(self.tracer, name)(self, other)

    def turned(name: str) -> Any:
        return lambda self, other: getattr(self.tracer, name)(other, self)

    def one(name: str) -> Any:
        return lambda self: getattr(self.tracer, name)(self)

    for short, name in names.items():
        setattr(TracedArray, f"__{short}__", two(name))
        if name not in COMPARISONS:
            setattr(TracedArray, f"__r{short}__", turned(name))
    for short, name in {"neg": "negative", "pos": "positive", "abs": "abs", "invert": "bitwise_invert"}.items():
        setattr(TracedArray, f"__{short}__", one(name))


_operators()
