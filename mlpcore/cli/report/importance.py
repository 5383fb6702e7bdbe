"""How much a model uses each column of a table: by permuting the column."""

from collections.abc import Callable

import numpy as np

from mlpcore.cli.report.results import Importance
from mlpcore.metrics import accuracy, r2
from mlpcore.random import Stream
from mlpcore.tabular.categories import CategoryEncoder
from mlpcore.tabular.encoder import TableEncoder

ROWS = 2000  # at most; more would change the means little


def importance_by_permutation(
    predict: Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
    encoder: TableEncoder,
    seed: int = 0,
    repetitions: int = 5,
) -> list[Importance]:
    """How much the quality falls when the values of a column change places, for each column that is not left out.

    x (n, c) is as the encoder gives it; all its columns that belong to one of the table are permuted together. For
    class numbers y (n,), integers, the quality is the accuracy of ``predict(x)``, probabilities (n, classes); for
    amounts (n,) or (n, 1) it is R2, in any units. At most 2,000 rows, drawn at random, are used. The seed determines
    the result. A column that the model does not use has exactly 0.

    Source: Breiman (2001), "Random forests", section 10; here the difference of the qualities, not their quotient.
    """
    rows = np.sort(Stream(seed, "importance.rows").order(len(x))[:ROWS])
    x, y = np.asarray(x)[rows], np.asarray(y)[rows]
    target = y if y.dtype.kind in "iu" else y.reshape(len(y), -1).astype(np.float64)
    weights = np.ones(len(y))

    def quality(changed: np.ndarray) -> float:
        prediction = np.asarray(predict(changed))
        if target.ndim == 1:
            return float(accuracy(target, prediction, weights))
        return float(r2(target, prediction.reshape(target.shape).astype(np.float64), weights))

    before, importance = quality(x), list[Importance]()
    for number, (name, columns) in enumerate(columns_of(encoder).items()):
        falls = []
        for repetition in range(repetitions):
            changed = x.copy()
            order = Stream(seed, f"importance.{number}", step=repetition).order(len(x))
            changed[:, columns] = x[order][:, columns]
            falls.append(before - quality(changed))
        importance.append(Importance(name, float(np.mean(falls)), float(np.std(falls))))
    return importance


def columns_of(encoder: TableEncoder) -> dict[str, list[int]]:
    """The columns of x that belong to each column of the table."""
    columns, stop = dict[str, list[int]](), 0
    for name, one in encoder.encoders.items():
        if not isinstance(one, CategoryEncoder):
            start, stop = stop, stop + len(one.names(name))
            columns[name] = [*range(start, stop)]
    categories = [name for name, one in encoder.encoders.items() if isinstance(one, CategoryEncoder)]
    return columns | {name: [stop + place] for place, name in enumerate(categories)}
