"""`to_onnx` exports a model, `network_to_onnx` a network with its parameters and the link of its loss."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from mlpcore.backends.transfer import to_host
from mlpcore.compiler.arrays import TracedArray
from mlpcore.compiler.graph import N, Shape, Untraceable
from mlpcore.compiler.trace import Tracer
from mlpcore.errors import ConfigurationError, MissingDependency
from mlpcore.files.writing import Path, replace_file
from mlpcore.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy
from mlpcore.namespace import namespace
from mlpcore.onnx.nodes import Nodes
from mlpcore.onnx.printer import OnnxPrinter
from mlpcore.trees import named_leaves, tree_map
from mlpcore.typing import Array, Layer, Loss, Params

INPUT, PREDICTION, LABEL, PROBABILITIES = "X", "prediction", "label", "probabilities"
PARTS = ("mean", "variance")  # the outputs of a loss whose prediction is a pair


def to_onnx(model: Any, path: Path | None = None, *, classes: Sequence[Any] | None = None) -> Any:
    """The `mlpcore.Model` as an ``onnx.ModelProto`` (opset 17, IR 8), also written to ``path`` where one is given.

    The input is ``X`` (n, columns) in the model's dtype, for any n. The output ``prediction`` is the result of
    ``model.predict``; a GaussianNLL has two outputs instead, ``mean`` and ``variance``. With ``classes``, the names of
    the classes, the outputs are ``label`` and ``probabilities``, see `network_to_onnx`. If the model keeps a moving
    average of its parameters, the average is exported.

    Layers compute as in inference. Predictions equal those of the model to rounding. An existing file is replaced
    completely or not at all. Errors: MissingDependency without the package onnx (extra ``onnx``), ConfigurationError
    for a user's own layer or loss with operations that ONNX lacks.
    """
    with model.backend.scope(model.dtype):
        params = tree_map(to_host, model.params)
    columns = _columns(model.net, params)
    return network_to_onnx(model.net, params, model.loss, path, columns=columns, dtype=model.dtype, classes=classes)


def network_to_onnx(
    net: Layer,
    params: Params,
    loss: Loss,
    path: Path | None = None,
    *,
    columns: int,
    dtype: str,
    classes: Sequence[Any] | None = None,
    outputs: Callable[[Array], dict[str, Array]] | None = None,
) -> Any:
    """The network with its host parameters and the link of the loss as an ``onnx.ModelProto``.

    The input is ``X`` (n, columns) in ``dtype``. The model is also written to ``path`` where one is given. ``outputs``
    is a function from the raw scores to the outputs by name; by default the link of the loss is the output. With
    ``classes`` (integers, strings, booleans or floats) the outputs are ``label`` and ``probabilities``, as of
    scikit-learn's converters:

    - as many classes as scores of a softmax: ``label`` (n,) is the most probable class, the first of equals;
    - two classes for one score of a sigmoid: ``probabilities`` (n, 2), ``label`` (n,) is the second class where its
      probability is above 1/2;
    - as many classes as scores of a sigmoid (multilabel): ``label`` (n, classes) is 1 where the probability is above
      1/2, else 0; the names themselves are not in the file.
    """
    onnx = _onnx()
    tracer = Tracer()
    x = tracer.input((N, columns), dtype)
    names = {x.node: INPUT}
    leaf_names = {id(leaf): name for name, leaf in named_leaves(params)}

    def traced(leaf: Array) -> TracedArray:
        constant = tracer.asarray(np.array(leaf, dtype=dtype, order="C"))
        names[constant.node] = leaf_names[id(leaf)]
        return constant

    params = tree_map(traced, params)
    try:
        scores = net.forward(params, x)[0]
        results = _outputs(loss, scores, classes) if outputs is None else outputs(scores)
        results = {name: tracer.asarray(array) for name, array in results.items()}
    except ConfigurationError:
        raise
    except Untraceable as error:
        raise ConfigurationError(
            f"to_onnx: the network or its loss uses {error}, which an ONNX graph cannot have"
        ) from None
    except (IndexError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"to_onnx: the network or its loss does not work on x of shape (n, {columns}): {error}"
        ) from None
    printer = OnnxPrinter(onnx, tracer, [array.node for array in results.values()], names)
    values = {name: _value(array.dtype, array.shape, printer.values[array.node]) for name, array in results.items()}
    if classes is not None and LABEL not in results:
        values = {LABEL: _most_probable(printer.nodes, values[PROBABILITIES], np.asarray(classes))} | values
    exported = printer.nodes.model("mlpcore", {INPUT: _value(x.dtype, x.shape, INPUT)[:2]}, values)
    if path is not None:
        replace_file(path, [exported.SerializeToString()])
    return exported


def _outputs(loss: Loss, scores: Array, classes: Sequence[Any] | None) -> dict[str, Array]:
    """The outputs by name, without the label of the most probable class, which `_most_probable` adds."""
    prediction = loss.predict(scores)
    if classes is not None:
        return _classified(loss, prediction, classes)
    return dict(zip(PARTS, prediction, strict=True)) if isinstance(prediction, tuple) else {PREDICTION: prediction}


def _classified(loss: Loss, probabilities: Any, classes: Sequence[Any]) -> dict[str, Array]:
    """The outputs of a classifier: probabilities, and for multilabel scores the labels."""
    names = np.asarray(classes)
    scores, sigmoid = probabilities.shape[-1], isinstance(loss, SigmoidCrossEntropy)
    if not sigmoid and not isinstance(loss, SoftmaxCrossEntropy):
        raise ConfigurationError(f"to_onnx: classes is {classes!r}, but {loss!r} predicts no classes; leave it out")
    if names.shape != (scores,) and not (sigmoid and scores == 1 and names.shape == (2,)):
        expected = f"{scores} of them{' or 2' if sigmoid and scores == 1 else ''}"
        raise ConfigurationError(f"to_onnx: classes is {classes!r}, expected {expected} for {scores} scores")
    xp = namespace(probabilities)
    if sigmoid and names.shape == (scores,):
        return {LABEL: xp.astype(probabilities > 0.5, xp.int64), PROBABILITIES: probabilities}
    if sigmoid:
        probabilities = xp.concat([1 - probabilities, probabilities], axis=-1)
    return {PROBABILITIES: probabilities}


def _most_probable(nodes: Nodes, probabilities: tuple, classes: np.ndarray) -> tuple:
    """The output ``label``. It is made of nodes, not traced, because traced arrays cannot hold strings."""
    _, shape, value = probabilities
    index = nodes.node("ArgMax", [value], axis=len(shape) - 1, keepdims=0)
    return classes.dtype, shape[:-1], nodes.node("Gather", [nodes.constant(classes, "classes"), index], axis=0)


def _value(dtype: Any, shape: Shape, name: str) -> tuple:
    """An input or output of the model: dtype, shape with the number of rows as "n", and the name of its value."""
    return dtype, ["n" if dim is N else dim for dim in shape], name


def _columns(net: Layer, params: Params) -> int:
    """The number of input columns: the first axis length of a parameter that the network accepts as one."""
    for _, leaf in named_leaves(params):
        for length in leaf.shape:
            try:
                net.output_width(length)
            except ConfigurationError:
                continue
            return length
    raise ConfigurationError(f"to_onnx: the number of input columns of {net!r} is not known; begin with a Linear layer")


def _onnx() -> Any:
    """The package onnx; MissingDependency where it cannot be imported."""
    try:
        return import_module("onnx")
    except ImportError as error:
        raise MissingDependency(
            f"the package onnx writes ONNX models and cannot be imported ({error}); pip install 'mlpcore[onnx]'"
        ) from None
