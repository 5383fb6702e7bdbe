"""What a random function over the Array API does: one instruction makes one array of earlier ones, in any namespace.

The choices of an instruction come from its own draws, so that every namespace makes the same. What the standard leaves
open is kept away: numbers outside of a type, division of whole numbers by zero, the sign of NaN.
"""

import random
from collections.abc import Callable
from typing import Any

from mlpcore.compiler import trace

FLOATS, WHOLES = ("float32", "float64"), ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
PAIRS = ("atan2", "copysign", "hypot", "logaddexp", "nextafter")
HUGE = 1e18  # sums of larger numbers may overflow in one order and not in another
NUMBERS = (0, 1, 2, 3)

Make = Callable[[Any, Any, Any, random.Random], Any]  # of the namespace, two arrays and the draws; None: not possible


def kind_of(x: Any) -> str:
    """ "f", "i", "u" or "b"."""
    return str(x.dtype).removeprefix("array_api_strict.")[0]


def real(xp: Any, x: Any) -> Any:
    """The array as floating numbers."""
    return x if kind_of(x) == "f" else xp.astype(x, xp.float64)


def truth(xp: Any, x: Any) -> Any:
    """The array as truths."""
    return x if kind_of(x) == "b" else xp.greater(x, 0)


def whole(xp: Any, x: Any) -> Any:
    """The array as whole numbers."""
    return x if kind_of(x) in "iu" else xp.astype(_small(xp, x), xp.int64)


def _small(xp: Any, x: Any) -> Any:
    """The numbers as they fit into any type: 0 to 100, NaN as 0."""
    if kind_of(x) == "b":
        return x
    known = xp.where(xp.isnan(x), 0.0, x) if kind_of(x) == "f" else x
    return xp.clip(known, 0, 100)


def _summable(xp: Any, x: Any) -> Any:
    """The numbers, those that may overflow in a sum as infinities."""
    return xp.where(xp.abs(x) > HUGE, xp.multiply(x, xp.inf), x) if kind_of(x) == "f" else x


def _like(xp: Any, x: Any, y: Any) -> Any:
    """The second array with a dtype that the first promotes with; of whole numbers often its own."""
    if kind_of(x) == kind_of(y) or {kind_of(x), kind_of(y)} == {"i", "u"}:
        both = {str(x.dtype), str(y.dtype)}
        return xp.astype(y, x.dtype) if "uint64" in both and kind_of(x) != kind_of(y) else y
    return xp.astype(_small(xp, y), x.dtype)


def _number(x: Any, draws: random.Random) -> bool | int | float:
    if kind_of(x) == "b":
        return draws.random() < 0.5
    return draws.choice((0.7, -1.5, 0.0, 2, -1)) if kind_of(x) == "f" else draws.choice(NUMBERS)


def one(xp: Any, x: Any, y: Any, draws: random.Random) -> Any:
    """A function of every entry."""
    name = draws.choice([*_ONE, *trace.NUMERIC, *trace.PREDICATES, "logical_not", "bitwise_invert"])
    if name in ("maximum", "minimum"):
        return getattr(xp, name)(x, _number(x, draws)) if kind_of(x) != "b" else None
    if name == "logical_not":
        return xp.logical_not(truth(xp, x))
    if name == "bitwise_invert":
        return xp.bitwise_invert(x if kind_of(x) in "iub" else whole(xp, x))
    if name in trace.NUMERIC:
        return None if kind_of(x) == "b" or (name == "negative" and kind_of(x) == "u") else getattr(xp, name)(x)
    x = real(xp, x)
    if name == "rsqrt" and not hasattr(xp, name):  # array_api_compat lacks it
        return xp.reciprocal(xp.sqrt(x))
    return getattr(xp, name)(xp.where(xp.isnan(x), 1.0, x) if name == "signbit" else x)


_ONE = [name for name in trace.FLOATING if name not in PAIRS]


def two(xp: Any, x: Any, y: Any, draws: random.Random) -> Any:
    """A function of the entries of two arrays, or of an array and a number."""
    name = draws.choice([*PAIRS, *trace.ARITHMETIC, *trace.ARITHMETIC, *trace.COMPARISONS, "maximum", "minimum"])
    y = _number(x, draws) if draws.random() < 0.3 else _like(xp, x, y)
    if name in PAIRS or name == "divide":
        x = real(xp, x)
        y = real(xp, y) if hasattr(y, "dtype") else float(y)
        if name == "copysign" and hasattr(y, "dtype"):
            y = xp.where(xp.isnan(y), 1.0, y)
        return getattr(xp, name)(*_either_way(x, y, draws))
    if kind_of(x) == "b":
        return getattr(xp, name)(x, y) if name in trace.COMPARISONS[:2] else None
    if kind_of(x) != "f" and name in ("remainder", "floor_divide", "pow"):
        if not hasattr(y, "dtype"):
            return getattr(xp, name)(x, y or 3)
        y = xp.minimum(_small(xp, y), 3) if name == "pow" else xp.where(xp.equal(y, 0), 3, y)
        return getattr(xp, name)(x, y)
    return getattr(xp, name)(*_either_way(x, y, draws))


