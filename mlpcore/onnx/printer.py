"""Prints a traced graph as the nodes of an ONNX model, one operation after another."""

from collections.abc import Sequence

import numpy as np

from mlpcore.compiler.graph import N, Node, has_rows
from mlpcore.compiler.trace import Tracer
from mlpcore.errors import ConfigurationError
from mlpcore.onnx.nodes import Nodes
from mlpcore.onnx.operators import OPERATORS, Operation
from mlpcore.onnx.rewriting import rewritten


class OnnxPrinter:
    """Prints the graph of a tracer; ``names`` are those of the values of its inputs, and of constants that have one.

    ``values`` are the names of the values of ``outputs`` in the model.
    """

    def __init__(self, nodes: Nodes, tracer: Tracer, outputs: Sequence[Node], names: dict[Node, str]) -> None:
        self.nodes = nodes
        self.tracer, self.names = rewritten(tracer, outputs, names)
        self._values: dict[Node, str] = {}
        for node in self.tracer.graph.needed():
            self._values[node] = self._write(node)
        output_names = [self._values[node] for node in self.tracer.graph.outputs]
        self.values: dict[Node, str] = dict(zip(outputs, output_names, strict=True))

    def _write(self, node: Node) -> str:
        if node.kind == "input":
            return self.names[node]
        if (values := self._known(node)) is not None:
            return self.nodes.constant(values, self.names.get(node))
        if node.name not in OPERATORS:
            raise ConfigurationError(
                f"to_onnx: {node.label} uses {node.name} of {node.dtype}, for which ONNX has no operator; replace it"
            )
        operands = [self._values[operand] for operand in node.inputs]
        known = [self._known(operand) for operand in node.inputs]
        return OPERATORS[node.name](Operation(self.nodes, node, operands, known, self._rows))

    def _known(self, node: Node) -> np.ndarray | None:
        """The value of a constant."""
        if node.kind != "constant":
            return None
        number = dict(node.attributes).get("value")
        return np.asarray(self.tracer.data[node] if number is None else number, node.dtype)

    def _rows(self) -> str:
        """The name of an array (1,) with the number of rows, from the shape of an input."""
        source = next(node for node in self.tracer.graph.nodes if node.kind == "input" and has_rows(node.shape))
        axis = next(i for i, dim in enumerate(source.shape) if dim is N)
        shape = self.nodes.node("Shape", [self.names[source]])
        return self.nodes.node("Gather", [shape, self.nodes.constant(np.asarray([axis]))], axis=0)
