"""Encodes class labels of any kind for the losses, and decodes predictions.

Labels are compared as Python compares them: 1, 1.0 and True are one class, 1 and "1" are two.
"""

from numbers import Real
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, issparse
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.multiclass import type_of_target, unique_labels

from mlpcore.errors import DataError
from mlpcore.training.frames import refuse_missing

LINKS = {"binary": "logistic", "multilabel-indicator": "logistic", "multiclass": "softmax"}


class Labels:
    """The classes of a classifier, sorted, and the kind of target: "binary", "multiclass" or "multilabel-indicator".

    A single class counts as binary, with all rows negative, as in scikit-learn.
    """

    def __init__(self, y: Any) -> None:
        binarizer = LabelBinarizer().fit(y)  # raises scikit-learn's usual errors
        self.classes: np.ndarray = binarizer.classes_
        self.sparse = binarizer.sparse_input_
        kind = binarizer.y_type_
        self.kind = "binary" if kind == "multiclass" and len(self.classes) <= 2 else kind

    @classmethod
    def listed(cls, classes: Any, y: Any) -> "Labels":
        """The labels of a first ``partial_fit``, from its ``classes``; for multilabel y, from the columns of y."""
        if type_of_target(y, input_name="y").startswith("multilabel"):
            return cls(y)
        return cls(classes)

    @classmethod
    def known(cls, classes: np.ndarray, kind: str, sparse: bool) -> "Labels":
        """The labels of another fit; ``kind`` is a name of `type_of_target`."""
        labels = cls.__new__(cls)
        labels.classes, labels.kind, labels.sparse = classes, kind, sparse
        return labels

    def unknown(self, labels: np.ndarray) -> list[Any]:
        """The distinct labels among ``labels`` that are not classes."""
        known_classes = set(distinct(self.classes))
        return [label for label in distinct(labels) if label not in known_classes]

    def refuse_others(self, y: Any, *, complete: bool) -> None:
        """ValueError where y has other classes or another kind of target, with ``complete`` also if it lacks some."""
        several = self.kind == "multilabel-indicator"
        if several != (y.ndim == 2):
            expected = "a column for every label" if several else "one label a row"
            raise ValueError(f"`y` has shape {y.shape}, expected {expected} as in the previous fit")
        classes = unique_labels(y)
        unknown = self.unknown(classes)
        if complete and (unknown or len(classes) != len(self.classes)):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. Previously "
                f"got {self.classes}, `y` has {classes}"
            )
        if unknown:
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes}. 'y' has {classes}. "
                "Pass all classes to the first partial_fit."
            )

    @property
    def outputs(self) -> int:
        """The number of score columns."""
        return 1 if self.kind == "binary" else len(self.classes)

    @property
    def link(self) -> str:
        """The link from scores to probabilities, by scikit-learn's name."""
        return LINKS[self.kind]

    def encode(self, y: Any) -> np.ndarray:
        """y encoded for the loss: int32 class numbers (n,) if multiclass, else int8 zeros and ones (n, outputs).

        Every label of y must be a class.
        """
        if self.kind == "multilabel-indicator":
            dense = y.toarray() if issparse(y) else np.asarray(y)
            return (dense != 0).astype(np.int8)
        class_numbers = {label: number for number, label in enumerate(distinct(self.classes))}
        values, positions = np.unique(y, return_inverse=True)
        numbers = np.array([class_numbers[label] for label in distinct(values)], dtype=np.int32)[positions.reshape(-1)]
        if self.kind == "multiclass":
            return numbers
        return (numbers > 0).astype(np.int8)[:, None]

    def decode(self, probabilities: np.ndarray) -> Any:
        """The labels of host probabilities (n, outputs): the most probable class, or those above one half.

        Multilabel results are dense or CSR, as the target of the fit was.
        """
        if self.kind == "multiclass":
            return self.classes[np.argmax(probabilities, axis=1)]
        above = probabilities > 0.5
        if self.kind == "multilabel-indicator":
            return csr_matrix(above.astype(int)) if self.sparse else above.astype(int)
        return self.classes[above[:, 0].astype(int) if len(self.classes) > 1 else np.zeros(len(above), int)]


def distinct(labels: np.ndarray) -> list[Any]:
    """The entries as Python objects, which compare exactly whatever the dtype; dates stay scalars of NumPy."""
    return list(labels) if labels.dtype.kind in "mM" else labels.tolist()


def of_one_type(name: str, labels: Any) -> Any:
    """Host labels as an array of one type without missing labels; a sparse table unchanged.

    Arrays of objects become arrays of strings, integers, booleans or floats. DataError for a missing label, with its
    row, for labels of several types, and for labels of any other type. What is not an array is returned unchanged, for
    scikit-learn's checks.
    """
    if issparse(labels):
        return labels
    if isinstance(labels, np.ma.MaskedArray) and np.ma.is_masked(labels):
        raise DataError(f"{name} has masked labels, which would count as others do; drop the rows without a label")
    try:
        array = np.asarray(labels)
        if isinstance(labels, (list, tuple)) and array.dtype.kind not in "biu":
            array = np.asarray(labels, dtype=object)  # else NumPy converts numbers beside strings to strings
    except ValueError:  # nested lists of different lengths
        return labels
    if array.dtype.kind in "STV":  # bytes, strings of variable width, records
        array = array.astype(object)
    refuse_missing(name, array)
    return _typed(name, array) if array.dtype == object and array.ndim else array


def _typed(name: str, labels: np.ndarray) -> np.ndarray:
    """An object array of labels as an array of their own dtype."""
    kinds = set(map(type, labels.flat))
    if all(issubclass(kind, str) for kind in kinds):
        return labels
    type_names = ", ".join(sorted(kind.__name__ for kind in kinds))
    if not all(issubclass(kind, (Real, np.bool_)) and not issubclass(kind, np.timedelta64) for kind in kinds):
        raise DataError(
            f"Unknown label type: {name} has labels of type {type_names}, expected strings, integers or booleans, "
            "all of one type; astype(str) makes them strings"
        )
    array = np.array(labels.tolist())
    if array.dtype == object or array.tolist() != labels.tolist():
        raise DataError(f"{name} has numbers as labels that no dtype of NumPy can hold; use astype(str)")
    return array
