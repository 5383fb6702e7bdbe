"""Models with what they have learnt of the columns of a table, for data frames and for files."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlpcore.errors import DataError, MlpcoreError, ModelFileError
from mlpcore.files.tensors import kind_of
from mlpcore.files.writing import Path
from mlpcore.loading import load as load_model
from mlpcore.model import Model
from mlpcore.stacks import Ensemble
from mlpcore.tabular.description import Description, load_description
from mlpcore.tabular.export import table_to_onnx
from mlpcore.tabular.frames import Frame
from mlpcore.tabular.residuals import with_quantiles
from mlpcore.typing import Layer


class TableModel:
    """A model with what it has learnt of the columns. `load` makes it.

    ``model`` is the `mlpcore.Model`, or an `mlpcore.Ensemble` of several; ``columns`` says what each column of training
    was taken for and why; ``target`` is the name of the target column, "" if it has none, and ``classes`` are its
    labels, () in regression.
    """

    def __init__(self, description: Description, models: Sequence[Model]) -> None:
        self.description = description
        self.model = models[0] if len(models) == 1 else Ensemble(models)
        self._models = tuple(models)
        self.columns, self.target = description.encoder.columns, description.target.name
        self.classes = description.target.labels
        self.backend_choice = models[0].backend_choice

    def __repr__(self) -> str:
        what = [f"{len(self.classes)} classes"] * bool(self.classes) + [repr(self.target)] * bool(self.target)
        named = " of ".join(what) or "amounts"
        return f"TableModel({named} from {len(self.description.encoder.kept)} columns)"

    def predict(self, frame: Any, quantiles: Any = None) -> np.ndarray:
        """The label of every row of a data frame, or its amount in the target's units: (n,), or (n, outputs).

        ``frame`` is as for `TableEncoder.transform`: of pandas, Polars or pyarrow, or a dict of arrays, with the
        columns of training in any order. DataError names columns that are missing. ``quantiles`` are as for
        `TabularRegressor.predict`, if the model is of one.
        """
        if self.classes and quantiles is not None:
            raise DataError(f"{self!r}: classes have no quantiles; use predict_proba")
        prediction = self.outputs(frame)
        if self.classes:
            return np.asarray(self.description.target.classes()[np.argmax(prediction, axis=1)])
        if quantiles is not None:
            prediction = with_quantiles(prediction, self.description.residuals, quantiles)
        return prediction[:, 0] if prediction.shape[1] == 1 else prediction

    def predict_proba(self, frame: Any) -> np.ndarray:
        """The probabilities (n, classes), in the order of ``classes``; DataError in regression."""
        if not self.classes:
            raise DataError(f"{self!r}: amounts have no probabilities; use predict")
        return self.outputs(frame)

    def save(self, path: Path) -> None:
        """Write one safetensors file, completely or not at all, which `load` reads; no pickle.

        ConfigurationError if a layer, loss or other part is not mlpcore's own.
        """
        self.model.save(path, **self.description.save())

    def to_onnx(self, path: Path | None = None) -> Any:
        """An ``onnx.ModelProto`` that takes the columns of a table as they are, also written to ``path``.

        It has one input (n, 1) for each column that is not left out, with the name of the column:

        - numbers: double, NaN where missing; infinite numbers count as very large ones
        - dates: double, seconds since 1970 in the time zone of the training rows, NaN where missing
        - categories: string, the text of the level (``str`` of a truth value or number, whole numbers without a decimal
          point). A missing value is "", or for a column with the level "" the first of "?", "??", ... that is no level.
          Other texts count as unseen.

        The outputs are those of `predict` and `predict_proba` to rounding: ``label`` (n,) and ``probabilities``
        (n, classes), or ``prediction`` (n, outputs). Numbers are encoded in double, then rounded to the dtype of the
        model. Opset 17, ai.onnx.ml 3.

        Errors: as of `mlpcore.onnx.to_onnx`, and ConfigurationError for a column with the name of an output.
        """
        return table_to_onnx(self.description, self._models, path)

    def outputs(self, frame: Any, first: int = 0, warn: bool = True) -> np.ndarray:
        """The probabilities (n, classes), or the amounts (n, outputs) in the target's units.

        ``first`` and ``warn`` are as for `TableEncoder.transform`.
        """
        self.description.encoder.check_names(Frame(frame).names, repr(self))
        scaling = self.description.target.scaling
        prediction = self.model.predict(self.description.rows(frame, self._models[0].dtype, first, warn))
        return np.asarray(prediction if scaling is None else scaling.inverse(prediction))


def load(path: Path, backend: Any = "numpy", device: Any = None) -> TableModel:
    """The model in a file of ``mlpcore train`` or of an estimator for tables, with the encoding of its columns.

    ModelFileError for another file, or a damaged one. ``backend`` and ``device`` are as for `mlpcore.Model`.
    """
    description = load_description(str(path))
    if kind_of(path) == "ensemble":
        models = list(Ensemble.load(path, backend, device))
    else:
        models = [load_model(path, backend, device)]
    for model in models:
        _check(description, model, str(path))
    return TableModel(description, models)


def _takes(net: Layer, columns: int) -> bool:
    """Whether a network takes rows of so many columns."""
    try:
        net.output_width(columns)
    except MlpcoreError:
        return False
    return True


def _check(description: Description, model: Model, path: str) -> None:
    """ModelFileError unless the network takes the encoder's columns and gives what the target needs."""
    encoder, target = description.encoder, description.target
    largest = [[0.0] * encoder.numeric_columns + [size - 1.0 for size in encoder.category_sizes]]
    try:
        with model.backend.scope(model.dtype):
            x = description.inputs(np.array(largest, dtype=model.dtype))
            model.net.output_width(x.shape[1])
            if _takes(model.net, x.shape[1] - 1):
                raise ModelFileError("it leaves the last one out")
            scores, _ = model.net.forward(model.params, model.backend.asarray(x))
            shape = tuple(model.loss.predict(scores).shape)
    except (MlpcoreError, AttributeError, IndexError, TypeError, ValueError) as error:
        raise ModelFileError(
            f"{path}: the network does not take the columns of the table: {error}; use a copy"
        ) from None
    expected = {len(target.labels)} if target.labels else set(shape[1:])
    expected &= set(shape[1:]) if description.residuals is None else {description.residuals.shape[1]}
    expected &= set(shape[1:]) if target.scaling is None else {target.scaling.mean.size}
    if len(shape) != 2 or expected != {shape[1]}:
        raise ModelFileError(
            f"{path}: the network predicts {shape[1:]} numbers for a row, which are not those of {target}; use a copy"
        )
