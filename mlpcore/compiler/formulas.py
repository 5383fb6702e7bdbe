"""The C expression of every elementwise function and reduction, for each dtype."""

import numpy as np

from mlpcore.compiler.graph import Node, Untraceable

STORED = {
    "bool": "unsigned char", "float32": "float", "float64": "double", "int8": "int8_t", "int16": "int16_t",
    "int32": "int32_t", "int64": "int64_t", "uint8": "uint8_t", "uint16": "uint16_t", "uint32": "uint32_t",
    "uint64": "uint64_t",
}  # fmt: skip
HELD = STORED | {"bool": "int"}  # the type of a local variable: bools in bytes would prevent vectorisation

SAME = {  # the same expression for every dtype
    "copy": "{0}", "positive": "{0}", "negative": "-{0}", "add": "{0} + {1}", "subtract": "{0} - {1}",
    "multiply": "{0} * {1}", "square": "{0} * {0}", "where": "{0} ? {1} : {2}",
    "equal": "{0} == {1}", "not_equal": "{0} != {1}", "less": "{0} < {1}", "less_equal": "{0} <= {1}",
    "greater": "{0} > {1}", "greater_equal": "{0} >= {1}",
    "logical_and": "({0} != 0) & ({1} != 0)", "logical_or": "({0} != 0) | ({1} != 0)",
    "logical_xor": "({0} != 0) ^ ({1} != 0)", "logical_not": "{0} == 0",
    "bitwise_and": "{0} & {1}", "bitwise_or": "{0} | {1}", "bitwise_xor": "{0} ^ {1}", "take": "{0}",
}  # fmt: skip
FLOATS = {  # F stands for the suffix f of single precision
    "divide": "{0} / {1}", "maximum": "{0} > {1} ? {0} : {0} != {0} ? {0} : {1}", "rows": "(T)rows",
    "minimum": "{0} < {1} ? {0} : {0} != {0} ? {0} : {1}", "abs": "fabsF({0})", "reciprocal": "1 / {0}",
    "rsqrt": "1 / sqrtF({0})", "isfinite": "{0} - {0} == 0", "isnan": "{0} != {0}",
    "isinf": "({0} == {0}) & ({0} - {0} != 0)", "signbit": "signbit({0}) != 0", "round": "rintF({0})",
    "sign": "{0} > 0 ? 1 : {0} < 0 ? -1 : {0}", "logaddexp": "logaddexpF({0}, {1})",
    "bfloat16_bits": "bfloat16_bits({0})",
    "remainder": "remainder_ofF({0}, {1})", "floor_divide": "floor_divideF({0}, {1})",
}  # fmt: skip
LIBRARY = (
    *("acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "ceil", "copysign", "cos", "cosh", "exp", "expm1"),
    *(
        "floor",
        "hypot",
        "log",
        "log1p",
        "log2",
        "log10",
        "nextafter",
        "pow",
        "sin",
        "sinh",
        "sqrt",
        "tan",
        "tanh",
        "trunc",
    ),
)
INTEGERS = {
    "maximum": "{0} > {1} ? {0} : {1}", "minimum": "{0} < {1} ? {0} : {1}",
    "abs": "{0} < 0 ? (T)(0u - (U){0}) : {0}",
    "sign": "({0} > 0) - ({0} < 0)", "bitwise_invert": "~{0}", "ceil": "{0}", "floor": "{0}", "trunc": "{0}",
    "remainder": "(T)remainder_of_W({0}, {1})", "floor_divide": "(T)floor_divide_W({0}, {1})",
    "pow": "(T)power_of_whole({0}, {1})",
    "round": "{0}",
    # By the number of bits or more: 0 to the left, 0 or -1 by the sign to the right, as in NumPy.
    "bitwise_left_shift": "(uint64_t){1} < BITS ? (uint64_t){0} << {1} : 0",
    "bitwise_right_shift": "(uint64_t){1} < BITS ? {0} >> {1} : {0} < 0 ? -1 : 0",
}  # fmt: skip
# Integer overflow wraps around, as in NumPy. C defines this for unsigned types only, so the formulas use those.
WRAPPING = {
    "negative": "(T)(0u - (U){0})", "add": "(T)((U){0} + (U){1})", "subtract": "(T)((U){0} - (U){1})",
    "multiply": "(T)(1u * (U){0} * (U){1})", "square": "(T)(1u * (U){0} * (U){0})",
}  # fmt: skip
IDENTITY = {"sum": "0", "prod": "1", "any": "0", "all": "1", "max": "-INFINITY", "min": "INFINITY"}
COMBINE = {
    "sum": "{0} + {1}", "prod": "{0} * {1}", "any": "{0} | {1}", "all": "{0} & {1}",
    "max": "({1} > {0}) | ({1} != {1}) ? {1} : {0}", "min": "({1} < {0}) | ({1} != {1}) ? {1} : {0}",
}  # fmt: skip


def identity(node: Node) -> str:
    """The initial value of a reduction: 0 for a sum, the least value of the type for max, the greatest for min."""
    bits, for_max = 8 * node.dtype.itemsize, node.name == "max"
    if node.name not in ("max", "min") or node.dtype.kind not in "iu":
        return IDENTITY[node.name]
    if node.dtype.kind == "u":
        return "0" if for_max else f"UINT{bits}_MAX"
    return f"INT{bits}_{'MIN' if for_max else 'MAX'}"


ELEMENTARY = ("exp", "expm1", "log", "log1p", "tanh")  # functions of `mlpcore.compiler.elementary`


def expression(node: Node, operands: list[str]) -> str:
    """The C expression of an elementwise node. Operands are names, array entries or expressions in parentheses."""
    if node.name == "astype":
        (source,) = node.inputs
        if node.dtype.kind == "b":
            return f"{operands[0]} != 0"
        # A bool is converted by a conditional, which compilers vectorise; a cast of the integer they would not.
        held = HELD[str(node.dtype)]
        return f"{operands[0]} ? ({held})1 : ({held})0" if source.dtype.kind == "b" else f"({held}){operands[0]}"
    kind = (node.inputs[-1] if node.inputs else node).dtype
    template = _typed(template_of(node.name, kind), kind)
    return template.replace("F(", "f(" if kind == np.float32 else "(").format(*operands)


def combine(node: Node) -> str:
    """The expression that combines two values of a reduction, or two partial results of a matrix product."""
    name = node.name if node.name in COMBINE else "sum"
    wrapping = {"sum": "add", "prod": "multiply"}.get(name, "")
    return _typed(WRAPPING[wrapping] if wrapping and node.dtype.kind in "iu" else COMBINE[name], node.dtype)


def _typed(template: str, dtype: np.dtype) -> str:
    """The template with T replaced by the type, U by the unsigned type of the same size, and W by "whole" or
    "unsigned"."""
    kind = HELD[str(dtype)]
    return (
        template.replace("(T)", f"({kind})")
        .replace("(U)", f"({'u' * (dtype.kind == 'i')}{kind})")
        .replace("_W(", "_unsigned(" if dtype.kind == "u" else "_whole(")
    )


def template_of(name: str, dtype: np.dtype) -> str:
    """The C template of a function; `Untraceable` where there is none for the dtype."""
    if name == "bitwise_invert" and dtype.kind == "b":
        return "!{0}"
    if dtype.kind in "iu" and name in WRAPPING:
        return WRAPPING[name]
    if name in SAME:
        return SAME[name]
    if dtype.kind == "f" and (name in FLOATS or name in LIBRARY):
        return (
            FLOATS.get(name)
            or f"{'mlp_' * (name in ELEMENTARY)}{name}F({', '.join(['{0}', '{1}'][: 2 if name in TWO else 1])})"
        )
    if dtype.kind in "iub" and name in INTEGERS:
        return INTEGERS[name].replace("BITS", str(8 * dtype.itemsize))
    raise Untraceable(f"{name} of {dtype}")


TWO = ("atan2", "copysign", "hypot", "nextafter", "pow")


def literal(value: bool | int | float, dtype: np.dtype) -> str:
    """An integer or bool as a C literal of the given dtype."""
    return f"(({HELD[str(dtype)]}){int(value)}{'u' * (dtype.kind == 'u')})"
