"""Traced graphs as ONNX models, run by onnxruntime."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from optional import optional

from mlpcore.compiler.graph import N
from mlpcore.compiler.trace import Tracer
from mlpcore.onnx.nodes import Nodes
from mlpcore.onnx.printer import OnnxPrinter

onnx = optional("onnx")
ort = optional("onnxruntime")


def run(model: Any, given: dict[str, np.ndarray], optimize: bool = True) -> dict[str, np.ndarray]:
    """The outputs of a model by their names."""
    options = ort.SessionOptions()
    options.log_severity_level = 3  # it warns of constants that nothing uses when it removes some
    options.intra_op_num_threads = 1
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip([one.name for one in session.get_outputs()], session.run(None, given), strict=True))


def printed(tracer: Tracer, inputs: Sequence[Any], outputs: Sequence[Any]) -> Any:
    """A model of traced arrays, its inputs called x0, x1, ..., its outputs y0, y1, ..."""
    names = {one.node: f"x{i}" for i, one in enumerate(inputs)}
    printer = OnnxPrinter(Nodes(onnx), tracer, [one.node for one in outputs], names)

    def end(one: Any) -> tuple:
        return one.dtype, ["n" if dim is N else dim for dim in one.shape]

    made = {f"y{i}": (*end(one), printer.values[one.node]) for i, one in enumerate(outputs)}
    return printer.nodes.model("test", {names[one.node]: end(one) for one in inputs}, made)


def call(
    function: Any, arrays: Sequence[np.ndarray], shapes: Sequence[tuple], optimize: bool = True
) -> list[np.ndarray]:
    """``function(xp, *arrays)``, a list, by onnxruntime; ``N`` in the shapes stands for the number of rows."""
    tracer = Tracer()
    inputs = [tracer.input(shape, array.dtype) for shape, array in zip(shapes, arrays, strict=True)]
    model = printed(tracer, inputs, function(tracer, *inputs))
    return list(run(model, {f"x{i}": np.asarray(array) for i, array in enumerate(arrays)}, optimize).values())
