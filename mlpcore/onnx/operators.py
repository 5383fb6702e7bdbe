"""The functions of the Array API as ONNX operators: for each, the node or the few nodes that do the same."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from mlpcore.errors import ConfigurationError
from mlpcore.onnx.graph import Graph

END = np.iinfo(np.int64).max  # a slice up to the end


class Call(NamedTuple):
    """A call on the way into the graph. ``sample`` is its result on arrays without rows; ``name`` names an operand."""

    graph: Graph
    args: tuple[Any, ...]
    options: dict[str, Any]
    sample: np.ndarray
    name: Callable[[Any], str]

    def node(self, operator: str, *operands: Any, **attributes: Any) -> str:
        """A node on these operands: names, symbols, arrays, numbers."""
        return self.graph.node(operator, [self.name(operand) for operand in operands], **attributes)

    def option(self, position: int, word: str, default: Any = None) -> Any:
        """An argument given by position or by word."""
        return self.args[position] if len(self.args) > position else self.options.get(word, default)


ELEMENTWISE = {
    **{"add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "pow": "Pow", "matmul": "MatMul"},
    **{"maximum": "Max", "minimum": "Min", "where": "Where"},
    **{"less": "Less", "less_equal": "LessOrEqual", "greater": "Greater", "greater_equal": "GreaterOrEqual"},
    **{"equal": "Equal", "logical_and": "And", "logical_or": "Or", "logical_not": "Not"},
    **{"abs": "Abs", "negative": "Neg", "sign": "Sign", "floor": "Floor", "ceil": "Ceil", "sqrt": "Sqrt"},
    **{"exp": "Exp", "log": "Log", "sin": "Sin", "cos": "Cos", "tanh": "Tanh", "isnan": "IsNaN"},
}
REDUCTIONS = {"max": "ReduceMax", "min": "ReduceMin", "mean": "ReduceMean"}


def _elementwise(operator: str) -> Callable[[Call], str]:
    return lambda call: call.node(operator, *call.args)


def _maximum(call: Call) -> str:
    """``max(x, 0)`` has an operator of its own, which readers of the graph look for."""
    x, floor = call.args
    return call.node("Relu", x) if isinstance(floor, (int, float)) and floor == 0 else call.node("Max", x, floor)


def _expm1(call: Call) -> str:
    return call.node("Sub", call.node("Exp", *call.args), call.sample.dtype.type(1))


def _log1p(call: Call) -> str:
    return call.node("Log", call.node("Add", *call.args, call.sample.dtype.type(1)))


def _not_equal(call: Call) -> str:
    return call.node("Not", call.node("Equal", *call.args))


def _square(call: Call) -> str:
    return call.node("Mul", *call.args, *call.args)


def _copysign(call: Call) -> str:
    """The magnitude with the sign of the second; a negative zero counts as positive."""
    size = call.node("Abs", call.args[0])
    below = call.node("Less", call.args[1], call.sample.dtype.type(0))
    return call.node("Where", below, call.node("Neg", size), size)


def _axes(call: Call) -> list[int]:
    axis = call.option(1, "axis")
    if axis is None:
        return list(range(call.args[0].ndim))
    return list(axis) if isinstance(axis, tuple) else [axis]


def _reduction(operator: str) -> Callable[[Call], str]:
    def written(call: Call) -> str:
        keep = int(call.options.get("keepdims", False))
        return call.node(operator, call.args[0], axes=_axes(call), keepdims=keep)

    return written


def _sum(call: Call) -> str:
    keep = int(call.options.get("keepdims", False))
    return call.node("ReduceSum", call.args[0], np.asarray(_axes(call)), keepdims=keep)


def _argmax(call: Call) -> str:
    keep = int(call.options.get("keepdims", False))
    return call.node("ArgMax", call.args[0], axis=call.option(1, "axis"), keepdims=keep)


def _sort(call: Call) -> str:
    """All of an axis as its smallest entries in order."""
    axis, largest = call.options.get("axis", -1), int(call.options.get("descending", False))
    length = np.asarray([call.args[0].shape[axis]])
    return call.node("TopK", call.args[0], length, axis=axis, largest=largest, sorted=1)


def _reshape(call: Call) -> str:
    """The number of rows is 0 in a sample, which stands for "as before" in the graph as well: axis 0 may stay so."""
    return call.node("Reshape", call.args[0], np.asarray(call.sample.shape))


def _expand_dims(call: Call) -> str:
    return call.node("Unsqueeze", call.args[0], np.asarray([call.option(1, "axis", 0)]))


def _squeeze(call: Call) -> str:
    return call.node("Squeeze", call.args[0], np.asarray(_axes(call)))


def _transpose(call: Call) -> str:
    axes = list(range(call.args[0].ndim))
    return call.node("Transpose", call.args[0], perm=[*axes[:-2], axes[-1], axes[-2]])


def _concat(call: Call) -> str:
    return call.node("Concat", *call.args[0], axis=call.option(1, "axis", 0))


def _stack(call: Call) -> str:
    axis = call.option(1, "axis", 0)
    parts = [call.node("Unsqueeze", part, np.asarray([axis])) for part in call.args[0]]
    return call.node("Concat", *parts, axis=axis)


def _full_like(call: Call) -> str:
    filling = np.asarray(call.args[1], dtype=call.sample.dtype)
    return call.node("Expand", filling, call.node("Shape", call.args[0]))


def _astype(call: Call) -> str:
    return call.node("Cast", call.args[0], to=call.graph.kind(call.sample.dtype))


def _take(call: Call) -> str:
    return call.node("Gather", *call.args[:2], axis=call.option(2, "axis", 0))


def _getitem(call: Call) -> str:
    """Slices as one node, then the axes of numbers taken out, then those of None put in."""
    x, key = call.args
    parts = list(key) if isinstance(key, tuple) else [key]
    if not all(part is None or part is Ellipsis or isinstance(part, (int, slice)) for part in parts):
        raise ConfigurationError("to_onnx: the network or its loss indexes by an array; use take")
    if Ellipsis not in parts:
        parts.append(Ellipsis)
    at, taken = parts.index(Ellipsis), sum(part is not None for part in parts) - 1
    parts[at : at + 1] = [slice(None)] * (x.ndim - taken)
    new = [i for i, part in enumerate(p for p in parts if not isinstance(p, int)) if part is None]
    axes = list(enumerate(part for part in parts if part is not None))
    cuts = [(axis, _bounds(part)) for axis, part in axes if part != slice(None)]
    result = call.name(x)
    if cuts:
        starts, ends, steps = (np.asarray(one) for one in zip(*(bounds for _, bounds in cuts), strict=True))
        result = call.node("Slice", result, starts, ends, np.asarray([axis for axis, _ in cuts]), steps)
    if gone := [axis for axis, part in axes if isinstance(part, int)]:
        result = call.node("Squeeze", result, np.asarray(gone))
    return call.node("Unsqueeze", result, np.asarray(new)) if new else result


def _bounds(part: Any) -> tuple[int, int, int]:
    """Start, end and step of a slice, or of the one entry at a number."""
    if isinstance(part, int):
        return part, END if part == -1 else part + 1, 1
    step = 1 if part.step is None else part.step
    first, last = (0, END) if step > 0 else (END, -END)
    return first if part.start is None else part.start, last if part.stop is None else part.stop, step


OPERATORS: dict[str, Callable[[Call], str]] = {
    **{name: _elementwise(operator) for name, operator in ELEMENTWISE.items()},
    **{name: _reduction(operator) for name, operator in REDUCTIONS.items()},
    **{
        "maximum": _maximum,
        "expm1": _expm1,
        "log1p": _log1p,
        "not_equal": _not_equal,
        "square": _square,
        "copysign": _copysign,
    },
    **{"sum": _sum, "argmax": _argmax, "sort": _sort, "take": _take, "getitem": _getitem, "astype": _astype},
    **{"reshape": _reshape, "expand_dims": _expand_dims, "squeeze": _squeeze, "matrix_transpose": _transpose},
    **{"concat": _concat, "stack": _stack, "full_like": _full_like},
}
