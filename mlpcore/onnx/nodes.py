"""Collects the nodes and constants of an ONNX model, and names their outputs."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from mlpcore.errors import ConfigurationError

# Runtimes reject versions newer than themselves; these have been supported for years.
OPSET, ML_OPSET, IR_VERSION = 17, 3, 8
LARGEST = (1 << 31) - (1 << 20)  # bytes of parameters; protobuf's limit of 2 GiB includes nodes and names


def is_name(text: str) -> bool:
    """Whether inputs and outputs can have this name, and labels be this text (or empty).

    Half of a surrogate pair cannot be encoded, and runtimes in C and NumPy's texts end at a NUL.
    """
    try:
        return bool(text.encode()) and "\0" not in text
    except UnicodeEncodeError:
        return False


class Nodes:
    """Nodes and constants, each added once; ``onnx`` is the package."""

    def __init__(self, onnx: Any) -> None:
        self.onnx = onnx
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._known: dict[Any, str] = {}
        self._counts: Counter[str] = Counter()
        self._inputs: set[str] = set()
        self._avoided: set[str] = set()

    def reserve(self, name: str) -> str:
        """The name of an input, which no node or constant added later takes."""
        self._inputs.add(name)
        self.avoid([name])
        return name

    def avoid(self, names: Iterable[str]) -> None:
        """Let no node or constant added later take the names of inputs or outputs that are still to come."""
        self._avoided.update(names)

    def node(self, operator: str, inputs: Sequence[str], label: str = "", **attributes: Any) -> str:
        """Add the node with these inputs; returns the name of its output, which is also that of the node."""
        key = (operator, *inputs, repr(attributes))
        if key not in self._known:
            self._known[key] = name = self._fresh(f"{label}/{operator}" if label else operator)
            self.nodes.append(self.onnx.helper.make_node(operator, inputs, [name], name=name, **attributes))
        return self._known[key]

    def constant(self, values: np.ndarray, name: str | None = None) -> str:
        """Add a constant; returns its name. Equal constants with the same ``name``, or without one, are added once."""
        key = (name, values.dtype.str, values.shape, values.tobytes())
        if key not in self._known:
            self._known[key] = written = self._fresh(name or "constant")
            self.constants.append(self.onnx.numpy_helper.from_array(np.asarray(values, order="C"), written))
        return self._known[key]

    def kind(self, dtype: Any) -> int:
        """ONNX's number for a NumPy dtype."""
        return self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    def model(self, title: str, inputs: dict[str, tuple], outputs: dict[str, tuple]) -> Any:
        """The checked model; ``inputs`` are (dtype, shape) by name, ``outputs`` (dtype, shape, name of the value)."""
        helper, size = self.onnx.helper, sum(len(constant.raw_data) for constant in self.constants)
        if size > LARGEST:
            raise ConfigurationError(
                f"to_onnx: the parameters hold {size:,} bytes, expected less than 2 GiB, the most that an ONNX file "
                "holds"
            )
        for name in outputs:
            if not is_name(name):
                raise ConfigurationError(
                    f"to_onnx: no output can have the name {name!r}, expected a text for C and UTF-8"
                )
        for name in self._inputs.intersection(outputs):
            raise ConfigurationError(f"to_onnx: {name!r} is the name of an input and of an output; rename the input")
        for name, (*_, value) in outputs.items():
            self.nodes.append(helper.make_node("Identity", [value], [name], name=f"to {name}"))
        input_infos, output_infos = (
            [helper.make_tensor_value_info(name, self.kind(value[0]), value[1]) for name, value in values.items()]
            for values in (inputs, outputs)
        )
        graph = helper.make_graph(self.nodes, title, input_infos, output_infos, self.constants)
        versions = {"": OPSET} | {node.domain: ML_OPSET for node in self.nodes if node.domain}
        opsets = [helper.make_opsetid(*version) for version in versions.items()]
        model = helper.make_model(graph, producer_name="mlpcore", opset_imports=opsets, ir_version=IR_VERSION)
        self.onnx.checker.check_model(model)
        return model

    def _fresh(self, name: str) -> str:
        self._counts[name] += 1
        fresh = name if self._counts[name] == 1 else f"{name}_{self._counts[name]}"
        return self._fresh(name) if fresh in self._avoided else fresh
