"""ONNX models that take the columns of a table as they are: the encoder and the network in one graph."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlpcore.errors import ConfigurationError
from mlpcore.files.writing import Path
from mlpcore.onnx.export import predicted
from mlpcore.onnx.exporter import LABEL, PREDICTION, PROBABILITIES, Exporter, check_labels, refusals
from mlpcore.onnx.nodes import is_name
from mlpcore.tabular.categories import CategoryEncoder
from mlpcore.tabular.dates import DateEncoder, rounded
from mlpcore.tabular.description import Description
from mlpcore.tabular.encoder import TableEncoder
from mlpcore.typing import Array


def table_to_onnx(description: Description, models: Sequence[Any], path: Path | None = None) -> Any:
    """The models with their encoder, see `mlpcore.tabular.TableModel.to_onnx`."""
    target, dtype = description.target, models[0].dtype
    exporter = Exporter()
    xp = exporter.tracer
    outputs = (LABEL, PROBABILITIES) if target.labels else (PREDICTION,)
    exporter.nodes.avoid((*description.encoder.encoders, *outputs))
    columns = _encoded(exporter, description.encoder, outputs)
    x = description.inputs(xp.concat([xp.astype(column, dtype) for column in columns], axis=1))
    with refusals(x.shape[1]):
        prediction = xp.asarray(predicted(exporter, models, x))
    if target.labels:
        check_labels(target.labels)
        classes = np.array(target.labels) if target.dtype == "object" else target.classes()
        return exporter.model({PROBABILITIES: prediction}, classes, path)
    if target.scaling is not None:
        mean, scale = (vector.tolist() for vector in (target.scaling.mean, target.scaling.scale))
        prediction = xp.astype(prediction, "float64") * xp.asarray(scale) + xp.asarray(mean)
    return exporter.model({PREDICTION: prediction}, None, path)


def _encoded(exporter: Exporter, encoder: TableEncoder, outputs: Sequence[str]) -> list[Array]:
    """What `TableEncoder.transform` computes, from an input for each column: numbers (n, c) and indices (n, k)."""
    numbers, indices = list[Array](), list[Array]()
    for name, one in encoder.encoders.items():
        if name in outputs or not is_name(name):
            raise ConfigurationError(
                f"to_onnx: the column {name!r} cannot have an input of its name, expected a text without NUL that is "
                f"not empty and not the name of an output ({', '.join(outputs)}); rename the column and fit again"
            )
        if isinstance(one, CategoryEncoder):
            indices.append(
                exporter.texts(name, {text: i for text, i in one.indices().items() if not text or is_name(text)})
            )
            continue
        values = exporter.input(name, 1, "float64")
        numbers += one.columns(values, rounded(values)) if isinstance(one, DateEncoder) else one.columns(values)
    return [exporter.tracer.concat(parts, axis=1) for parts in (numbers, indices) if parts]
