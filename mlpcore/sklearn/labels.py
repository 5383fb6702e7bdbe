"""Class labels of any kind to what the losses take, and back.

Labels are the same where Python says so: 1, 1.0 and True are one class, 1 and "1" are two.
"""

from numbers import Real
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, issparse
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.multiclass import type_of_target

from mlpcore.errors import DataError
from mlpcore.training.frames import refuse_missing

LINKS = {"binary": "logistic", "multilabel-indicator": "logistic", "multiclass": "softmax"}


class Labels:
    """The classes of a classifier, sorted, and the kind of target: "binary", "multiclass" or "multilabel-indicator".

    One class alone counts as binary, all of whose rows are "no"; as scikit-learn has it.
    """

    def __init__(self, y: Any) -> None:
        found = LabelBinarizer().fit(y)  # its errors are those that scikit-learn's users know
        self.classes: np.ndarray = found.classes_
        self.sparse = found.sparse_input_
        kind = found.y_type_
        self.kind = "binary" if kind == "multiclass" and len(self.classes) <= 2 else kind

    @classmethod
    def listed(cls, classes: Any, y: Any) -> "Labels":
        """Those of a first ``partial_fit``, whose y need not have all classes; if y is multilabel, its columns."""
        if type_of_target(y, input_name="y").startswith("multilabel"):
            return cls(y)
        return cls(classes)

    @classmethod
    def known(cls, classes: np.ndarray, kind: str, sparse: bool) -> "Labels":
        """Those that another fit has found; ``kind`` as `type_of_target` calls it."""
        made = cls.__new__(cls)
        made.classes, made.kind, made.sparse = classes, kind, sparse
        return made

    def unknown(self, labels: np.ndarray) -> list[Any]:
        """Those of some distinct labels that are no classes."""
        known = set(distinct(self.classes))
        return [label for label in distinct(labels) if label not in known]

    @property
    def outputs(self) -> int:
        """The columns of scores."""
        return 1 if self.kind == "binary" else len(self.classes)

    @property
    def link(self) -> str:
        """What turns scores into probabilities, in scikit-learn's words."""
        return LINKS[self.kind]

    def encode(self, y: Any) -> np.ndarray:
        """int32 class numbers (n,) under softmax, else 0 and 1 (n, outputs). Every label of y is a class."""
        if self.kind == "multilabel-indicator":
            dense = y.toarray() if issparse(y) else np.asarray(y)
            return (dense != 0).astype(np.int8)
        place = {label: number for number, label in enumerate(distinct(self.classes))}
        found, where = np.unique(y, return_inverse=True)
        numbers = np.array([place[label] for label in distinct(found)], dtype=np.int32)[where.reshape(-1)]
        if self.kind == "multiclass":
            return numbers
        return (numbers > 0).astype(np.int8)[:, None]

    def decode(self, probabilities: np.ndarray) -> Any:
        """The labels of host probabilities (n, outputs): the most probable class, or what is above one half.

        Several labels a row come as they were given, dense or CSR.
        """
        if self.kind == "multiclass":
            return self.classes[np.argmax(probabilities, axis=1)]
        above = probabilities > 0.5
        if self.kind == "multilabel-indicator":
            return csr_matrix(above.astype(int)) if self.sparse else above.astype(int)
        return self.classes[above[:, 0].astype(int) if len(self.classes) > 1 else np.zeros(len(above), int)]


def distinct(labels: np.ndarray) -> list[Any]:
    """Distinct labels as Python compares them, exactly and whatever their dtype."""
    return list(labels) if labels.dtype.kind in "mM" else labels.tolist()


def of_one_type(name: str, labels: Any) -> Any:
    """Host labels as an array of one type without gaps, or a sparse table as it is.

    Objects become texts, integers, booleans or floats. A DataError names the row of a label that is missing, and labels
    that are of several types or of none of these; what is no array at all is left to scikit-learn.
    """
    if issparse(labels):
        return labels
    if isinstance(labels, np.ma.MaskedArray) and np.ma.is_masked(labels):
        raise DataError(f"{name} has masked labels, which would count as others do; drop the rows without a label")
    try:
        made = np.asarray(labels)
        if isinstance(labels, (list, tuple)) and made.dtype.kind not in "biu":
            made = np.asarray(labels, dtype=object)  # for NumPy makes texts of numbers beside texts
    except ValueError:  # no rectangle
        return labels
    if made.dtype.kind in "STV":  # bytes, texts of no fixed width, records
        made = made.astype(object)
    refuse_missing(name, made)
    return _typed(name, made) if made.dtype == object and made.ndim else made


def _typed(name: str, labels: np.ndarray) -> np.ndarray:
    """Objects as an array of their own type."""
    kinds = set(map(type, labels.flat))
    if all(issubclass(kind, str) for kind in kinds):
        return labels
    said = ", ".join(sorted(kind.__name__ for kind in kinds))
    if not all(issubclass(kind, (Real, np.bool_)) and not issubclass(kind, np.timedelta64) for kind in kinds):
        raise DataError(
            f"Unknown label type: {name} has labels of type {said}, expected texts, integers or booleans, all of one "
            "kind; astype(str) makes them texts"
        )
    made = np.array(labels.tolist())
    if made.dtype == object or made.tolist() != labels.tolist():
        raise DataError(f"{name} has numbers as labels that no dtype of NumPy can hold; astype(str) makes them texts")
    return made
