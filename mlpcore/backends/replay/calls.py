"""The NumPy calls that compute a recorded node into an array that is there already."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np

from mlpcore.backends.replay.recording import REDUCTIONS, Recorded

Call = tuple[Callable, tuple]


def calls_of(node: Recorded, operands: list[Any], out: np.ndarray) -> list[Call]:
    """The calls, their operands being arrays or Python numbers, that leave the node's result in ``out``."""
    made = CALLS.get(node.kind, _other)(node, operands, out)
    return [(function, tuple(args)) for function, args in made]


def reusable(node: Recorded) -> list[Recorded]:
    """The inputs whose memory may also be the result's: an entry is read before it is written."""
    if node.kind == "elementwise":
        inputs = node.inputs
    elif node.kind == "where":
        inputs = node.inputs[2:]  # written first, so the condition and the other branch must be elsewhere
    elif node.kind == "clip":
        inputs = node.inputs[:1]
    else:
        inputs = ()
    return [part for part in inputs if isinstance(part, Recorded)]


def _elementwise(node: Recorded, operands: list[Any], out: np.ndarray) -> list:
    if node.function in (np.maximum, np.minimum):  # NumPy has no vector loop for these and a single number
        operands = [_constant(part, out.dtype, out.shape) if _is_number(part) else part for part in operands]
    operands = [_typed(part, operands) if _is_number(part) else part for part in operands]
    return [(_into(node.function, out), operands)]


def _where(node: Recorded, operands: list[Any], out: np.ndarray) -> list:
    condition, chosen, otherwise = operands
    first = [] if otherwise is out else [(np.copyto, (out, otherwise))]
    return [*first, (np.copyto, (out, chosen, "same_kind", condition))]


def _clip(node: Recorded, operands: list[Any], out: np.ndarray) -> list:
    given = dict(zip(("x", "min", "max"), operands, strict=False)) | node.options
    low, high = given.get("min"), given.get("max")
    made: list = []
    source = operands[0]
    for bound, function in ((low, np.maximum), (high, np.minimum)):
        if bound is not None:
            made.append((_into(function, out), (source, np.asarray(bound, dtype=out.dtype))))
            source = out
    return made or [(np.copyto, (out, source))]


def _astype(node: Recorded, operands: list[Any], out: np.ndarray) -> list:
    return [(np.copyto, (out, operands[0], "unsafe"))]


def _matmul(node: Recorded, operands: list[Any], out: np.ndarray) -> list:
    return [(np.matmul, (*operands, out))]


def _reduce(node: Recorded, operands: list[Any], out: np.ndarray) -> list:
    ufunc = REDUCTIONS[node.function.__name__]
    axis, keepdims = node.options.get("axis"), node.options.get("keepdims", False)
    return [(ufunc.reduce, (operands[0], axis, None, out, keepdims))]


def _other(node: Recorded, operands: list[Any], out: np.ndarray) -> list:
    return [(_assign, (out, node.function, operands, node.options))]


def _assign(out: np.ndarray, function: Callable, operands: list[Any], options: dict) -> None:
    out[...] = function(*operands, **options)


def _into(ufunc: Callable, out: np.ndarray) -> Callable:
    """The call with its result's place; maximum and minimum take it by name only."""
    return partial(ufunc, out=out)


def _is_number(part: Any) -> bool:
    return isinstance(part, (int, float))


@lru_cache(maxsize=256)
def _constant(value: float, dtype: Any, shape: tuple[int, ...]) -> np.ndarray:
    return np.full(shape, value, dtype)


def _typed(value: float, operands: list[Any]) -> Any:
    """A Python number as an array of the dtype that it would take, so that NumPy need not find out in every call."""
    dtype = np.result_type(*[part for part in operands if not _is_number(part)])
    fits = dtype.kind == "f" or (dtype.kind in "iu" and isinstance(value, int) and not isinstance(value, bool))
    return np.asarray(value, dtype=dtype) if fits else value


CALLS: dict[str, Callable[[Recorded, list[Any], np.ndarray], list]] = {
    "elementwise": _elementwise,
    "where": _where,
    "clip": _clip,
    "astype": _astype,
    "matmul": _matmul,
    "reduce": _reduce,
}
