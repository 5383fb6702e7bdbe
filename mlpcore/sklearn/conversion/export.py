"""Exports fitted estimators as ONNX models."""

from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from mlpcore.files.writing import Path
from mlpcore.losses import GaussianNLL, Quantile
from mlpcore.onnx import network_to_onnx
from mlpcore.sklearn.conversion.shared import copies
from mlpcore.sklearn.points import expected
from mlpcore.sklearn.predictor import on_host, tree_from
from mlpcore.typing import Array, Loss


def to_onnx(estimator: Any, path: Path | None = None) -> Any:
    """The fitted estimator as an ``onnx.ModelProto`` (opset 17, IR 8), also written to ``path`` where one is given.

    Input ``X`` (n, n_features_in_) in the dtype of the parameters. A classifier's outputs are ``label`` and
    ``probabilities``, as of scikit-learn's converters. A regressor's output is ``variable`` (n, outputs), the result of
    `predict`; the loss "gaussian" adds ``variance``, a quantile loss ``quantiles``. Needs the extra ``onnx``
    (MissingDependency).
    """
    check_is_fitted(estimator)
    predictor = estimator._predictor
    classes: Any = None
    if is_classifier(estimator):
        labels = estimator._labels
        classes = np.repeat(labels.classes, 2) if labels.classes.shape == (1,) else labels.classes
    coefs, intercepts = copies(estimator.coefs_), copies(estimator.intercepts_)
    return network_to_onnx(
        predictor.net,
        tree_from(predictor.net, coefs, intercepts, on_host(tuple(predictor.others))),
        predictor.loss,
        path,
        columns=estimator.n_features_in_,
        dtype=predictor.dtype,
        classes=classes,
        outputs=None if classes is not None else lambda z: _regressed(predictor.loss, z),
    )


def _regressed(loss: Loss, z: Array) -> dict[str, Array]:
    """The outputs of a regressor by name."""
    outputs = {"variable": expected(loss, z)}
    if isinstance(loss, GaussianNLL):
        outputs["variance"] = loss.predict(z)[1]
    if isinstance(loss, Quantile):
        outputs["quantiles"] = loss.predict(z)
    return outputs
