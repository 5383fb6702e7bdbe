"""Symbols that write down what an elementwise formula does with them, so that one CUDA kernel can do the same."""

import math
from collections.abc import Callable, Sequence
from itertools import starmap
from typing import Any, NoReturn

import numpy as np

from mlpcore import namespace
from mlpcore.trees import leaves, tree_map
from mlpcore.typing import Tree

C_TYPES = {"bool": "bool", "int32": "int", "int64": "long long", "float32": "float", "float64": "double"}
FLOATS = ("float32", "float64")


class Untraceable(TypeError):
    """The formula does something that no elementwise kernel does; its reference body is run instead."""


class Symbol:
    """A number of one element: an operand, or the C expression ``text`` of other symbols.

    ``reads`` holds the numbers of the operands that the value depends on.
    """

    __slots__ = ("args", "dtype", "reads", "text")
    __array_ufunc__ = None  # so that NumPy and CuPy leave mixed operators to this class, which refuses them
    __hash__ = object.__hash__

    def __init__(self, text: str, args: tuple["Symbol", ...], dtype: str, reads: frozenset[int]) -> None:
        self.text, self.args, self.dtype, self.reads = text, args, np.dtype(dtype), reads


def operand(number: int, dtype: str) -> Symbol:
    """The operand of that number."""
    if dtype not in C_TYPES:
        raise Untraceable(f"an operand of dtype {dtype}")
    return Symbol(f"x{number}", (), dtype, frozenset([number]))


class Trace:
    """What a formula makes of operands of these dtypes: ``result`` is its tree of symbols.

    ``outputs`` are the distinct symbols in it that are no operands: what a kernel must store.
    """

    def __init__(self, formula: Callable[..., Tree], dtypes: Sequence[str]) -> None:
        self.operands = list(starmap(operand, enumerate(dtypes)))
        try:
            self.result = formula(*self.operands)
        except (AttributeError, TypeError) as error:  # a method or a function that symbols lack
            raise Untraceable(str(error)) from error
        found = leaves(self.result)
        if not found or not all(isinstance(leaf, Symbol) for leaf in found):
            raise Untraceable("a result that is no array")
        given = set(self.operands)
        self.outputs = [one for one in dict.fromkeys(found) if one not in given]

    def code(self) -> str:
        """The body of a C function of ``const T x0, ...`` that sets ``T &y0, ...``."""
        names = {symbol: symbol.text for symbol in self.operands}
        lines: list[str] = []

        def visit(symbol: Symbol) -> str:
            if symbol not in names:
                value = symbol.text.format(*[visit(arg) for arg in symbol.args])
                names[symbol] = f"v{len(lines)}"
                lines.append(f"  const {C_TYPES[symbol.dtype.name]} {names[symbol]} = {value};")
            return names[symbol]

        stores = [f"  y{i} = {visit(symbol)};" for i, symbol in enumerate(self.outputs)]
        return "\n".join(lines + stores)

    def assemble(self, operands: Sequence[Any], outputs: Sequence[Any]) -> Tree:
        """The formula's result with arrays in the places of the symbols."""
        arrays = dict(zip(self.operands, operands, strict=True)) | dict(zip(self.outputs, outputs, strict=True))
        return tree_map(arrays.__getitem__, self.result)


def literal(value: float, dtype: str) -> str:
    """A Python number as a C constant of exactly the number it has in ``dtype``."""
    if dtype == "bool":
        return "true" if value else "false"
    if dtype not in FLOATS:
        return f"(({C_TYPES[dtype]}){int(value)}LL)"
    with np.errstate(over="ignore"):
        number = float(np.dtype(dtype).type(value))
    if math.isfinite(number):
        return f"({number.hex()}{'f' if dtype == 'float32' else ''})"
    bits = "nan" if math.isnan(number) else "-inf" if number < 0 else "inf"
    value = {"nan": 0x7FF8 << 48, "inf": 0x7FF0 << 48, "-inf": -(0x0010 << 48)}[bits]
    return f"(({C_TYPES[dtype]})__longlong_as_double({value}LL))"


def _joined(args: Sequence[Any]) -> tuple[list[Symbol], str]:
    """The arguments as symbols of one dtype, which is that of the arrays among them; Python numbers adapt to it."""
    dtypes = [arg.dtype for arg in args if isinstance(arg, Symbol)]
    if len({dtype.kind for dtype in dtypes}) != 1:
        raise Untraceable("arrays of different kinds, whose common dtype the standard leaves open")
    dtype = max(dtypes, key=lambda one: one.itemsize).name
    takes = {"bool": (bool,), "float32": (int, float), "float64": (int, float)}.get(dtype, (int,))
    if not all(isinstance(arg, Symbol) or type(arg) in takes for arg in args):
        raise Untraceable(f"a Python number of another kind among arrays of dtype {dtype}")
    return [cast(arg, dtype) if isinstance(arg, Symbol) else _constant(arg, dtype) for arg in args], dtype


def _constant(value: float, dtype: str) -> Symbol:
    return Symbol(literal(value, dtype), (), dtype, frozenset())


def cast(x: Symbol, dtype: Any) -> Symbol:
    """``astype``; between booleans, integers and floats."""
    name = np.dtype(dtype).name
    if name not in C_TYPES:
        raise Untraceable(f"a cast to {name}")
    return x if x.dtype.name == name else Symbol(f"({C_TYPES[name]}){{0}}", (x,), name, x.reads)


def _apply(text: str, args: list[Symbol], dtype: str) -> Symbol:
    return Symbol(text, tuple(args), dtype, frozenset().union(*(arg.reads for arg in args)))


