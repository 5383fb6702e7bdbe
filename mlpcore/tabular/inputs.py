"""The first layers of a network for a table: numbers, and categories as columns of 0 and 1 or as learned vectors."""

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import NamedTuple

import numpy as np

from mlpcore.layers import (
    Columns,
    Concat,
    Embedding,
    Identity,
    OneHot,
    PiecewiseLinearEmbedding,
    RobustClip,
    Sequential,
)
from mlpcore.random import Stream
from mlpcore.tabular.recipe import SAMPLE, TableShape, sample
from mlpcore.typing import Layer

NARROWEST = 1e-9  # of a bin, in columns with a spread of about 1: narrower ones, of denormals, have an infinite slope


class Inputs(NamedTuple):
    """The layer, and how many of its output columns belong to each number, one-hot category or vector, in order."""

    layer: Layer
    groups: tuple[int, ...]


def input_layers(
    shape: TableShape,
    x: np.ndarray,
    numbers: Callable[[int], Layer] | None = None,
    *,
    largest_one_hot: int | None = None,
    width: int = 8,
    clip: bool = True,
) -> Inputs:
    """Layers side by side: ``numbers(count)`` for the numeric columns, then the categories in their order.

    Categories of up to ``largest_one_hot`` levels (None: all) are one-hot, others have vectors of ``width`` numbers.
    With ``clip`` the one-hot columns are centred, scaled and clipped as numbers are (`RobustClip`), by the rows x.
    """
    layers, groups = list[Layer](), list[int]()
    learnt = sample(x, SAMPLE, Stream(0, "scales"))
    if shape.numeric:
        numeric = Identity() if numbers is None else numbers(shape.numeric)
        layers.append(Sequential(Columns(0, shape.numeric), numeric))
        each = (numeric.output_width(shape.numeric) or 0) // shape.numeric
        groups += [each] * shape.numeric
    for start, stop, small in _runs(shape, largest_one_hot):
        levels = shape.levels[start:stop]
        columns = Columns(shape.numeric + start, shape.numeric + stop)
        if small:
            one_hot = OneHot(levels)
            encoded, _ = one_hot.forward({}, columns.forward({}, learnt.astype(np.float64))[0])
            layers.append(Sequential(columns, one_hot, *([RobustClip.fit(encoded)] if clip else [])))
            groups += [OneHot((count,)).output_width(1) for count in levels]
        else:
            layers.append(Sequential(columns, Embedding(levels, width)))
            groups += [width] * len(levels)
    return Inputs(Concat(*layers) if len(layers) > 1 else layers[0], tuple(groups))


def _runs(shape: TableShape, largest: int | None) -> Iterator[tuple[int, int, bool]]:
    """Neighbouring categories that are all one-hot or all not: the first, before which one they end, and which."""
    stop = 0
    for small, run in groupby(shape.levels, key=lambda count: largest is None or count <= largest):
        start, stop = stop, stop + len(list(run))
        yield start, stop, small


def piecewise(x: np.ndarray, bins: int, width: int) -> Callable[[int], Layer]:
    """A `PiecewiseLinearEmbedding` for the first columns of x, with quantiles of the rows as edges.

    Equal quantiles are one edge, and so are those less than `NARROWEST` apart; a constant column gets the edges v and
    v + 1.
    """

    def layer(count: int) -> Layer:
        learnt = sample(x, SAMPLE, Stream(0, "scales"))[:, :count]
        quantiles = np.quantile(learnt.astype(np.float64), np.linspace(0, 1, bins + 1), axis=0)
        edges = [_edges(column) for column in quantiles.T]
        return PiecewiseLinearEmbedding(
            tuple(tuple(column) if len(column) > 1 else (column[0], column[0] + 1) for column in edges), width
        )

    return layer


def _edges(quantiles: np.ndarray) -> list[float]:
    """The quantiles that are `NARROWEST` or more above the last one that is taken."""
    edges = [float(quantiles[0])]
    for quantile in quantiles.tolist():
        if quantile - edges[-1] >= NARROWEST:
            edges.append(quantile)
    return edges
