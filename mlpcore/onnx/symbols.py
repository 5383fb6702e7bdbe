"""Arrays that write an ONNX graph: what a layer's forward does to them becomes nodes, so layers are written once."""

import operator
from typing import Any, NoReturn

import numpy as np

from mlpcore.errors import ConfigurationError
from mlpcore.namespace import namespace
from mlpcore.onnx.graph import Graph
from mlpcore.onnx.operators import OPERATORS, Call

HOST = namespace(np.zeros(0))
ABOUT_DTYPES = ("can_cast", "finfo", "iinfo", "isdtype", "result_type")


class Symbol:
    """A value of the graph: its name there, and ``sample``, an array of its dtype and shape that has no rows.

    NumPy does every call on the samples too, which tells dtype and shape of the result. The number of rows is 0
    there, and free in the graph. What is no symbol is a constant, and stays with NumPy until it meets a symbol.
    """

    __slots__ = ("graph", "name", "sample")
    __array_ufunc__ = None  # so that NumPy leaves mixed operators to this class
    __hash__ = object.__hash__

    def __init__(self, graph: Graph, name: str, sample: np.ndarray) -> None:
        self.graph, self.name, self.sample = graph, name, sample

    shape = property(lambda self: self.sample.shape)
    ndim = property(lambda self: self.sample.ndim)
    size = property(lambda self: self.sample.size)
    dtype = property(lambda self: self.sample.dtype)
    device = property(lambda self: "cpu")
    mT = property(lambda self: write("matrix_transpose", self))  # noqa: N815  # the standard's name

    def __array_namespace__(self, api_version: str | None = None) -> "SymbolNamespace":
        """The functions that write the graph."""
        return NAMESPACE

    def __getitem__(self, key: Any) -> "Symbol":
        return write("getitem", self, key)

    def __repr__(self) -> str:
        return f"Symbol({self.name!r}, columns={self.shape[1:]}, dtype={self.dtype})"


def write(name: str, *args: Any, **options: Any) -> Any:
    """Do the call of this name: with NumPy where all is constant, else in the graph."""
    options.pop("device", None)
    symbols = [arg for part in args for arg in (part if isinstance(part, (tuple, list)) else [part]) if _written(arg)]
    if symbols and name not in OPERATORS:
        raise ConfigurationError(
            f"to_onnx: the network or its loss uses {name}, which is not among the functions that are exported: "
            f"{', '.join(sorted(OPERATORS))}"
        )
    function = operator.getitem if name == "getitem" else getattr(HOST, name)
    if not symbols:
        return function(*args, **options)
    try:
        sample = function(*map(_sample, args), **options)
    except (IndexError, TypeError, ValueError) as error:
        raise ConfigurationError(f"to_onnx: {name} does not work on a batch of no rows: {error}") from None
    graph = symbols[0].graph
    kind = np.result_type(*(symbol.dtype for symbol in symbols))  # what Python's numbers become beside these

    def named(value: Any) -> str:
        if isinstance(value, Symbol):
            return value.name
        if isinstance(value, str):
            return value
        weak = isinstance(value, (bool, int, float)) and not isinstance(value, np.generic)
        return graph.constant(np.asarray(value, dtype=kind if weak else None))

    written = OPERATORS[name](Call(graph, args, options, np.asarray(sample), named))
    return Symbol(graph, written, np.asarray(sample))


def _written(value: Any) -> bool:
    return isinstance(value, Symbol)


def _sample(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return type(value)(map(_sample, value))
    return value.sample if isinstance(value, Symbol) else value


class SymbolNamespace:
    """The functions of the Array API for symbols, and its names of dtypes and numbers."""

    __name__ = "onnx"  # as a module has; array_api_compat asks for it

    def __getattr__(self, name: str) -> Any:
        thing = getattr(HOST, name)
        if name in ABOUT_DTYPES:
            return lambda *args: thing(*map(_sample, args))
        if isinstance(thing, type) or not callable(thing):
            return thing
        return lambda *args, **options: write(name, *args, **options)


NAMESPACE = SymbolNamespace()


def _operators() -> None:
    words = {"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "pow": "pow", "matmul": "matmul"}
    words |= {"and": "logical_and", "or": "logical_or"}
    for word, name in words.items():
        setattr(Symbol, f"__{word}__", lambda a, b, n=name: write(n, a, b))
        setattr(Symbol, f"__r{word}__", lambda a, b, n=name: write(n, b, a))
    comparisons = {
        "eq": "equal",
        "ne": "not_equal",
        "lt": "less",
        "le": "less_equal",
        "gt": "greater",
        "ge": "greater_equal",
    }
    for word, name in (comparisons | {"neg": "negative", "abs": "abs", "invert": "logical_not"}).items():
        setattr(Symbol, f"__{word}__", lambda *args, n=name: write(n, *args))

    def refuse(self: Symbol, *args: Any) -> NoReturn:
        raise ConfigurationError("to_onnx: the network or its loss looks at its numbers, which a graph does not have")

    for word in ("bool", "float", "int", "index", "array", "iter", "len"):
        setattr(Symbol, f"__{word}__", refuse)


_operators()
