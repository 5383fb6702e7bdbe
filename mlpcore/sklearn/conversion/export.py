"""Exports fitted estimators as ONNX models."""

from functools import partial
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from mlpcore.files.writing import Path
from mlpcore.losses import GaussianNLL, Quantile
from mlpcore.losses.standardized import original
from mlpcore.onnx import network_to_onnx
from mlpcore.onnx import to_onnx as model_to_onnx
from mlpcore.sklearn.conversion.shared import copies
from mlpcore.sklearn.points import point
from mlpcore.sklearn.predictor import on_host, tree_from
from mlpcore.typing import Array, Loss, Tree


def to_onnx(estimator: Any, path: Path | None = None) -> Any:
    """The fitted estimator as an ``onnx.ModelProto`` (opset 17, IR 8), also written to ``path`` where one is given.

    Input ``X`` (n, n_features_in_) in the dtype of the parameters. A classifier's outputs are ``label`` and
    ``probabilities``, as of scikit-learn's converters. A regressor's output is ``variable`` (n, outputs), the result of
    `predict`; the loss "gaussian" adds ``variance``, a quantile loss ``quantiles``. An ensemble is exported whole, with
    the mean of its members' predictions, for "gaussian" the mixture. Needs the extra ``onnx`` (MissingDependency).
    """
    check_is_fitted(estimator)
    predictor = estimator._predictor
    classes: Any = None
    if is_classifier(estimator):
        labels = estimator._labels
        classes = np.repeat(labels.classes, 2) if labels.classes.shape == (1,) else labels.classes
    outputs = None if classes is not None else partial(_regressed, predictor.loss)
    if "estimators_" in vars(estimator):
        return model_to_onnx(estimator.to_model(), path, classes=classes, outputs=outputs)
    coefs, intercepts = copies(estimator.coefs_), copies(estimator.intercepts_)
    return network_to_onnx(
        predictor.net,
        tree_from(predictor.net, coefs, intercepts, on_host(tuple(predictor.others))),
        predictor.loss,
        path,
        columns=estimator.n_features_in_,
        dtype=predictor.dtype,
        classes=classes,
        outputs=None if outputs is None else lambda z: outputs(predictor.loss.predict(z)),
    )


def _regressed(loss: Loss, prediction: Tree) -> dict[str, Array]:
    """The outputs of a regressor by name, from the prediction of its loss."""
    outputs = {"variable": point(loss, prediction)}
    if isinstance(original(loss), GaussianNLL):
        outputs["variance"] = prediction[1]
    if isinstance(original(loss), Quantile):
        outputs["quantiles"] = prediction
    return outputs
