"""Models that ``mlpcore train`` wrote, for data frames."""

from typing import Any

import numpy as np

from mlpcore.errors import DataError
from mlpcore.files.writing import Path
from mlpcore.loading import load as load_model
from mlpcore.tabular.description import load_description
from mlpcore.tabular.frames import Frame


class TableModel:
    """A model with what it has learnt of the columns. `load` makes it.

    ``model`` is the `mlpcore.Model`; ``columns`` says what each column of training was taken for and why; ``target`` is
    the name of the target column, and ``classes`` are its labels, () in regression.
    """

    def __init__(self, path: Path, backend: Any = "numpy", device: Any = None) -> None:
        self._description = load_description(str(path))
        self.model = load_model(path, backend, device)
        self.columns, self.target = self._description.encoder.columns, self._description.target.name
        self.classes = self._description.target.labels

    def __repr__(self) -> str:
        what = f"{len(self.classes)} classes of {self.target!r}" if self.classes else repr(self.target)
        return f"TableModel({what} from {len(self._description.encoder.kept)} columns)"

    def predict(self, frame: Any) -> np.ndarray:
        """The label of every row of a data frame, or its amount in the target's units: (n,).

        ``frame`` is as for `TableEncoder.transform`: of pandas, Polars or pyarrow, or a dict of arrays, with the
        columns of training in any order. DataError names columns that are missing.
        """
        prediction = self._prediction(frame)
        if self.classes:
            labels = np.empty(len(self.classes), dtype=object)
            labels[:] = self.classes
            chosen: np.ndarray = labels[np.argmax(prediction, axis=1)]
            return chosen
        scaling = self._description.target.scaling
        assert scaling is not None, "set in training"
        return np.asarray(scaling.inverse(prediction))[:, 0]

    def predict_proba(self, frame: Any) -> np.ndarray:
        """The probabilities (n, classes), in the order of ``classes``; DataError in regression."""
        if not self.classes:
            raise DataError(f"{self!r}: amounts have no probabilities; use predict")
        return self._prediction(frame)

    def _prediction(self, frame: Any) -> np.ndarray:
        names = Frame(frame).names
        self._description.encoder.check_names(names, repr(self))
        return np.asarray(self.model.predict(self._description.rows(frame, self.model.dtype)))


def load(path: Path, backend: Any = "numpy", device: Any = None) -> TableModel:
    """The model in a file that ``mlpcore train`` wrote, with the encoding of its columns.

    ModelFileError for another file, or a damaged one. ``backend`` and ``device`` are as for `mlpcore.Model`.
    """
    return TableModel(path, backend, device)
