"""Formulas as patterns that the nodes of a graph are compared with."""

import math
from typing import Any

import numpy as np

from mlpcore.compiler.graph import Node

# A name of an operand, a number, or the name of an operation with the patterns of its operands.
Pattern = Any
COMMUTATIVE = {"add", "multiply", "maximum"}

RELU: Pattern = ("maximum", "x", 0.0)
RELU_GRADIENT: Pattern = ("multiply", "dy", ("astype", ("less", 0.0, "y")))

# The tanh form: y = x gate with gate = (1 + tanh(u)) / 2, u = scale (x + cubic x^3).
_SCALE, _CUBIC = math.sqrt(2 / math.pi), 0.044715
_U = ("multiply", _SCALE, ("add", "x", ("multiply", _CUBIC, ("multiply", ("multiply", "x", "x"), "x"))))
_GATE = ("add", 0.5, ("multiply", 0.5, ("tanh", _U)))
_BEND = ("multiply", ("multiply", _GATE, ("subtract", 1.0, _GATE)), "x")
_RISE = ("multiply", 3 * _CUBIC, ("multiply", ("multiply", _BEND, "x"), "x"))
GELU: Pattern = ("multiply", "x", _GATE)
GELU_GRADIENT: Pattern = ("multiply", "dy", ("add", _GATE, ("multiply", 2 * _SCALE, ("add", _BEND, _RISE))))


def match(node: Node, pattern: Pattern, names: dict[str, Node], inside: list[Node]) -> bool:
    """Whether a node is computed by the formula of a pattern.

    ``names`` are the operands that are known; those that are found are added, and the nodes of the formula's operations
    to ``inside``.
    """
    if isinstance(pattern, str):
        return names.setdefault(pattern, node) is node
    if isinstance(pattern, float):
        return node.name == "number" and np.float32(dict(node.attributes)["value"]) == np.float32(pattern)
    name, *operands = pattern
    if node.name != name or len(node.inputs) != len(operands):
        return False
    orders = [node.inputs, node.inputs[::-1]] if name in COMMUTATIVE else [node.inputs]
    for order in orders:
        bound, found = dict(names), [node]
        if all(match(one, part, bound, found) for one, part in zip(order, operands, strict=True)):
            names |= bound
            inside += found
            return True
    return False
