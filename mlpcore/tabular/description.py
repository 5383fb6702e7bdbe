"""What a model file says of its table: the encoding of the columns and the target, chosen in training."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlpcore.errors import DataError, MlpcoreError, ModelFileError
from mlpcore.files import read_extra
from mlpcore.preprocessing import Standardize
from mlpcore.tables import Table
from mlpcore.tabular.cells import Notation
from mlpcore.tabular.columns import LEFT_OUT, NUMERIC, Column
from mlpcore.tabular.encoder import TableEncoder
from mlpcore.tabular.numeric import NumericEncoder, standard
from mlpcore.tabular.one_hot import one_hot
from mlpcore.tabular.residuals import check_residuals
from mlpcore.tabular.stored import check_field, check_list
from mlpcore.tabular.target import Target
from mlpcore.typing import Array


@dataclass(frozen=True)
class Description:
    """The fitted encoder of the columns, and the target.

    ``named`` says whether columns are matched by name; ``notations`` are those of the columns of a text file, which are
    preferred in later files, as "1,234" alone could be two numbers. ``one_hot`` says that the network takes levels of
    categories as columns of 0 and 1, as the first ones for tables did. ``residuals`` (m, outputs) are those of held-out
    rows, for quantiles.
    """

    encoder: TableEncoder
    target: Target
    named: bool = True
    notations: Mapping[str, Notation] = field(default_factory=dict)
    one_hot: bool = False
    residuals: np.ndarray | None = field(default=None, compare=False)

    def matched(self, table: Table) -> Table:
        """The table with the columns of training: matched by name, or by position where a side has no names."""
        if not (self.named and table.named):
            features = [name for name in table.names if name != self.target.name]
            expected = [column.name for column in self.encoder.columns]
            if len(features) != len(expected):
                raise DataError(f"{table.source}: {len(features)} columns, expected {len(expected)} like the model")
            table = table.renamed(dict(zip(features, expected, strict=True)))
        self.encoder.check_names(table.names, table.source)
        kinds = {column.name: column.kind for column in self.encoder.columns if column.kind != LEFT_OUT}
        return table.read_as(kinds, self.notations)

    def rows(self, frame: Any, dtype: str, first: int = 0, warn: bool = True) -> np.ndarray:
        """The rows of a frame as the network's input."""
        return self.inputs(self.encoder.transform(frame, dtype, first, warn))

    def inputs(self, x: Array) -> Array:
        """The network's input for rows x (n, c) of the encoder: plain Array API code, which ONNX models have too."""
        return one_hot(x, self.encoder.category_sizes) if self.one_hot else x

    def save(self) -> dict[str, Any]:
        """The arguments for `Model.save` or `Ensemble.save` that store the description in the file."""
        notations = {name: list(notation) for name, notation in self.notations.items()}
        words = {"named": self.named, "target": self.target.to_json(), "notations": notations, "one_hot": self.one_hot}
        tensors = {} if self.residuals is None else {"residuals": self.residuals}
        return {"extra": {"table": words | self.encoder.to_json()}, "extra_tensors": tensors}


def load_description(path: str) -> Description:
    """The description in a model file, checked; ModelFileError if it is missing or damaged."""
    tensors, values = read_extra(path)
    words = values.get("table")
    if words is None:
        raise ModelFileError(
            f"{path}: the model was not made by mlpcore train or an estimator for tables, so nothing says what its "
            "columns are; use mlpcore.load"
        )
    try:
        if isinstance(words, dict) and "classes" in words:
            return _of_december(words, tensors)
        named, target = check_field(words, "named", bool), Target.from_json(check_field(words, "target", dict))
        stored = check_field(words, "notations", dict)
        notations = {name: Notation.from_json(check_list(stored, name, str)) for name in stored}
        encoding = check_field({"one_hot": True} | words, "one_hot", bool)
        residuals = check_residuals(tensors.get("residuals"))
        return Description(TableEncoder.from_json(words), target, named, notations, encoding, residuals)
    except (KeyError, TypeError, ValueError, MlpcoreError) as error:
        raise ModelFileError(f"{path}: its table cannot be used, as {error}; use a copy") from None


def _of_december(words: dict[str, Any], tensors: Mapping[str, np.ndarray]) -> Description:
    """The description in files written before December 2026: standardised columns of numbers without gaps."""
    columns, classes = check_list(words, "columns", str), tuple(check_list(words, "classes", str, int))
    named, target = check_field(words, "named", bool), check_field(words, "target", str)
    mean, scale = tensors["columns.mean"], tensors["columns.scale"]
    # Spaces round names are removed from tables that are read.
    encoders = dict(zip((name.strip() for name in columns), map(standard, mean.tolist(), scale.tolist()), strict=True))
    scaling = None if classes else Standardize(tensors["target.mean"], tensors["target.scale"])
    if scaling is not None and scaling.mean.size != 1:
        raise ValueError("the target has several scales")
    return Description(of_numbers(encoders), Target(target.strip(), classes, scaling), named)


def of_numbers(encoders: Mapping[str, NumericEncoder]) -> TableEncoder:
    """The encoder of a table whose columns are all numeric."""
    return TableEncoder.of([Column(name, NUMERIC, "") for name in encoders], encoders)
