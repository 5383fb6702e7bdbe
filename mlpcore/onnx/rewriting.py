"""A traced graph in the operations that ONNX has, as onnxruntime computes them: formulas in the place of others.

What depends on constants alone is computed here, with NumPy.
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
)  # no operator
FLOAT64 = ("cos", "tan", "cosh", "sinh", "asinh", "acosh", "atanh", "atan", "asin", "acos")  # no kernel for these
LOSING_NAN = {"max": formulas.largest, "min": formulas.smallest, "argmax": formulas.first_largest}

WHOLE = {"remainder": formulas.whole_remainder, "floor_divide": formulas.whole_floor_divide}
MODULAR = ("add", "subtract", "multiply", "square", "negative", "equal", "not_equal")  # right in int64 for uint64 too
INTEGERS = (*MODULAR, *WHOLE, *COMPARISONS, "abs", "sign", "maximum", "minimum", "sum", "max", "min", "argmax")
UNCHANGED = ("round", "ceil", "floor", "trunc")  # whole numbers

FOR_ALL = ("where", "astype", "any", "all")  # dtypes


def rewritten(tracer: Tracer, outputs: Sequence[Node], names: dict[Node, str]) -> tuple[Tracer, dict[Node, str]]:
    """A tracer whose graph has these outputs, and the names of its inputs and constants.

    ``names`` are those of inputs and constants of the given graph; a view of a constant keeps its name.
    """
    tracer.graph.outputs = list(outputs)
    nodes = tracer.graph.needed()
    constants = _constants(nodes)
    values = _values(tracer, [node for node in _read(nodes, constants, outputs) if node in constants])
    new, made, known = Tracer(), {}, {}
    for node in nodes:
        if node in values:
            made[node] = new.asarray(values[node]).node
        elif node not in constants:
            pattern = _pattern(node)
            if pattern is None:
                made[node] = _rewrite(new, node, [made[one] for one in node.inputs])
            else:
                name, operand, words = pattern
                of_all = (node.shape, node.dtype, node.label)
                made[node] = new.graph.add(name, node.kind, [made[operand]], *of_all, **words)
        if node in made and _origin(node) in names:
            known[made[node]] = names[_origin(node)]
    new.graph.outputs = [made[node] for node in outputs]
    return new, known


def _constants(nodes: Sequence[Node]) -> set[Node]:
    """The nodes that depend on constants alone; a small array that is repeated stays small."""
    found: set[Node] = set()
    for node in nodes:
        fixed = node.kind not in ("input", "draw") and node.name not in ("rows", "broadcast_to")
        if fixed and not has_rows(node.shape) and found.issuperset(node.inputs):
            found.add(node)
    return found


def _read(nodes: Sequence[Node], constants: set[Node], outputs: Sequence[Node]) -> list[Node]:
    """What is an output, or an operand of what is no constant, in order."""
    read = {one for node in nodes if node not in constants for one in node.inputs} | set(outputs)
    return [node for node in nodes if node in read]


def _values(tracer: Tracer, constants: Sequence[Node]) -> dict[Node, np.ndarray]:
    """The arrays that constants are."""
    values = {node: tracer.data[node] for node in constants if node.name == "array"}
    numbers = [node for node in constants if node.name == "number"]
    values |= {node: np.asarray(dict(node.attributes)["value"], node.dtype) for node in numbers}
    if computed := [node for node in constants if node not in values]:
        calls = NumpyCalls(Program(tracer, [tracer.wrap(node) for node in computed]), 1, {})
        calls.call()
        values |= {node: calls.output(node).copy() for node in computed}
    return values


def _origin(node: Node) -> Node:
    """The node whose entries a view shows."""
    return _origin(node.inputs[0]) if node.kind == "view" else node


def _pattern(node: Node) -> tuple[str, Node, dict[str, Any]] | None:
    """The operator of ONNX that readers of a graph look for, its operand and attributes: a ReLU, softmax or mean."""
    if node.name == "maximum" and node.dtype.kind == "f":
        others = [one for one in node.inputs if one.name != "number" or dict(one.attributes)["value"] != 0]
        return ("relu", others[0], {}) if len(others) == 1 else None
    if node.name != "divide" or "sum" not in [one.name for one in node.inputs]:
        return None
    above, below = node.inputs
    if above.name == "sum" and below.name == "number":
        words = dict(above.attributes)
        dims = [above.inputs[0].shape[axis] for axis in words["axes"]]
        known = not has_rows(dims) and 0 < math.prod(dims) == dict(below.attributes)["value"]
        return ("mean", above.inputs[0], words) if known else None
    if above.name != "exp" or below.inputs != (above,) or above.inputs[0].name != "subtract":
        return None
    (scores, shift), words = above.inputs[0].inputs, dict(below.attributes)
    shifted = shift.name == "max" and shift.inputs == (scores,) and dict(shift.attributes) == words
    return ("softmax", scores, words) if shifted and len(words["axes"]) == 1 else None


def _rewrite(xp: Tracer, node: Node, inputs: list[Node]) -> Node:
    """The node on these inputs, or what computes the same."""
    name, words = node.name, dict(node.attributes)
    if node.kind == "elementwise" and inputs:
        inputs = _unrepeated(node, inputs)
    arrays: list[Any] = [xp.wrap(one) for one in inputs]
    if node.kind not in ("elementwise", "reduce") or not inputs or name in FOR_ALL:
        return _same(xp, node, inputs)
    if name == "positive":
        return inputs[0]
    dtype = inputs[-1].dtype
    if name in LOGICAL or (dtype.kind == "b" and name.startswith("bitwise")):
        return _same(xp, node, [xp.astype(one, "bool").node for one in arrays])
    if dtype.kind != "f":
        return inputs[0] if name in UNCHANGED else _integers(xp, node, arrays)
    if name in FLOATS or (name in FLOAT64 and dtype == np.float64):
        return getattr(formulas, name)(xp, *arrays).node
    return LOSING_NAN[name](xp, *arrays, **words).node if name in LOSING_NAN else _same(xp, node, inputs)


def _same(xp: Tracer, node: Node, inputs: Sequence[Node], dtype: Any = None) -> Node:
    words = dict(node.attributes)
    return xp.graph.add(node.name, node.kind, inputs, node.shape, dtype or node.dtype, node.label, **words)


def _integers(xp: Tracer, node: Node, arrays: list[TracedArray]) -> Node:
    """An operation on whole numbers or truths: int64's, the result in the dtype that it has."""
    name, dtype = node.name, arrays[-1].dtype
    if name not in INTEGERS or (dtype == np.uint64 and name not in MODULAR):
        raise ConfigurationError(f"to_onnx: {node.label} uses {name} of {dtype}, for which ONNX has no operator")
    wide = [xp.astype(one, "int64") for one in arrays]
    if name in WHOLE:
        made = WHOLE[name](xp, *wide)
    else:
        kind = "bool" if name in COMPARISONS else "int64"
        made = xp.wrap(_same(xp, node, [one.node for one in wide], kind))
    return xp.astype(made, node.dtype).node


def _unrepeated(node: Node, inputs: list[Node]) -> list[Node]:
    """The operands, small arrays in the place of repeated ones where the others make the result as large as it is."""
    for i, one in enumerate(inputs):
        if one.name == "broadcast_to":
            others = [*inputs[:i], one.inputs[0], *inputs[i + 1 :]]
            if same_shape(broadcast([other.shape for other in others]), node.shape):
                inputs = others
    return inputs
