"""Class labels of any kind to what the losses take, and back."""

from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, issparse
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.multiclass import type_of_target

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
        numbers = np.searchsorted(self.classes, y).astype(np.int32)
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
