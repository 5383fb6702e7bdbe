"""An ONNX graph as it grows: nodes, constants, and the names of what flows between them."""

from collections import Counter
from typing import Any

import numpy as np

from mlpcore.errors import ConfigurationError

OPSET, IR_VERSION = 17, 8  # runtimes refuse versions newer than themselves; these are known to all of the last years
LARGEST = (1 << 31) - (1 << 20)  # bytes: protobuf ends at 2 GiB, nodes and names included


class Graph:
    """The nodes written down so far, and the constants they use; ``onnx`` is the package that makes both.

    ``names`` tells by their identity which arrays keep a name in the file: the parameters, also when reshaped.
    """

    def __init__(self, onnx: Any, names: dict[int, str]) -> None:
        self.onnx, self.names = onnx, names
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._known: dict[Any, str] = {}
        self._kept: list[np.ndarray] = []  # so that no identity is given out twice
        self._counts: Counter[str] = Counter()

    def node(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        """A node; the name of its (first) output is returned, and so is the node's own."""
        name = self._fresh(operator)
        outputs = [name, f"{name} places"] if operator == "TopK" else [name]
        self.nodes.append(self.onnx.helper.make_node(operator, inputs, outputs, name=name, **attributes))
        return name

    def constant(self, values: np.ndarray) -> str:
        """The name of the constant with these values; numbers that are equal are stored once."""
        key = (values.dtype.str, values.shape, values.tobytes()) if values.ndim == 0 else id(values)
        if key not in self._known:
            known = self.names.get(id(values)) or self.names.get(id(values.base)) or "constant"
            self._known[key] = name = self._fresh(known)
            self._kept.append(values)
            self.constants.append(self.onnx.numpy_helper.from_array(np.asarray(values, order="C"), name))
        return self._known[key]

    def kind(self, dtype: Any) -> int:
        """ONNX's number for a NumPy dtype."""
        return self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    def finish(self, title: str, inputs: dict[str, tuple], outputs: dict[str, tuple]) -> Any:
        """The checked model; ``inputs`` maps names to (dtype, shape), ``outputs`` to these and a name in the graph."""
        helper, size = self.onnx.helper, sum(len(one.raw_data) for one in self.constants)
        if size > LARGEST:
            raise ConfigurationError(f"to_onnx: the parameters hold {size:,} bytes, more than an ONNX file can")
        for name, (*_, value) in outputs.items():
            self.nodes.append(helper.make_node("Identity", [value], [name], name=f"to {name}"))
        given, found = (
            [helper.make_tensor_value_info(name, self.kind(end[0]), end[1]) for name, end in ends.items()]
            for ends in (inputs, outputs)
        )
        graph = helper.make_graph(self.nodes, title, given, found, self.constants)
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(graph, producer_name="mlpcore", opset_imports=[opset], ir_version=IR_VERSION)
        self.onnx.checker.check_model(model)
        return model

    def _fresh(self, name: str) -> str:
        self._counts[name] += 1
        return name if self._counts[name] == 1 else f"{name}_{self._counts[name]}"
