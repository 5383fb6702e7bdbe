"""The NumPy call of every elementwise function and reduction: on arrays with ``out``, and on scalars."""

import math
from typing import Any

import numpy as np

from mlpcore.compiler.draws import draw_factors
from mlpcore.compiler.formulas import STORED
from mlpcore.compiler.graph import Node

NAMES = {  # NumPy's names that differ from the standard's
    "acos": "arccos", "acosh": "arccosh", "asin": "arcsin", "asinh": "arcsinh", "atan": "arctan", "atan2": "arctan2",
    "atanh": "arctanh", "pow": "power", "bitwise_invert": "invert", "abs": "absolute", "round": "rint",
}  # fmt: skip
REDUCTIONS = {"sum": "add", "prod": "multiply", "max": "maximum", "min": "minimum", "any": "logical_or"}
REDUCTIONS |= {"all": "logical_and"}
IDENTITY = {"sum": 0.0, "prod": 1.0, "max": -math.inf, "min": math.inf}  # of floats, the result over no entries
PREDICATES = ("isfinite", "isinf", "isnan", "signbit")  # NumPy 2.4 writes wrong results into strided arrays
ROUNDING = ("round", "ceil", "floor", "trunc")  # do not change integers

# Expressions of NumPy scalars, some ten times as fast as functions of arrays without axes.
SCALAR = {
    "copy": "{0}", "positive": "{0}", "negative": "-{0}", "add": "{0} + {1}", "subtract": "{0} - {1}",
    "multiply": "{0} * {1}", "square": "{0} * {0}", "where": "{1} if {0} else {2}", "abs": "abs({0})",
    "equal": "{0} == {1}", "not_equal": "{0} != {1}", "less": "{0} < {1}", "less_equal": "{0} <= {1}",
    "greater": "{0} > {1}", "greater_equal": "{0} >= {1}", "logical_not": "not {0}", "rsqrt": "reciprocal(sqrt({0}))",
    "bitwise_and": "{0} & {1}", "bitwise_or": "{0} | {1}", "bitwise_xor": "{0} ^ {1}",
}  # fmt: skip
SCALAR_BOOLS = {  # NumPy's bools and Python's may mix
    "bitwise_and": "{0} and {1}", "logical_and": "{0} and {1}", "bitwise_or": "{0} or {1}",
    "logical_or": "{0} or {1}", "bitwise_invert": "not {0}",
}  # fmt: skip
SCALAR_FLOATS = {"divide": "{0} / {1}", "isfinite": "is_finite({0})"}


def scope() -> dict[str, Any]:
    """The functions and constants of the printed text, by their names in it."""
    names = [name for name in dir(np) if isinstance(getattr(np, name), np.ufunc)]
    functions = {name: getattr(np, name) for name in names}
    other_functions = {name: getattr(np, name) for name in ("copyto", "dot", "take", "argmax", "where")}
    kinds = {name: np.dtype(name).type for name in STORED if name != "bool"}
    numbers = {
        f"{word}_{name}": kind(value) for name, kind in kinds.items() for value, word in enumerate(("zero", "one"))
    }
    return functions | other_functions | kinds | numbers | {"is_finite": math.isfinite, "draw_factors": draw_factors}


def scalar_expression(node: Node, operands: list[str]) -> str:
    """The Python expression of a scalar node."""
    name, kind = node.name, node.inputs[-1].dtype if node.inputs else node.dtype
    if name == "astype":
        if node.dtype.kind == "b":
            return f"{operands[0]} != 0"
        source = node.inputs[0].dtype
        if source.kind == "b":
            return f"one_{node.dtype} if {operands[0]} else zero_{node.dtype}"
        return f"{operands[0]}.astype({node.dtype})"
    if name in ROUNDING and kind.kind != "f":
        return operands[0]
    template = {"f": SCALAR_FLOATS, "b": SCALAR_BOOLS}.get(kind.kind, {}).get(name) or SCALAR.get(name)
    return template.format(*operands) if template else f"{NAMES.get(name, name)}({', '.join(operands)})"


def array_calls(node: Node, operands: list[str], out: str) -> list[str]:
    """The calls that write an elementwise result to ``out``, which may be one of the operands."""
    name = node.name
    if name in ("copy", "positive") or (name in ROUNDING and node.dtype.kind != "f"):
        return [] if operands[0] == out else [f"copyto({out}, {operands[0]})"]
    if name == "astype":
        return [f'copyto({out}, {operands[0]}, "unsafe")']
    if name == "where":
        return [f"copyto({out}, where({', '.join(operands)}))"]
    if name in PREDICATES:
        return [f"copyto({out}, {name}({operands[0]}))"]
    if name == "rsqrt":
        return [f"sqrt({operands[0]}, {out})", f"reciprocal({out}, {out})"]
    word = "out=" if name in ("maximum", "minimum") else ""
    return [f"{NAMES.get(name, name)}({', '.join([*operands, word + out])})"]
