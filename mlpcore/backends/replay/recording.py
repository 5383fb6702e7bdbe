"""Arrays that write down what is done with them: the Array API operators and functions, as a graph of NumPy calls."""

import itertools
import math
import operator
from typing import Any, NoReturn

import array_api_compat.numpy as compat
import numpy as np

from mlpcore import namespace

VIEWS = ("reshape", "expand_dims", "squeeze", "matrix_transpose", "permute_dims", "getitem")
REDUCTIONS = {"sum": np.add, "prod": np.multiply, "max": np.maximum, "min": np.minimum}
REDUCTIONS |= {"all": np.logical_and, "any": np.logical_or}
DTYPE_QUESTIONS = ("isdtype", "finfo", "iinfo", "result_type", "can_cast")

_clock = itertools.count()


class RecordingError(TypeError):
    """The step does something that cannot be replayed; it is then run operation by operation."""


class Recorded:
    """The result of one call, or an input (``kind`` "input"), or numbers that never change ("constant").

    ``kind`` is one of elementwise, where, clip, astype, reduce, matmul, concat, view and other; ``function`` does the
    call on ``inputs`` and ``options``. ``value`` has the shape and dtype of the result; only a constant's numbers
    mean anything. ``order`` is the time at which it was written down.
    """

    __slots__ = ("function", "inputs", "kind", "options", "order", "value")
    __array_ufunc__ = None  # so that NumPy leaves mixed operators to this class
    __hash__ = object.__hash__

    def __init__(self, kind: str, function: Any, inputs: tuple, options: dict, value: np.ndarray) -> None:
        self.kind, self.function, self.inputs, self.options = kind, function, inputs, options
        self.value, self.order = value, next(_clock)

    shape = property(lambda self: self.value.shape)
    ndim = property(lambda self: self.value.ndim)
    size = property(lambda self: self.value.size)
    dtype = property(lambda self: self.value.dtype)
    device = property(lambda self: "cpu")
    mT = property(lambda self: record("matrix_transpose", self))  # noqa: N815  # the standard's name

    def __getitem__(self, key: Any) -> "Recorded":
        return record("getitem", self, key=key)


def as_input(array: np.ndarray) -> Recorded:
    """An input of the shape and dtype of ``array``."""
    return Recorded("input", None, (), {}, _outline(np.asarray(array)))


def record(name: str, *args: Any, **options: Any) -> Any:
    """Do the call of this name on outlines, and write it down."""
    options.pop("device", None)
    if name == "mean":  # as NumPy does it
        total = record("sum", *args, **options)
        return record("divide", total, args[0].size / total.size if total.size else math.nan)
    function = _function(name)
    inputs = tuple(_lifted(arg) if isinstance(arg, np.ndarray) else arg for arg in args)
    if name in ("concat", "stack"):
        inputs = tuple(args[0])
    found = [arg for arg in inputs if isinstance(arg, Recorded)]
    if name == "astype":
        inputs, options = inputs[:1], {"dtype": args[1] if len(args) > 1 else options["dtype"]}
    if not found or all(arg.kind == "constant" for arg in found):
        return Recorded("constant", None, (), {}, np.asarray(_call(name, function, inputs, options)))
    if name in REDUCTIONS and len(inputs) > 1:
        raise RecordingError(f"{name} with more than one positional argument")
    if name == "matmul":
        a, b = inputs
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        shape = (*batch, *a.shape[-2:-1], b.shape[-1])
        value: Any = np.broadcast_to(np.zeros((), np.result_type(a.dtype, b.dtype)), shape)
    elif name.endswith("_like"):  # of a constant filling: its shape is known now, so are its numbers
        like = inputs[0]
        fill = inputs[1:]
        if any(isinstance(part, Recorded) for part in fill):
            raise RecordingError(f"{name} with a value that is computed")
        sample = np.zeros(like.shape, options.get("dtype") or like.dtype)
        return Recorded("constant", None, (), {}, np.asarray(function(sample, *fill)))
    else:
        value = _call(name, function, inputs, options)
    if not isinstance(value, (np.ndarray, np.generic)):
        raise RecordingError(f"{name} gives {type(value).__name__}, expected one array")
    return Recorded(_kind(name, function), function, inputs, options, _outline(np.asarray(value)))


def _function(name: str) -> Any:
    if name == "getitem":
        return lambda x, key: x[key]
    if name == "astype":
        return lambda x, dtype: x.astype(dtype)
    if name in ("concat", "stack"):  # their inputs are the parts, one by one
        return lambda *parts, **options: getattr(compat, name)(parts, **options)
    if name in REDUCTIONS or name == "reshape":
        return getattr(np, name)
    function = getattr(np, name, None)
    return function if isinstance(function, np.ufunc) else getattr(compat, name)


def _call(name: str, function: Any, inputs: tuple, options: dict) -> Any:
    values = [arg.value if isinstance(arg, Recorded) else arg for arg in inputs]
    if name == "getitem":
        key = options["key"]
        for part in key if isinstance(key, tuple) else (key,):
            if not (part is None or part is Ellipsis or isinstance(part, (int, slice))):
                raise RecordingError("indexing by an array")
        return np.asarray(values[0])[key]
    return function(*values, **options)


def _kind(name: str, function: Any) -> str:
    if name in VIEWS:
        return "view"
    if name in REDUCTIONS:
        return "reduce"
    if name in ("where", "clip", "astype", "concat", "matmul"):
        return name
    return "elementwise" if isinstance(function, np.ufunc) and function.nout == 1 else "other"


def _lifted(array: np.ndarray) -> Recorded:
    return Recorded("constant", None, (), {}, array)


def _outline(array: np.ndarray) -> np.ndarray:
    """Shape and dtype without the memory: one number, seen many times."""
    return np.broadcast_to(np.ones((), array.dtype), array.shape)


class _Namespace:
    """The functions of the Array API on recorded arrays, and its names of dtypes and numbers."""

    def __getattr__(self, name: str) -> Any:
        thing = getattr(compat, name)
        if name in DTYPE_QUESTIONS:
            return lambda *args: thing(*(arg.value if isinstance(arg, Recorded) else arg for arg in args))
        if isinstance(thing, type) or not callable(thing):
            return thing
        return lambda *args, **options: record(name, *args, **options)


def _operators() -> None:
    words = {"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "floordiv": "floor_divide"}
    words |= {"mod": "remainder", "pow": "pow", "matmul": "matmul", "and": "bitwise_and", "or": "bitwise_or"}
    words |= {"xor": "bitwise_xor", "eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal"}
    words |= {"gt": "greater", "ge": "greater_equal"}
    for word, name in words.items():
        setattr(Recorded, f"__{word}__", lambda a, b, n=name: record(n, a, b))
        if hasattr(operator, word) and name not in ("equal", "not_equal"):
            setattr(Recorded, f"__r{word}__", lambda a, b, n=name: record(n, b, a))
    for word in ("and", "or"):
        setattr(Recorded, f"__r{word}__", lambda a, b, n=words[word]: record(n, b, a))
    for word, name in {"neg": "negative", "abs": "abs", "invert": "bitwise_invert"}.items():
        setattr(Recorded, f"__{word}__", lambda a, n=name: record(n, a))

    def refuse(self: Recorded, *args: Any) -> NoReturn:
        raise RecordingError("a step that looks at its numbers on the host")

    for word in ("bool", "float", "int", "index", "array", "iter", "len"):
        setattr(Recorded, f"__{word}__", refuse)


_operators()
namespace.register(Recorded, _Namespace())