def _either_way(x: Any, y: Any, draws: random.Random) -> tuple[Any, Any]:
    """A number may stand first."""
    return (y, x) if not hasattr(y, "dtype") and draws.random() < 0.5 else (x, y)


def logic(xp: Any, x: Any, y: Any, draws: random.Random) -> Any:
    """A function of truths, or of the bits of whole numbers."""
    if draws.random() < 0.5:
        return getattr(xp, draws.choice(trace.LOGICAL[:3]))(truth(xp, x), truth(xp, y))
    name = draws.choice(trace.BITWISE)
    if name == "bitwise_invert":
        return xp.bitwise_invert(truth(xp, x))
    if kind_of(x) == "b" and "shift" not in name:
        return getattr(xp, name)(x, truth(xp, y))
    x = whole(xp, x)
    y = xp.astype(_small(xp, y), x.dtype) if "shift" in name else _like(xp, x, whole(xp, y))
    return getattr(xp, name)(x, y)


def many(xp: Any, x: Any, y: Any, draws: random.Random) -> Any:
    """A reduction."""
    name = draws.choice(("sum", "sum", "max", "min", "mean", "prod", "any", "all", "argmax", "var", "std", "sort"))
    if x.ndim == 0:
        return None
    axis = draws.choice([None, *range(-x.ndim, x.ndim)])
    if draws.random() < 0.2 and x.ndim > 1 and name != "argmax":
        axis = tuple(draws.sample(range(x.ndim), 2))
    words: dict[str, Any] = {"axis": -1 if name == "argmax" and axis is None else axis}
    words["keepdims"] = draws.random() < 0.6
    if name == "sort":
        if kind_of(x) == "b" or axis is None or isinstance(axis, tuple):
            return None
        words = {"axis": axis, "descending": draws.random() < 0.5}
    elif name in ("mean", "var", "std"):
        x = _summable(xp, real(xp, x))
        words |= {"correction": 0.5} if name != "mean" and draws.random() < 0.3 else {}
    elif name == "prod":
        x = xp.tanh(x) if kind_of(x) == "f" else x
    elif name == "sum":
        x = _summable(xp, x)
        words |= {"dtype": xp.float64} if kind_of(x) == "f" and draws.random() < 0.1 else {}
    elif name in ("max", "min", "argmax") and kind_of(x) == "b":
        return None
    return getattr(xp, name)(x, **words)


def choice(xp: Any, x: Any, y: Any, draws: random.Random) -> Any:
    """Entries by a condition, between bounds, or of another dtype."""
    name = draws.choice(("where", "where", "clip", "astype"))
    if name == "where":
        condition = truth(xp, y) if draws.random() < 0.7 else truth(xp, x)
        others = (_number(x, draws) if draws.random() < 0.4 else _like(xp, x, y), x)
        return xp.where(condition, *(others if draws.random() < 0.5 else others[::-1]))
    if name == "clip":
        if kind_of(x) == "b":
            return None
        low, high = draws.choice([(-0.5, 0.8), (None, 0.3), (-1.0, None)] if kind_of(x) == "f" else [(1, 5), (None, 3)])
        return xp.clip(x, low, high)
    wanted = draws.choice((*FLOATS, *WHOLES, "bool"))
    keeps = wanted in (*FLOATS, "bool") or kind_of(x) in "iub"
    return xp.astype(x if keeps else _small(xp, x), getattr(xp, wanted))


def product(xp: Any, x: Any, y: Any, draws: random.Random) -> Any:
    """A product of matrices, of stacks of them, or with a vector."""
    x, y = (_summable(xp, real(xp, one)) for one in (x, y))
    if x.ndim == 0 or y.ndim == 0:
        return None
    turn = draws.choice(("", "x", "y"))
    x = x.mT if turn == "x" and x.ndim > 1 else x
    y = y.mT if turn == "y" and y.ndim > 1 else y
    return xp.multiply(xp.matmul(x, y), 0.25)
