"""`to_onnx` exports a model, `network_to_onnx` a network with its parameters and the link of its loss."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mlpcore.backends.transfer import to_host
from mlpcore.compiler.arrays import TracedArray
from mlpcore.errors import ConfigurationError
from mlpcore.files.writing import Path
from mlpcore.losses import MembersLoss, SigmoidCrossEntropy, SoftmaxCrossEntropy
from mlpcore.losses.mixture import mixture
from mlpcore.namespace import namespace
from mlpcore.onnx.exporter import LABEL, PREDICTION, PROBABILITIES, Exporter, refusals
from mlpcore.trees import named_leaves, tree_map
from mlpcore.typing import Array, Layer, Loss, Params, Tree

INPUT = "X"
PARTS = ("mean", "variance")  # the outputs of a loss whose prediction is a pair


def to_onnx(
    model: Any,
    path: Path | None = None,
    *,
    classes: Sequence[Any] | None = None,
    outputs: Callable[[Tree], dict[str, Array]] | None = None,
) -> Any:
    """A `mlpcore.Model` or `mlpcore.Ensemble` as an ``onnx.ModelProto`` (opset 17, IR 8), also written to ``path``.

    The input is ``X`` (n, columns) in the model's dtype, for any n. The output ``prediction`` is the result of
    ``model.predict``; a GaussianNLL has two outputs instead, ``mean`` and ``variance``. With ``classes``, the names of
    the classes, the outputs are ``label`` and ``probabilities``, see `network_to_onnx`. ``outputs`` is a function from
    the prediction to other outputs by name. If the model keeps a moving average of its parameters, the average is
    exported.

    Layers compute as in inference. Predictions equal those of the model to rounding. An existing file is replaced
    completely or not at all. Errors: MissingDependency without the package onnx (extra ``onnx``), ConfigurationError
    for a user's own layer or loss with operations that ONNX lacks.
    """
    members = tuple(getattr(model, "models", (model,)))
    first, columns = members[0], _columns(members[0].net, members[0].params)
    exporter = Exporter()
    x = exporter.input(INPUT, columns, first.dtype)
    with refusals(columns):
        prediction = predicted(exporter, members, x)
        results = _outputs(first.loss, prediction, classes) if outputs is None else outputs(prediction)
        results = {name: exporter.tracer.asarray(array) for name, array in results.items()}
    return exporter.model(results, classes, path)


def predicted(exporter: Exporter, models: Sequence[Any], x: TracedArray) -> Tree:
    """The prediction of a `mlpcore.Model` for traced rows x (n, columns), or that of an ensemble of several."""
    params = [_host_params(model) for model in models]
    params = exporter.parameters(tuple(params) if len(params) > 1 else params[0], models[0].dtype)
    each = params if len(models) > 1 else (params,)
    predictions = [m.loss.predict(m.net.forward(own, x)[0]) for m, own in zip(models, each, strict=True)]
    return mixture(predictions) if len(models) > 1 else predictions[0]


def _host_params(model: Any) -> Params:
    with model.backend.scope(model.dtype):
        return tree_map(to_host, model.params)


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
    exporter = Exporter()
    x = exporter.input(INPUT, columns, dtype)
    params = exporter.parameters(params, dtype)
    with refusals(columns):
        scores = net.forward(params, x)[0]
        results = _outputs(loss, loss.predict(scores), classes) if outputs is None else outputs(scores)
        results = {name: exporter.tracer.asarray(array) for name, array in results.items()}
    return exporter.model(results, classes, path)


def _outputs(loss: Loss, prediction: Any, classes: Sequence[Any] | None) -> dict[str, Array]:
    """The outputs by name, without the label of the most probable class, which `_most_probable` adds."""
    if classes is not None:
        return _classified(loss, prediction, classes)
    return dict(zip(PARTS, prediction, strict=True)) if isinstance(prediction, tuple) else {PREDICTION: prediction}


def _classified(loss: Loss, probabilities: Any, classes: Sequence[Any]) -> dict[str, Array]:
    """The outputs of a classifier: probabilities, and for multilabel scores the labels."""
    names, one = np.asarray(classes), loss.loss if isinstance(loss, MembersLoss) else loss
    scores, sigmoid = probabilities.shape[-1], isinstance(one, SigmoidCrossEntropy)
    if not sigmoid and not isinstance(one, SoftmaxCrossEntropy):
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
