"""class_weight of a classifier: its check, and the weight of every row by its class."""

import warnings
from numbers import Real
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import compute_sample_weight

from mlpcore.errors import MlpcoreWarning
from mlpcore.sklearn.labels import Labels, distinct
from mlpcore.training.frames import listed as shown


def class_factors(class_weight: Any, y: Any, labels: Labels, training: Any) -> np.ndarray:
    """A weight for every row of y by its class, 1 for a class that is not named.

    ``class_weight`` is a dict; for multilabel targets a list of dicts, one for every column; or "balanced", computed
    from the ``training`` rows.
    """
    if not isinstance(class_weight, str):
        several = labels.kind == "multilabel-indicator"
        columns = _columns(y) if several else [y]
        weights = class_weight if several else [class_weight]
        return np.prod([_by_class(*pair) for pair in zip(weights, columns, strict=True)], axis=0)
    if y is training:
        return compute_sample_weight(class_weight, y)
    tables = [table.toarray() if issparse(table) else table for table in (training, y)]
    training_indices = np.arange(training.shape[0])
    return compute_sample_weight(class_weight, np.concatenate(tables), indices=training_indices)[
        training_indices.size :
    ]


def check_class_weight(class_weight: Any, labels: Labels, listed: bool) -> None:
    """A ValueError where ``class_weight`` does not fit the classes.

    A key may be a class without rows. A key that is no class is an error if all classes are known (``listed``), or if
    it is a string and the classes are not, or the reverse. Otherwise it causes a warning if some class has no weight,
    because the key may be a misspelt class.
    """
    if isinstance(class_weight, str):
        return
    several = labels.kind == "multilabel-indicator"
    if several and (isinstance(class_weight, dict) or len(class_weight) != len(labels.classes)):
        raise ValueError(f"class_weight is {class_weight!r}, expected a list of {len(labels.classes)} dicts")
    if not several and not isinstance(class_weight, dict):
        raise ValueError(f"class_weight is {class_weight!r}, expected a dict of label to weight, or 'balanced'")
    for weights in class_weight if several else [class_weight]:
        for label, weight in weights.items():
            if isinstance(weight, bool) or not isinstance(weight, Real) or not 0 <= float(weight) < np.inf:
                raise ValueError(f"class_weight of {label!r} is {weight!r}, expected a finite number of 0 or more")
        classes = [0, 1] if several else distinct(labels.classes)
        known_classes = set(classes)
        unknown = [label for label in weights if label not in known_classes]
        if not unknown:
            continue
        names, unweighted = shown([*map(repr, unknown)]), [label for label in classes if label not in weights]
        if listed or several or any(isinstance(label, str) != isinstance(classes[0], str) for label in unknown):
            raise ValueError(f"class_weight names {names}, which is no class, expected {shown([*map(repr, classes)])}")
        if unweighted:
            rest = shown([*map(repr, unweighted)])
            warnings.warn(
                f"class_weight names {names}, which no row of y has, and leaves {rest} at weight 1",
                MlpcoreWarning,
                stacklevel=2,
            )


def _columns(y: Any) -> list[np.ndarray]:
    """The columns of a multilabel target as zeros and ones."""
    return list((y.toarray() if issparse(y) else np.asarray(y)).astype(bool).astype(int).T)


def _by_class(class_weight: dict, y: np.ndarray) -> np.ndarray:
    """The weight of every row by its class, (n,)."""
    values, positions = np.unique(y, return_inverse=True)
    return np.array([float(class_weight.get(label, 1.0)) for label in distinct(values)])[positions.reshape(-1)]