# Name in the standard: C text, kinds it takes, and whether it gives booleans. Maxima keep NaN, as the libraries' do.
_ARITHMETIC = {
    "add": ("({0} + {1})", "if"),
    "subtract": ("({0} - {1})", "if"),
    "multiply": ("({0} * {1})", "if"),
    "divide": ("({0} / {1})", "f"),
    "negative": ("(-{0})", "if"),
    "positive": ("({0})", "if"),
    "square": ("({0} * {0})", "if"),
    "reciprocal": ("(1 / {0})", "f"),
    "abs": ("({0} < 0 ? -{0} : {0})", "i"),
    "maximum": ("({0} > {1} || {0} != {0} ? {0} : {1})", "if"),
    "minimum": ("({0} < {1} || {0} != {0} ? {0} : {1})", "if"),
    "sign": ("({0} != {0} ? {0} : ({0} > 0) - ({0} < 0))", "f"),
    "bitwise_and": ("({0} & {1})", "b"),
    "bitwise_or": ("({0} | {1})", "b"),
    "bitwise_xor": ("({0} ^ {1})", "b"),
    "bitwise_invert": ("(!{0})", "b"),
    "logical_and": ("({0} && {1})", "b"),
    "logical_or": ("({0} || {1})", "b"),
    "logical_not": ("(!{0})", "b"),
}
_ARITHMETIC |= {
    name: (f"{name}({{0}})", "f")
    for name in ("sqrt", "exp", "expm1", "log", "log1p", "log2", "log10", "tanh", "sinh", "cosh", "sin", "cos", "tan")
}
_ARITHMETIC |= {"copysign": ("copysign({0}, {1})", "f"), "erf": ("erf({0})", "f")}
_QUESTIONS = {
    "equal": ("({0} == {1})", "bif"),
    "not_equal": ("({0} != {1})", "bif"),
    "less": ("({0} < {1})", "if"),
    "less_equal": ("({0} <= {1})", "if"),
    "greater": ("({0} > {1})", "if"),
    "greater_equal": ("({0} >= {1})", "if"),
    "isfinite": ("((bool)isfinite({0}))", "f"),
    "isnan": ("({0} != {0})", "f"),
    "isinf": ("((bool)isinf({0}))", "f"),
}


def call(name: str, *args: Any) -> Symbol:
    """The function of the standard of this name on symbols and Python numbers."""
    text, kinds = _ARITHMETIC.get(name) or _QUESTIONS[name]
    symbols, dtype = _joined(args)
    kind = np.dtype(dtype).kind
    if name == "abs" and kind == "f":
        text, kinds = "fabs({0})", "f"
    if kind not in kinds or len(symbols) != 1 + ("{1}" in text):
        raise Untraceable(f"{name} of {len(symbols)} arrays of dtype {dtype}")
    return _apply(text, symbols, "bool" if name in _QUESTIONS else dtype)


def where(condition: Any, x: Any, y: Any) -> Symbol:
    """``x`` where the condition holds, else ``y``; both may be Python numbers only if the other is an array."""
    if not isinstance(condition, Symbol) or condition.dtype.name != "bool":
        raise Untraceable("a condition that is no array of booleans")
    both, dtype = _joined((x, y))
    return _apply("({0} ? {1} : {2})", [condition, *both], dtype)


def clip(x: Symbol, low: Any = None, high: Any = None) -> Symbol:
    """``x`` held between both bounds."""
    x = x if low is None else call("maximum", x, low)
    return x if high is None else call("minimum", x, high)


class _Namespace:
    """The elementwise functions of the Array API on symbols, and its numbers and dtypes."""

    def __getattr__(self, name: str) -> Any:
        if name in _ARITHMETIC or name in _QUESTIONS:
            return lambda *args: call(name, *args)
        if name in C_TYPES or name in ("inf", "nan", "pi", "e"):
            return np.dtype(name) if name in C_TYPES else getattr(math, name)
        raise Untraceable(f"the function {name}")

    def full_like(self, x: Symbol, value: float) -> Symbol:
        """A constant of the dtype and, as it reads x, the shape of x."""
        return Symbol(literal(value, x.dtype.name), (), x.dtype.name, x.reads)

    where = staticmethod(where)
    clip = staticmethod(clip)

    def astype(self, x: Symbol, dtype: Any) -> Symbol:
        """``x`` as another dtype."""
        return cast(x, dtype)

    def finfo(self, dtype: Any) -> Any:
        """The limits of a floating dtype."""
        return np.finfo(dtype)


NAMESPACE = _Namespace()
namespace.register(Symbol, NAMESPACE)


def _operators() -> None:
    words = {"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide"}
    words |= {"and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor"}
    for word, name in words.items():
        setattr(Symbol, f"__{word}__", lambda a, b, n=name: call(n, a, b))
        setattr(Symbol, f"__r{word}__", lambda a, b, n=name: call(n, b, a))
    comparisons = {"eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal"}
    for word, name in (comparisons | {"gt": "greater", "ge": "greater_equal"}).items():
        setattr(Symbol, f"__{word}__", lambda a, b, n=name: call(n, a, b))
    for word, name in {"neg": "negative", "pos": "positive", "abs": "abs", "invert": "bitwise_invert"}.items():
        setattr(Symbol, f"__{word}__", lambda a, n=name: call(n, a))

    def refuse(self: Symbol, *args: Any) -> NoReturn:
        raise Untraceable("a formula that looks at its numbers")

    for word in ("bool", "float", "int", "index", "array", "iter", "len", "getitem", "pow", "matmul"):
        setattr(Symbol, f"__{word}__", refuse)


_operators()
