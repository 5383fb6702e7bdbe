"""Predictions as a table: columns kept of the data, the prediction, and the probability of every label."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from mlpcore.errors import DataError
from mlpcore.tables import listed
from mlpcore.tabular.dependencies import load_polars
from mlpcore.tabular.target import Label


class Predicted(NamedTuple):
    """Some rows: the columns kept of the data by name, and probabilities (n, classes) or amounts (n, outputs)."""

    kept: dict[str, list[Any]]
    prediction: np.ndarray


def entries(frame: Any, names: Sequence[str]) -> dict[str, list[Any]]:
    """Columns of a frame of polars or a dictionary of arrays as lists."""
    columns = {name: frame[name] for name in names}
    return {
        name: column.tolist() if isinstance(column, np.ndarray) else column.to_list()
        for name, column in columns.items()
    }


def own_names(labels: Sequence[Label], outputs: int) -> list[str]:
    """The names of the predicted columns."""
    further = [f"prediction_{i}" for i in range(2, outputs + 1)]
    return ["prediction", *([f"probability_{label}" for label in labels] or further)]


def check_kept(keep: Sequence[str], labels: Sequence[Label]) -> None:
    """DataError if a column to keep is there twice, or has the name of a predicted one."""
    names = [*keep, *own_names(labels, 1)]
    if twice := [name for name in keep if names.count(name) > 1]:
        raise DataError(f"--keep names {listed(twice)}, which would be there twice; rename the column in the data")


def lines(labels: Sequence[Label], rows: Iterable[Predicted]) -> Iterator[str]:
    """Lines of CSV, numbers with the shortest digits that identify them in their dtype."""
    # Before Python 3.13 the writer does not quote a text with a carriage return, unless it quotes all.
    line = csv.writer(_Echo(), lineterminator="\n", quoting=csv.QUOTE_MINIMAL).writerow
    quoted = csv.writer(_Echo(), lineterminator="\n", quoting=csv.QUOTE_ALL).writerow
    if any("\r" in str(label) for label in labels):
        line = quoted
    head = True
    for kept, prediction in rows:
        if head:  # once there are predictions: an error in the first rows writes nothing
            yield line([*kept, *own_names(labels, prediction.shape[1])])
            head = False
        for i, row in enumerate(prediction):
            own = [column[i] for column in kept.values()]
            write = quoted if any(isinstance(entry, str) and "\r" in entry for entry in own) else line
            yield write([*own, *([labels[row.argmax()]] if labels else []), *map(str, row)])


class _Echo:
    """A file for `csv.writer` whose ``write`` returns the line, so that ``writerow`` does too."""

    def write(self, text: str) -> str:
        return text


def parquet(labels: Sequence[Label], rows: Iterable[Predicted]) -> bytes:
    """A Parquet file, labels as texts or whole numbers; MissingDependency without polars (extra ``tables``)."""
    polars, frames = load_polars(), []
    for kept, prediction in rows:
        names = own_names(labels, prediction.shape[1])
        columns = [*prediction.T]
        if labels:
            columns.insert(0, [labels[i] for i in prediction.argmax(axis=1)])
        frames.append(polars.DataFrame(kept | dict(zip(names, columns, strict=True)), strict=False))
    file = io.BytesIO()
    polars.concat(frames, how="vertical_relaxed").write_parquet(file)
    return file.getvalue()
