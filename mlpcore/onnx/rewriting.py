"""Rewrites a traced graph to operations that ONNX has and onnxruntime computes correctly.

Other operations are replaced by formulas. Nodes that depend only on constants are computed here, with NumPy.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mlpcore.compiler.arrays import TracedArray
from mlpcore.compiler.graph import Node, has_rows, same_shape
from mlpcore.compiler.numpy_calls import NumpyCalls
from mlpcore.compiler.program import Program
from mlpcore.compiler.shaping import broadcast
from mlpcore.compiler.trace import COMPARISONS, LOGICAL, Tracer
from mlpcore.errors import ConfigurationError
from mlpcore.onnx import formulas

FLOATS = (
    *("expm1", "log1p", "log2", "log10", "logaddexp", "hypot", "rsqrt", "trunc", "isfinite", "signbit"),
    *("copysign", "remainder", "floor_divide", "atan2"),
)  # floating-point operations for which ONNX has no operator
FLOAT64 = ("cos", "tan", "cosh", "sinh", "asinh", "acosh", "atanh", "atan", "asin", "acos")  # no float64 kernel
# onnxruntime's operators ignore NaN.
LOSING_NAN = {"max": formulas.largest, "min": formulas.smallest, "argmax": formulas.first_largest}

WHOLE = {"remainder": formulas.whole_remainder, "floor_divide": formulas.whole_floor_divide}
# For uint64 too these can be computed in int64: the bits of the results are the same.
MODULAR = ("add", "subtract", "multiply", "square", "negative", "equal", "not_equal")
INTEGERS = (*MODULAR, *WHOLE, *COMPARISONS, "abs", "sign", "maximum", "minimum", "sum", "max", "min", "argmax")
ROUNDING = ("round", "ceil", "floor", "trunc")  # left out for integers, which they do not change

FOR_ALL = ("where", "astype", "any", "all")  # need no rewriting for any dtype


def rewritten(tracer: Tracer, outputs: Sequence[Node], names: dict[Node, str]) -> tuple[Tracer, dict[Node, str]]:
    """A new tracer with the rewritten graph, and the names of its inputs and constants.

    ``names`` are the names of inputs and constants of the given graph; a view of a constant has the constant's name.
    """
    tracer.graph.outputs = list(outputs)
    nodes = tracer.graph.needed()
    constants = _constants(nodes)
    values = _values(tracer, [node for node in _read(nodes, constants, outputs) if node in constants])
    new, rewritten_nodes, new_names = Tracer(), {}, {}
    for node in nodes:
        if node in values:
            rewritten_nodes[node] = new.asarray(values[node]).node
        elif node not in constants:
            pattern = _pattern(node)
            if pattern is None:
                rewritten_nodes[node] = _rewrite(new, node, [rewritten_nodes[operand] for operand in node.inputs])
            else:
                name, operand, words = pattern
                common = (node.shape, node.dtype, node.label)
                rewritten_nodes[node] = new.graph.add(name, node.kind, [rewritten_nodes[operand]], *common, **words)
        if node in rewritten_nodes and _origin(node) in names:
            new_names[rewritten_nodes[node]] = names[_origin(node)]
    new.graph.outputs = [rewritten_nodes[node] for node in outputs]
    return new, new_names


def _constants(nodes: Sequence[Node]) -> set[Node]:
    """The nodes that depend only on constants; broadcasts do not count, so that constants stay small."""
    constants: set[Node] = set()
    for node in nodes:
        fixed = node.kind not in ("input", "draw") and node.name not in ("rows", "broadcast_to")
        if fixed and not has_rows(node.shape) and constants.issuperset(node.inputs):
            constants.add(node)
    return constants


def _read(nodes: Sequence[Node], constants: set[Node], outputs: Sequence[Node]) -> list[Node]:
    """The nodes that are outputs or operands of nodes that are not constant, in order."""
    read = {operand for node in nodes if node not in constants for operand in node.inputs} | set(outputs)
    return [node for node in nodes if node in read]


def _values(tracer: Tracer, constants: Sequence[Node]) -> dict[Node, np.ndarray]:
    """The values of constant nodes."""
    values = {node: tracer.data[node] for node in constants if node.name == "array"}
    numbers = [node for node in constants if node.name == "number"]
    values |= {node: np.asarray(dict(node.attributes)["value"], node.dtype) for node in numbers}
    if computed := [node for node in constants if node not in values]:
        calls = NumpyCalls(Program(tracer, [tracer.wrap(node) for node in computed]), 1, {})
        calls.call()
        values |= {node: calls.output(node).copy() for node in computed}
    return values


def _origin(node: Node) -> Node:
    """The node of which this is a view; the node itself if it is none."""
    return _origin(node.inputs[0]) if node.kind == "view" else node


def _pattern(node: Node) -> tuple[str, Node, dict[str, Any]] | None:
    """The ONNX operator of a recognised pattern (ReLU, softmax, mean), its operand and attributes; else None."""
    if node.name == "maximum" and node.dtype.kind == "f":
        operands = [
            operand for operand in node.inputs if operand.name != "number" or dict(operand.attributes)["value"] != 0
        ]
        return ("relu", operands[0], {}) if len(operands) == 1 else None
    if node.name != "divide" or "sum" not in [operand.name for operand in node.inputs]:
        return None
    numerator, denominator = node.inputs
    if numerator.name == "sum" and denominator.name == "number":
        words = dict(numerator.attributes)
        dims = [numerator.inputs[0].shape[axis] for axis in words["axes"]]
        is_mean = not has_rows(dims) and 0 < math.prod(dims) == dict(denominator.attributes)["value"]
        return ("mean", numerator.inputs[0], words) if is_mean else None
    if numerator.name != "exp" or denominator.inputs != (numerator,) or numerator.inputs[0].name != "subtract":
        return None
    (scores, shift), words = numerator.inputs[0].inputs, dict(denominator.attributes)
    shifted = shift.name == "max" and shift.inputs == (scores,) and dict(shift.attributes) == words
    return ("softmax", scores, words) if shifted and len(words["axes"]) == 1 else None


def _rewrite(xp: Tracer, node: Node, inputs: list[Node]) -> Node:
    """The node with new inputs, or an equivalent in operations that ONNX has."""
    name, words = node.name, dict(node.attributes)
    if node.kind == "elementwise" and inputs:
        inputs = _unrepeated(node, inputs)
    arrays: list[Any] = [xp.wrap(operand) for operand in inputs]
    if node.kind not in ("elementwise", "reduce") or not inputs or name in FOR_ALL:
        return _same(xp, node, inputs)
    if name == "positive":
        return inputs[0]
    dtype = inputs[-1].dtype
    if name in LOGICAL or (dtype.kind == "b" and name.startswith("bitwise")):
        return _same(xp, node, [xp.astype(array, "bool").node for array in arrays])
    if dtype.kind != "f":
        return inputs[0] if name in ROUNDING else _integers(xp, node, arrays)
    if name in FLOATS or (name in FLOAT64 and dtype == np.float64):
        return getattr(formulas, name)(xp, *arrays).node
    return LOSING_NAN[name](xp, *arrays, **words).node if name in LOSING_NAN else _same(xp, node, inputs)


def _same(xp: Tracer, node: Node, inputs: Sequence[Node], dtype: Any = None) -> Node:
    words = dict(node.attributes)
    return xp.graph.add(node.name, node.kind, inputs, node.shape, dtype or node.dtype, node.label, **words)


def _integers(xp: Tracer, node: Node, arrays: list[TracedArray]) -> Node:
    """An operation on integers or bools, computed in int64, the result in the node's dtype."""
    name, dtype = node.name, arrays[-1].dtype
    if name not in INTEGERS or (dtype == np.uint64 and name not in MODULAR):
        raise ConfigurationError(
            f"to_onnx: {node.label} uses {name} of {dtype}, for which ONNX has no operator; replace it"
        )
    wide = [xp.astype(array, "int64") for array in arrays]
    if name in WHOLE:
        result = WHOLE[name](xp, *wide)
    else:
        kind = "bool" if name in COMPARISONS else "int64"
        result = xp.wrap(_same(xp, node, [array.node for array in wide], kind))
    return xp.astype(result, node.dtype).node


def _unrepeated(node: Node, inputs: list[Node]) -> list[Node]:
    """The operands; a broadcast one is replaced by its source if the operation broadcasts to the same shape."""
    for i, operand in enumerate(inputs):
        if operand.name == "broadcast_to":
            unrepeated = [*inputs[:i], operand.inputs[0], *inputs[i + 1 :]]
            if same_shape(broadcast([other.shape for other in unrepeated]), node.shape):
                inputs = unrepeated
    return inputs
